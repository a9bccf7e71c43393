"""Robust accuracy over epsilon and measured sparsity, and what follows from it (rule F15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from robench.errors import UserError
from robench.reporting.lines import COLUMNS
from robench.reporting.panels import PLACE, caption, images, sections, sentence, varying
from robench.reporting.sheet import Panel, Sheet
from robench.reporting.shown import Gaps, by, grouped_images, shown
from robench.reporting.surface_collapse import collapse_table
from robench.reporting.surface_comparison import comparison_table
from robench.reporting.surface_points import NETWORK, Network, networks
from robench.reporting.surface_tables import point_table
from robench.reporting.table import RunTable

NOTE: Final = (
    "Sparsity: the share of the prunable weights that is zero, as measured. Robust: in percent, "
    "under the worst case over the named attacks, which are those that met at least two of the "
    "sparsities; 95 % Wilson intervals. Retained: robust accuracy over that of the smallest "
    "sparsity there is, in percent, with its paired 95 % bootstrap interval, none where "
    "more than 1 % of the resamples have nothing to retain. It must be read beside clean accuracy: "
    "a network that has collapsed to one class retains much."
)
COMPARED: Final = (
    "At equal clean accuracy: both networks where their clean accuracy is the middle of the range "
    "that both reach, accuracies taken as linear between neighbouring sparsities and the largest "
    "such sparsity counting. Bold: the paired 95 % bootstrap interval of the difference excludes "
    "0; nothing is adjusted for several comparisons."
)
COLLAPSED: Final = (
    "Collapse: the one place that divides the sparsities best into two levels of accuracy; seen "
    "(bold) where the fall is surely 10 points or more and two levels fit better than a straight "
    "line; steady: the line fits better. Place: between which sparsities, where seen. Fall: "
    "the level before less the level after. Brackets: 95 % bootstrap intervals, of the place from "
    "a sparsity to another."
)
GROUPED: Final = "The bootstrap draws groups of images (patients); Wilson's intervals do not."
SINGLE: Final = "Images count as independent: no two of them share a group."


def surface_sheet(table: RunTable) -> Sheet:
    """Per data set, threat, norm and seed: the surface, equal clean accuracy, collapse points.

    Raises UserError for a run with one pruning rate, or without two sparsities of a network,
    ValueError where its images were not kept.
    """
    if len({row["pruning_rate"] for row in table.rows}) < 2:
        raise UserError("the run has one pruning rate", where=table.run_id,
                        expected="pruning: {rates: [0, 0.3, …]} in its matrix")
    cells = shown(table)
    labels = varying(table.rows, NETWORK) or ("model",)
    said = tuple(name for name in NETWORK if name not in labels)
    gaps = Gaps()
    panels: list[Panel] = []
    long: list[Mapping[str, Any]] = []
    notes = [NOTE]
    for members in by(cells, *PLACE).values():
        first = members[0].row
        told = caption((sentence(first, PLACE), sentence(first, said),
                        images(cell.row for cell in members)))
        found: list[Network] = networks(members, gaps)
        for make, note in ((point_table, ""), (comparison_table, COMPARED),
                           (collapse_table, COLLAPSED)):
            made = make(table, found, labels, told, gaps)
            panels += made.panels
            long += made.long
            if made.panels and note and note not in notes:
                notes.append(note)
    if not panels:
        raise UserError("no network of the run has two sparsities that one attack met",
                        where=table.run_id, expected="finished cells at two pruning rates or more")
    grouped = any(grouped_images(cell.columns) for cell in cells)
    return Sheet(
        title=table.name, layout="surface", run_id=table.run_id, panels=tuple(panels),
        columns=COLUMNS, rows=tuple(long),
        notes=(*notes, GROUPED if grouped else SINGLE, *gaps.notes),
        sections=sections(table, table.rows),
    )
