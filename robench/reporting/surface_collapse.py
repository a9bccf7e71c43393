"""Where the accuracy of networks collapses as their sparsity grows, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from robench.reporting import text
from robench.reporting.grid import Column
from robench.reporting.lines import Line, Number, lines_grid, long_row, rate_text
from robench.reporting.panels import caption, label_cells, label_columns
from robench.reporting.sheet import Panel
from robench.reporting.shown import Gaps
from robench.reporting.surface_points import Level, Network
from robench.reporting.surface_tables import Made, size_text
from robench.reporting.table import RunTable
from robench.scoring.collapse import Collapse, collapse_point

_CLEAN: Final = "clean"


def collapse_table(
    table: RunTable, found: Sequence[Network], labels: Sequence[str], told: str, gaps: Gaps
) -> Made:
    """Where clean and robust accuracy of each network fall, if they do at one place."""
    blocks, long = [], []
    for network in found:
        lines = []
        for of, level in ((_CLEAN, network.levels[0]), *(("robust", one)
                                                         for one in network.levels)):
            held, clean = level.held, of == _CLEAN
            size = "" if clean else size_text(table, level.epsilon)
            if len(held.sparsities) < 3:
                gaps.add("no collapse point: it needs three sparsities", network.name)
                continue
            try:
                known = collapse_point(held.sparsities, held.clean if clean else held.robust,
                                       groups=held.group_ids)
            except ValueError as error:
                gaps.add(f"no collapse point: {error}", network.name)
                continue
            lines.append(Line(label_cells(network.row, labels), (of, size),
                              _collapse_texts(known), level.flags, bold=known.seen))
            long += _long_collapse(network, level, known, _CLEAN if clean else level.called)
        if lines:
            blocks.append(lines)
    if not blocks:
        return Made()
    columns = (
        *label_columns(labels), Column("accuracy", numeric=False), Column("ε", numeric=True),
        Column("collapse", numeric=False),
        Column("place", numeric=True, above="between zeros %"),
        Column("interval", numeric=True, above="between zeros %"),
        Column("fall in points", numeric=True, above="levels"),
    )
    return Made((Panel(caption((told, "collapse")), lines_grid(columns, blocks)),), tuple(long))


def _collapse_texts(known: Collapse) -> tuple[str, ...]:
    steady = "steady" if "straight line" in known.reason else "not seen"
    placed = (f"{text.percent(known.before)}–{text.percent(known.after)}",
              text.interval(known.low, known.high))
    return (
        "seen" if known.seen else steady,
        *(placed if known.seen else (text.MISSING,) * 2),
        rate_text(Number(known.fall, known.fall_low, known.fall_high)),
    )


def _long_collapse(
    network: Network, level: Level, known: Collapse, attack: str
) -> list[dict[str, Any]]:
    row = {**network.row, "pruning_rate": math.nan, "sparsity": math.nan}
    epsilon = 0.0 if attack == _CLEAN else level.epsilon
    numbers = {
        "collapse_seen": Number(float(known.seen)),
        "collapse_before": Number(known.before, known.low, known.high),
        "collapse_after": Number(known.after, known.low, known.high),
        "collapse_fall": Number(known.fall, known.fall_low, known.fall_high),
    }
    return [long_row(row, name, number, attack=attack, epsilon=epsilon,
                     n=len(level.held.image_ids), flags=level.flags, of=known.reason)
            for name, number in numbers.items()]
