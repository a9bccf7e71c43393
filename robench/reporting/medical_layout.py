"""What clinics ask for, before and under attack (rule F14; Ghamizi et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from robench.errors import UserError
from robench.reporting import text
from robench.reporting.grid import Column
from robench.reporting.lines import COLUMNS, Line, lines_grid
from robench.reporting.medical_lines import TABLES, MedicalLine, long_rows
from robench.reporting.medical_scores import Scores, scores, worst_images
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
from robench.reporting.sheet import Panel, Sheet
from robench.reporting.shown import Gaps, Shown, by, flags_of, grouped_images, shown
from robench.reporting.table import RunTable
from robench.scoring.medical import When
from robench.scoring.rows import WORST_CASE
from robench.scoring.worst_case import Columns

CLEAN: Final = "clean"
"""What the line of clean images is called where others name their attack."""
NOTE: Final = (
    "Accuracy: the share of right predictions, with 95 % Wilson intervals; an image that is wrong "
    "before the attack is not attacked and keeps its prediction. With two classes, sensitivity "
    "(recall), specificity, precision and F1 are of the second; with more, the macro mean over "
    "the classes that have images, a class that is never predicted counting with precision 0. "
    "AUROC ranks by the stored margin, and the attack sought wrong predictions, not wrong ranks. "
    "Robust: right before and after the attack. Turned into: broken images of a class, of those "
    "right before, and the classes that they were then called. A dash among rates: nothing to "
    "count them of, such as images of the class."
)
WORST: Final = (
    "Worst-case (bold), image by image: of the attacks that broke an image the one that left the "
    "smallest margin, and the smallest margin where none did."
)
UNIFORM: Final = "Risk-weighted ASR has equal costs for all confusions, and then is the ASR."
GIVEN: Final = "Risk-weighted ASR: the harm done by the given costs, of the most that could be."
GROUPED: Final = (
    "By group: the interval where images share groups (patients), by their linearised variance; "
    "Wilson's takes all images as independent."
)
SINGLE: Final = "Images count as independent: no two of them share a group."


@dataclass(frozen=True)
class _Place:
    """What a table needs to know of its data set."""

    classes: tuple[str, ...]
    costs: npt.NDArray[np.float64]
    grouped: bool


def medical_sheet(
    table: RunTable, *, costs: Mapping[str, npt.ArrayLike] | None = None
) -> Sheet:
    """Per data set, threat, norm and seed the scores, then by class; clean images come first.

    `costs`: of a data set, by its label, what it costs to call class y (row) class ŷ (column),
    K × K; equal costs where none are given. Raises UserError where the record of the run does not
    name the classes of a data set, ValueError for unfit costs and where images were not kept.
    """
    cells = shown(table)
    labels = varying(table.rows, VICTIM) or ("model",)
    said = tuple(name for name in VICTIM if name not in labels)
    gaps = Gaps()
    panels: list[Panel] = []
    long: list[Mapping[str, Any]] = []
    for members in by(cells, *PLACE).values():
        first = members[0].row
        place = _place(table, members, (costs or {}).get(str(first["dataset"])))
        told = caption((sentence(first, PLACE), sentence(first, said),
                        images(cell.row for cell in members)))
        victims = [list(_lines(held, place, gaps)) for held in by(members, *VICTIM).values()]
        panels += _panels(table, victims, place, labels=labels, told=told)
        long += [row for lines in victims for line in lines
                 for row in long_rows(line, place.classes)]
    grouped = any(grouped_images(cell.columns) for cell in cells)
    several = any(line["attack"] == WORST_CASE for line in long)
    return Sheet(
        title=table.name, layout="medical", run_id=table.run_id, panels=tuple(panels),
        columns=COLUMNS, rows=tuple(long),
        notes=(NOTE, *((WORST,) if several else ()), GIVEN if costs else UNIFORM,
               GROUPED if grouped else SINGLE, *gaps.notes),
        sections=sections(table, table.rows),
    )


def _place(
    table: RunTable, cells: Sequence[Shown], costs: npt.ArrayLike | None
) -> _Place:
    dataset = str(cells[0].row["dataset"])
    known = (table.facts.get("datasets") or {}).get(dataset) or {}
    classes = tuple(str(name) for name in known.get("classes") or ())
    if len(classes) < 2:
        raise UserError(f"the run's record does not name the classes of '{dataset}'",
                        where=table.run_id, expected="a run of this version of robench")
    uniform = 1 - np.eye(len(classes))
    return _Place(
        classes, uniform if costs is None else np.asarray(costs, dtype=np.float64),
        any(grouped_images(cell.columns) for cell in cells))


def _lines(cells: Sequence[Shown], place: _Place, gaps: Gaps) -> Iterator[MedicalLine]:
    """Of one victim: its clean images, then the attacks by epsilon, each time the worst last."""
    row = cells[0].row
    victim = sentence(row, VICTIM)

    def scored(columns: Columns, attack: str, when: When) -> Scores:
        return scores(columns, classes=place.classes, when=when, costs=place.costs, gaps=gaps,
                      named=f"{victim} · {attack}")

    # What one attack was seen to do says nothing of clean images; what all cells share does.
    shared = set.intersection(*(set(flags_of([cell])) for cell in cells))
    yield MedicalLine(row, CLEAN, 0.0, tuple(sorted(shared)),
                      scored(cells[0].columns, CLEAN, "clean"))
    for (epsilon,), members in sorted(by(cells, "epsilon").items()):
        for cell in members:
            yield MedicalLine(row, cell.attack, epsilon, flags_of([cell]),
                              scored(cell.columns, cell.attack, "adversarial"))
        if len(members) > 1:
            worst = worst_images([cell.columns for cell in members])
            yield MedicalLine(row, WORST_CASE, epsilon, flags_of(members),
                              scored(worst, WORST_CASE, "adversarial"))


def _panels(
    table: RunTable, victims: Sequence[Sequence[MedicalLine]], place: _Place, *,
    labels: Sequence[str], told: str,
) -> Iterator[Panel]:
    names = (*label_columns(labels), Column("attack", numeric=False), Column("ε", numeric=True))
    for each in TABLES:
        columns = each.columns(place.classes, grouped=place.grouped)
        for part in parts([[one] for one in columns], most=each.most) if columns else ():
            blocks = [
                [Line(label_cells(line.row, labels),
                      (line.attack, text.MISSING if line.clean
                       else text.epsilon(line.epsilon, table.epsilon_text)),
                      tuple(each.cell(line, key) for key, _ in part), line.flags,
                      bold=line.attack == WORST_CASE)
                 for line in lines if each.of_clean or not line.clean]
                for lines in victims
            ]
            yield Panel(caption((told, each.title)),
                        lines_grid((*names, *(column for _, column in part)), blocks))
