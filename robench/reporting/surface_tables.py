"""The points of pruning surfaces as a table: robust accuracy and what is retained of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robench.reporting import text
from robench.reporting.grid import Column
from robench.reporting.lines import Line, Number, lines_grid, long_row, rate_text
from robench.reporting.panels import caption, label_cells, label_columns, parts
from robench.reporting.sheet import Panel
from robench.reporting.shown import Gaps, flags_of
from robench.reporting.surface_points import Level, Network
from robench.reporting.table import RunTable
from robench.scoring.pruning_surface import retention, surface_points
from robench.scoring.wilson import wilson


@dataclass(frozen=True)
class Made:
    """The tables of one condition, and their numbers for programs."""

    panels: tuple[Panel, ...] = ()
    long: tuple[Mapping[str, Any], ...] = ()


def point_table(
    table: RunTable, found: Sequence[Network], labels: Sequence[str], told: str, gaps: Gaps
) -> Made:
    """Networks and sparsities by epsilons: robust accuracy and what is retained of it."""
    if not found:
        return Made()
    known = {(id(network), level.epsilon): _points(network, level, gaps) for network in found
             for level in network.levels}
    epsilons = sorted({level.epsilon for network in found for level in network.levels})
    names = (*label_columns(labels), Column("zeros %", numeric=True),
             Column("parameters left", numeric=True), Column("clean %", numeric=True))
    panels = []
    for part in parts([[(epsilon, kind) for kind in ("robust", "retained")]
                       for epsilon in epsilons]):
        heads = (*names, *(
            Column(f"{kind} %", numeric=True, above=f"ε {size_text(table, epsilon)}")
            for epsilon, kind in part))
        blocks = [
            [Line(label_cells(network.row, labels), _named(network, sparsity, gaps),
                  tuple(rate_text(known.get((id(network), epsilon), {})
                                  .get(sparsity, {}).get(kind, Number()))
                        for epsilon, kind in part),
                  flags_of(network.cells(sparsity)))
             for sparsity in network.sparsities]
            for network in found
        ]
        panels.append(Panel(caption((told, _over(found))), lines_grid(heads, blocks)))
    long = [row for network in found for level in network.levels
            for row in _long_points(network, level, known[id(network), level.epsilon])]
    return Made(tuple(panels), tuple(long))


def _points(network: Network, level: Level, gaps: Gaps) -> dict[float, dict[str, Number]]:
    """Of each sparsity: clean, robust and retained accuracy."""
    held, named = level.held, f"{network.name} · ε {level.epsilon:g}"
    n = len(held.image_ids)
    kept: dict[float, Number] = {}
    whole = Number(1.0)
    try:
        for one in retention(held):
            why = "" if held.robust[0].any() else gaps.add(
                "nothing to retain: the smallest sparsity keeps no image right", named)
            kept[one.sparsity] = Number(one.retention, one.low, one.high, why)
            whole = Number(why=why) if why else whole
    except ValueError as error:
        why = gaps.add(str(error), named)
        kept = dict.fromkeys(held.sparsities, Number(why=why))
    found = {}
    for point, clean in zip(surface_points([held]), held.clean, strict=True):
        found[point.sparsity] = {
            "clean": Number(point.clean_accuracy, *wilson(int(clean.sum()), n)),
            "robust": Number(point.robust_accuracy, point.low, point.high),
            "retained": kept.get(point.sparsity, whole),
        }
    return found


def _named(network: Network, sparsity: float, gaps: Gaps) -> tuple[str, str, str]:
    """The sparsity of a line, the parameters left and clean accuracy, from and to."""
    cells = network.cells(sparsity)
    left = cells[0].metadata.get("parameters_left")
    if left is None:
        gaps.add("parameters left are not recorded", f"{network.name} · zeros {sparsity:.3g}")
    clean = sorted({float(level.held.clean[level.held.sparsities.index(sparsity)].mean())
                    for level in network.levels if sparsity in level.held.sparsities})
    ends = "–".join(dict.fromkeys((text.percent(clean[0]), text.percent(clean[-1]))))
    return text.percent(sparsity), text.MISSING if left is None else f"{int(left):,}", ends


def _long_points(
    network: Network, level: Level, known: Mapping[float, Mapping[str, Number]]
) -> Iterator[dict[str, Any]]:
    n = len(level.held.image_ids)
    for sparsity, numbers in known.items():
        cells = level.cells[sparsity]
        left = cells[0].metadata.get("parameters_left")
        parameters = Number(why="not recorded") if left is None else Number(float(left))
        for measure, number in (("clean_accuracy", numbers["clean"]),
                                ("robust_accuracy", numbers["robust"]),
                                ("retention", numbers["retained"]),
                                ("parameters_left", parameters)):
            yield long_row(cells[0].row, measure, number, attack=level.called,
                           epsilon=level.epsilon, n=n, flags=flags_of(cells),
                           of=", ".join(level.attacks))


def _over(found: Sequence[Network]) -> str:
    """Which attacks the worst case is over."""
    sets = {level.attacks for network in found for level in network.levels}
    if len(sets) == 1:
        return f"worst case over {', '.join(*sets)}" if len(*sets) > 1 else next(iter(*sets))
    return "worst case over the attacks of each network and ε"


def size_text(table: RunTable, epsilon: float) -> str:
    """An epsilon as the run wrote it."""
    return text.epsilon(epsilon, table.epsilon_text)
