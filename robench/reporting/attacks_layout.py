"""What each attack is worth: optimality, the ensemble that suffices, and cost (F4, F5, F13, F9)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from robench.reporting import text
from robench.reporting.grid import Column
from robench.reporting.lines import COLUMNS, Line, Number, lines_grid, long_row, rate_text, third
from robench.reporting.optimality import optimality_part
from robench.reporting.panels import (
    PLACE,
    VICTIM,
    caption,
    images,
    label_cells,
    label_columns,
    sections,
    sentence,
    varying,
)
from robench.reporting.reached import searching
from robench.reporting.sheet import Panel, Sheet
from robench.reporting.shown import Gaps, Shown, by, flags_of, shown
from robench.reporting.table import RunTable
from robench.scoring.cost import CostPoint, cost_points, pareto_front
from robench.scoring.ensembles import Step, smallest_ensemble
from robench.scoring.redraws import COLUMN as DRAWS_WRONG
from robench.scoring.redraws import one_draw
from robench.scoring.worst_case import tally

NOTE: Final = (
    "Robust: in percent, of all images, with 95 % Wilson intervals. Passes and milliseconds: means "
    "over the images right before the attack; passes are those at the ε that decided an image, "
    "time is wall time of this run at this ε, and a search that serves several ε shares it among "
    "them. Front: no other attack leaves as few images at fewer passes, or in less time. Ensemble: "
    "attacks by greed, each the one that breaks most per pass of what those before it left; "
    "attacks that are not in it add nothing. Bold: on a front."
)
_STEPS: Final = (
    Column("attack", numeric=False), Column("step", numeric=True),
    Column("broken", numeric=True, above="images"), Column("of", numeric=True, above="images"),
    Column("left", numeric=True, above="images"), Column("passes per image", numeric=True),
)
DRAWN: Final = (
    "One draw: the victim draws random numbers; in percent, the images that a single draw gets "
    "right, from {draws} draws of each, with a 95 % interval for other images and other draws. "
    "Robust beside it is by the majority of these draws."
)


@dataclass(frozen=True)
class _Part:
    """One attack on one victim at one epsilon.

    `cost` is None where no image was right, `step` (the `place`-th of the ensemble) where the
    attack adds nothing, `draw` for a victim that draws no random numbers.
    """

    cell: Shown
    cost: CostPoint | None
    front: str
    place: int
    step: Step | None
    draw: Number | None


def attacks_sheet(table: RunTable) -> Sheet:
    """Per data set, threat, norm and seed a table of optimality, then one of cost per epsilon.

    Raises ValueError where the run's images were not kept.
    """
    cells = shown(table)
    labels = varying(table.rows, VICTIM) or ("model",)
    said = tuple(name for name in VICTIM if name not in labels)
    smallest = searching(table)
    gaps = Gaps()
    panels: list[Panel] = []
    long: list[Mapping[str, Any]] = []
    notes: dict[str, None] = {}
    draws: dict[int, None] = {}
    for members in by(cells, *PLACE).values():
        first = members[0].row
        told = (sentence(first, PLACE), sentence(first, said), images(one.row for one in members))
        optimal = optimality_part(table, members, labels, told, smallest, gaps)
        panels += optimal.panels
        long += optimal.long
        notes |= dict.fromkeys(optimal.notes)
        for (epsilon,), here in sorted(by(members, "epsilon").items()):
            victims = [_parts(held, gaps) for held in by(here, *VICTIM).values()]
            size = text.epsilon(epsilon, table.epsilon_text)
            drawn = any(part.draw is not None for held in victims for part in held)
            draws |= {int(cell.metadata["draws"]): None for cell in here
                      if DRAWS_WRONG in cell.columns}
            panels.append(Panel(
                caption((told[0], f"ε {size}", "cost", *told[1:])),
                lines_grid(_heads(labels, drawn=drawn),
                           ([_line(part, labels, drawn=drawn) for part in held]
                            for held in victims))))
            ensembles = [_steps(held, labels) for held in victims]
            if any(ensembles):
                panels.append(Panel(
                    caption((told[0], f"ε {size}", "ensemble that suffices", *told[1:])),
                    lines_grid((*label_columns(labels), *_STEPS), filter(None, ensembles))))
            long += [row for held in victims for part in held for row in _long(part)]
    said_draws = (DRAWN.format(draws=" or ".join(map(str, draws))),) if draws else ()
    return Sheet(
        title=table.name, layout="attacks", run_id=table.run_id, panels=tuple(panels),
        columns=COLUMNS, rows=tuple(long), notes=(*notes, NOTE, *said_draws, *gaps.notes),
        sections=sections(table, table.rows),
    )


def _parts(cells: Sequence[Shown], gaps: Gaps) -> list[_Part]:
    """The attacks on one victim at one epsilon."""
    try:
        points = {point.attack: point for point in cost_points([cell.row for cell in cells])}
    except ValueError as error:
        points = {}
        gaps.add(str(error), sentence(cells[0].row, VICTIM))
    by_passes = {point.attack for point in pareto_front(list(points.values()))}
    by_time = {point.attack for point in pareto_front(list(points.values()), price="seconds")}
    fronts = {
        attack: {(True, True): "both", (True, False): "passes", (False, True): "time"}.get(
            (attack in by_passes, attack in by_time), "")
        for attack in points
    }
    steps = smallest_ensemble([
        tally(cell.columns, attack=cell.attack, norm=str(cell.row["norm"])) for cell in cells])
    chosen = {step.attack: step for step in steps}
    places = {step.attack: place for place, step in enumerate(steps, start=1)}
    return [
        _Part(cell, points.get(cell.attack), fronts.get(cell.attack, ""),
              places.get(cell.attack, 0), chosen.get(cell.attack), _drawn(cell))
        for cell in cells
    ]


def _drawn(cell: Shown) -> Number | None:
    if DRAWS_WRONG not in cell.columns:
        return None
    found = one_draw(cell.columns, draws=int(cell.metadata["draws"]))
    return Number(found.accuracy, found.low, found.high)


def _heads(labels: Sequence[str], *, drawn: bool) -> tuple[Column, ...]:
    return (
        *label_columns(labels),
        Column("attack", numeric=False),
        Column("robust %", numeric=True),
        *((Column("one draw %", numeric=True),) if drawn else ()),
        Column("forwards", numeric=True, above="per image"),
        Column("backwards", numeric=True, above="per image"),
        Column("ms", numeric=True, above="per image"),
        Column("front", numeric=False),
    )


def _line(part: _Part, labels: Sequence[str], *, drawn: bool) -> Line:
    cost, row = part.cost, part.cell.row
    prices = (cost.forwards, cost.backwards, 1000 * cost.seconds) if cost else (math.nan,) * 3
    robust = Number(row["robust_accuracy"], row["robust_accuracy_low"],
                    row["robust_accuracy_high"])
    return Line(
        block=label_cells(row, labels),
        names=(part.cell.attack,),
        values=(
            rate_text(robust),
            *((rate_text(part.draw) if part.draw else "",) if drawn else ()),
            *(third(price) for price in prices),
            part.front,
        ),
        flags=flags_of([part.cell]),
        bold=part.front != "",
    )


def _steps(parts: Sequence[_Part], labels: Sequence[str]) -> list[Line]:
    """The ensemble of one victim in the order of its steps."""
    chosen = sorted(((part.place, part.step, part.cell) for part in parts if part.step),
                    key=lambda each: each[0])
    return [
        Line(label_cells(cell.row, labels), (cell.attack, str(place)),
             (str(step.newly_broken), str(step.tried), str(step.n_robust),
              third(step.propagations / step.tried)), flags_of([cell]))
        for place, step, cell in chosen
    ]


def _long(part: _Part) -> list[dict[str, Any]]:
    row, cost, step = part.cell.row, part.cost, part.step
    n, right = int(row["n"]), int(row["n_correct"])

    def one(measure: str, number: Number, of: int, *, to: str = "") -> dict[str, Any]:
        return long_row(row, measure, number, attack=part.cell.attack, epsilon=part.cell.epsilon,
                        n=of, flags=flags_of([part.cell]), of=to)

    found = [one("robust_accuracy", Number(
        row["robust_accuracy"], row["robust_accuracy_low"], row["robust_accuracy_high"]), n)]
    if part.draw:
        draws = int(part.cell.metadata["draws"])
        found.append(one("one_draw_accuracy", part.draw, n, to=f"one of {draws} draws"))
    why = "" if cost else "no image is right before the attack"
    for name in ("forwards", "backwards", "seconds"):
        price = getattr(cost, name) if cost else math.nan
        found.append(one(f"{name}_per_image", Number(price, why=why), right))
    for name in ("passes", "time"):
        found.append(one(f"on_front_by_{name}", Number(float(part.front in (name, "both"))), n))
    if step:
        found += [
            one("ensemble_step", Number(float(part.place)), n),
            one("ensemble_newly_broken", Number(float(step.newly_broken)), step.tried),
            one("ensemble_passes", Number(step.propagations), step.tried),
            one("ensemble_left", Number(float(step.n_robust)), n),
        ]
    return found
