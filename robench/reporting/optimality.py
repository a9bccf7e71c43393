"""The optimality of attacks as a table (rule F4), and whether they had equal budgets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from robench.reporting import text
from robench.reporting.grid import Column
from robench.reporting.lines import Line, Number, lines_grid, long_row, third
from robench.reporting.panels import VICTIM, caption, label_cells, label_columns, sentence
from robench.reporting.reached import budgets, largest, reached
from robench.reporting.sheet import Panel
from robench.reporting.shown import Gaps, Shown, by, by_attack, flags_of
from robench.reporting.table import RunTable
from robench.scoring.distances import Distances
from robench.scoring.ensembles import Optimality, optimality

NOTE: Final = (
    "Optimality ξ: how near an attack comes to the best of all attacks on every image, up to the "
    "largest ε of the table: 1 for as good as all together, 0 for an attack that breaks nothing "
    "below it; an attack alone has 1. Area: the mean over images of the distance at which the "
    "attack broke them, at most that ε; between two epsilons of a ladder, the larger counts."
)
_EQUAL: Final = "ξ is at an equal budget of {} passes per image."
_UNEQUAL: Final = (
    "ξ is not at equal budget: the attacks may spend different numbers of passes (budget: N in "
    "the matrix gives all of them the same), so it says what was reached, not which attack is "
    "better at a price."
)


@dataclass(frozen=True)
class OptimalityPart:
    """The table of one condition; without panels where no attack has an ε that bounds it."""

    panels: tuple[Panel, ...]
    long: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]


def optimality_part(
    table: RunTable, cells: Sequence[Shown], labels: Sequence[str], told: Sequence[str],
    smallest: frozenset[str], gaps: Gaps,
) -> OptimalityPart:
    """Area and ξ of each attack on each victim of one data set, threat, norm and seed."""
    limit = largest(cells)
    if math.isnan(limit):
        gaps.add("no ξ: every search is without a bound, so no largest ε is given", told[0])
        return OptimalityPart((), (), ())
    size = text.epsilon(limit, table.epsilon_text)
    blocks, long = [], []
    for members in by(cells, *VICTIM).values():
        lines = []
        attacks = by_attack(members)
        found = _found(attacks, limit, smallest, gaps)
        for attack, held in attacks.items():
            one, row = found.get(attack), held[0].row
            optimal, reach = (one.optimality, one.area) if one else (math.nan, math.nan)
            flags = flags_of(held)
            lines.append(Line(label_cells(row, labels), (attack,),
                              (third(reach), _xi(optimal)), flags))
            why = "" if not math.isnan(optimal) else "see the notes"
            long += [long_row(row, name, Number(value, why=why), attack=attack, epsilon=limit,
                              n=int(row["n"]), flags=flags)
                     for name, value in (("optimality_area", reach), ("optimality", optimal))]
        blocks.append(lines)
    columns = (*label_columns(labels), Column("attack", numeric=False),
               *(Column(title, numeric=True, above=f"up to ε {size}") for title in ("area", "ξ")))
    panel = Panel(caption((told[0], f"optimality up to ε {size}", *told[1:])),
                  lines_grid(columns, blocks))
    return OptimalityPart((panel,), tuple(long), (NOTE, _said_of_budgets(table, cells)))


def _found(
    attacks: Mapping[str, Sequence[Shown]], limit: float, smallest: frozenset[str], gaps: Gaps
) -> dict[str, Optimality]:
    """ξ of those attacks on one victim that can be compared: at equal epsilons, or measured."""
    ladders = {attack: tuple(cell.epsilon for cell in held if math.isfinite(cell.epsilon))
               for attack, held in attacks.items()}
    every = tuple(sorted({limit, *(epsilon for held in ladders.values() for epsilon in held)}))
    known: dict[str, Distances] = {}
    for attack, held in attacks.items():
        named = f"{sentence(held[0].row, VICTIM)} · {attack}"
        measured = attack in smallest and held[-1].epsilon >= limit
        try:
            if not (measured or math.isinf(held[-1].epsilon) or ladders[attack] == every):
                raise ValueError("no ξ: the attack was not run at every ε of the table")
            known[attack] = reached(held, smallest=attack in smallest)
        except ValueError as error:
            gaps.add(str(error), named)
    found = {one.attack: one for one in optimality(known, up_to=limit)} if known else {}
    if found and all(math.isnan(one.optimality) for one in found.values()):
        (held, *_) = attacks.values()
        gaps.add("no ξ: no attack broke an image at an ε below the largest",
                 sentence(held[0].row, VICTIM))
    return found


def _xi(value: float) -> str:
    return text.MISSING if math.isnan(value) else f"{value:.3f}"


def _said_of_budgets(table: RunTable, cells: Sequence[Shown]) -> str:
    known = budgets(table)
    given = {known.get(cell.attack) for cell in cells}
    if len(given) == 1 and None not in given:
        return _EQUAL.format(*given)
    return _UNEQUAL
