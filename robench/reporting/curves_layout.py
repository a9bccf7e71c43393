"""Security curves: robust accuracy at every epsilon, and the exact area below it (rule F3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from robench.reporting import text
from robench.reporting.details import name_of
from robench.reporting.grid import Column
from robench.reporting.lines import COLUMNS, Line, Number, lines_grid, long_row, rate_text, third
from robench.reporting.panels import (
    PLACE,
    VICTIM,
    caption,
    images,
    label_cells,
    label_columns,
    parts,
    sections,
    sentence,
    varying,
)
from robench.reporting.reached import largest, reached, searching
from robench.reporting.sheet import Panel, Sheet
from robench.reporting.shown import (
    Gaps,
    Shown,
    by,
    by_attack,
    flags_of,
    grouped_images,
    shown,
)
from robench.reporting.table import RunTable
from robench.scoring.curves import Area, area, robust_accuracy
from robench.scoring.distances import Distances, smallest_distances
from robench.scoring.rows import WORST_CASE, Row
from robench.scoring.rule_of_three import rule_of_three
from robench.scoring.wilson import wilson

_AREA: Final = "area"
_AT_MOST: Final = "robust_accuracy_at_most"
_ROUNDING: Final = 1e-9
BELOW: Final = (
    "{} numbers lie below the leaderboard's: images that broke at a smaller ε and not at this one, "
    "or that a clean pass of another ε got wrong."
)
NOTE: Final = (
    "Robust at ε: in percent, of all images those that no perturbation up to ε broke, with 95 % "
    "Wilson intervals. An image counts as broken from the smallest ε that broke it; two numbers "
    "without brackets are what an attack's own epsilons leave open. Instead of an interval: with "
    "nothing left, ≤ 3/n of all images; with nothing broken, ASR ≤ 3/n of those right before (rule "
    "of three, 95 %, one-sided). ε ∞: what broke at no ε that was run. Area: below the curve from "
    "ε 0 to {up_to}, in the unit of ε: the mean over images of the distance that broke them, at "
    "most that ε. From a ladder of epsilons it is known between two step curves; brackets: 95 % "
    "bootstrap interval around both. Bold: worst-case, an image counts as broken by the first "
    "attack that broke it."
)
SEARCHED: Final = "Measured distances, since the attack searches the smallest perturbation: {}."
GROUPED: Final = "The bootstrap draws groups of images (patients); Wilson's intervals do not."
SINGLE: Final = "Images count as independent: no two of them share a group."


@dataclass(frozen=True)
class _Curve:
    """One attack, or the worst case, on one victim."""

    row: Row
    attack: str
    distances: Distances
    area: Area | None
    why: str
    flags: tuple[str, ...]


def curves_sheet(table: RunTable) -> Sheet:
    """A table per data set, threat, norm and seed: victims and attacks by epsilons, then the area.

    The area reaches to the largest finite epsilon of the table. Raises ValueError where the run's
    images were not kept.
    """
    cells = shown(table)
    smallest = searching(table)
    labels = varying(table.rows, VICTIM) or ("model",)
    said = tuple(name for name in VICTIM if name not in labels)
    gaps = Gaps()
    panels: list[Panel] = []
    long: list[Mapping[str, Any]] = []
    limits: dict[str, None] = {}
    searched: dict[str, None] = {}
    for members in by(cells, *PLACE).values():
        limit = largest(members)
        bounded = not math.isnan(limit)
        size = text.epsilon(limit, table.epsilon_text) if bounded else text.MISSING
        limits |= {size: None} if bounded else {}
        epsilons = sorted({cell.epsilon for cell in members})
        victims = [list(_curves(held, limit, smallest, gaps))
                   for held in by(members, *VICTIM).values()]
        searched |= {cell.attack: None for cell in members if cell.attack in smallest}
        told = caption((sentence(members[0].row, PLACE), sentence(members[0].row, said),
                        images(cell.row for cell in members)))
        columns: list[float | str] = [*epsilons, _AREA]
        panels += [
            Panel(told, lines_grid(
                _heads(part, labels, size, table),
                ([_line(curve, part, labels) for curve in curves] for curves in victims)))
            for part in parts([[one] for one in columns])
        ]
        long += [row for curves in victims for curve in curves for row in _long(curve, epsilons)]
    grouped = any(grouped_images(cell.columns) for cell in cells)
    return Sheet(
        title=table.name, layout="curves", run_id=table.run_id, panels=tuple(panels),
        columns=COLUMNS, rows=tuple(long),
        notes=(NOTE.format(up_to=" or ".join(limits) or "the largest ε"),
               *((SEARCHED.format(", ".join(searched)),) if searched else ()),
               GROUPED if grouped else SINGLE, *_below(table, long), *gaps.notes),
        sections=sections(table, table.rows),
    )


def _below(table: RunTable, long: Sequence[Row]) -> tuple[str, ...]:
    """The note on curves that run below the leaderboard, if any do."""
    board = {name_of(row): float(row["robust_accuracy"]) for row in table.rows}
    lower = sum(row["measure"] == _AT_MOST and
                row["value"] < board.get(name_of(row), 0.0) - _ROUNDING for row in long)
    return (BELOW.format(lower),) if lower else ()


def _curves(
    cells: Sequence[Shown], limit: float, smallest: frozenset[str], gaps: Gaps
) -> Iterator[_Curve]:
    """Of one victim: a curve for each attack, and the worst case over several."""
    row = cells[0].row
    named = sentence(row, VICTIM)
    known: dict[str, Distances] = {}
    for attack, members in by_attack(cells).items():
        try:
            known[attack] = reached(members, smallest=attack in smallest)
        except ValueError as error:
            gaps.add(str(error), f"{named} · {attack}")
            continue
        yield _curve(row, attack, known[attack], limit, flags_of(members), gaps)
    if len(known) > 1:
        worst = smallest_distances(known)
        yield _curve(row, WORST_CASE, worst, limit, flags_of(cells), gaps)


def _curve(
    row: Row, attack: str, held: Distances, limit: float, flags: tuple[str, ...], gaps: Gaps
) -> _Curve:
    found, why = None, ""
    try:
        if math.isnan(limit):
            raise ValueError("no area: every search is without a bound, so no largest ε is given")
        found = area(held, up_to=limit)
    except ValueError as error:
        why = gaps.add(str(error), f"{sentence(row, VICTIM)} · {attack}")
    return _Curve(row, attack, held, found, why, flags)


def _heads(
    part: Sequence[float | str], labels: Sequence[str], size: str, table: RunTable
) -> tuple[Column, ...]:
    return (
        *label_columns(labels),
        Column("attack", numeric=False),
        Column("clean %", numeric=True),
        *(Column(f"to ε {size}", numeric=True, above="area") if isinstance(one, str) else
          Column(text.epsilon(one, table.epsilon_text), numeric=True, above="robust % at ε")
          for one in part),
    )


def _line(curve: _Curve, part: Sequence[float | str], labels: Sequence[str]) -> Line:
    right = int(curve.distances.correct.sum())
    return Line(
        block=label_cells(curve.row, labels),
        names=(curve.attack, text.percent(right / len(curve.distances.correct))),
        values=tuple(_area_text(curve.area) if isinstance(one, str)
                     else _robust_text(curve.distances, one) for one in part),
        flags=curve.flags,
        bold=curve.attack == WORST_CASE,
    )


def _at(held: Distances, epsilon: float) -> tuple[int, int]:
    """How many images are robust at least, and at most."""
    n = len(held.correct)
    if math.isinf(epsilon):
        never = int(np.isinf(held.high).sum())
        return never, never
    lower, upper = robust_accuracy(held, epsilon)
    return round(lower * n), round(upper * n)


def _bound(held: Distances, kept: int) -> tuple[str, float]:
    """What the rule of three says where nothing is left, or nothing was broken."""
    right = int(held.correct.sum())
    if not kept:
        return "robust", rule_of_three(len(held.correct))
    return ("asr", rule_of_three(right)) if kept == right else ("", math.nan)


def _robust_text(held: Distances, epsilon: float) -> str:
    (lower, upper), n = _at(held, epsilon), len(held.correct)
    if lower != upper:
        return f"{text.percent(lower / n)}–{text.percent(upper / n)}"
    of, bound = _bound(held, upper)
    if of:
        asr = "ASR " if of == "asr" else ""
        return f"{text.percent(upper / n)} ({asr}≤ {text.percent(bound)})"
    return rate_text(Number(upper / n, *wilson(upper, n)))


def _area_text(found: Area | None) -> str:
    if found is None:
        return text.MISSING
    ends = "–".join(dict.fromkeys((third(found.lower), third(found.upper))))
    return f"{ends} [{third(found.low)}, {third(found.high)}]"


def _long(curve: _Curve, epsilons: Sequence[float]) -> Iterator[dict[str, Any]]:
    n, right = len(curve.distances.correct), int(curve.distances.correct.sum())

    def one(measure: str, number: Number, epsilon: float, *, of: int = n) -> dict[str, Any]:
        return long_row(curve.row, measure, number, attack=curve.attack, epsilon=epsilon, n=of,
                        flags=curve.flags)

    yield one("clean_accuracy", Number(right / n, *wilson(right, n)), 0.0)
    for epsilon in epsilons:
        lower, upper = _at(curve.distances, epsilon)
        yield one("robust_accuracy_at_least", Number(lower / n, *wilson(lower, n)), epsilon)
        yield one(_AT_MOST, Number(upper / n, *wilson(upper, n)), epsilon)
        of, bound = _bound(curve.distances, upper) if lower == upper else ("", math.nan)
        if of:
            yield one(f"{of}_rule_of_three", Number(bound), epsilon,
                      of=right if of == "asr" else n)
    known = curve.area
    limit = known.up_to if known else math.nan
    yield one("area_at_least", Number(known.lower, known.low, known.high) if known
              else Number(why=curve.why), limit)
    yield one("area_at_most", Number(known.upper, known.low, known.high) if known
              else Number(why=curve.why), limit)
