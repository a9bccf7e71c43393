"""Robust accuracy and ASR as models and attacks by pruning rates, as the papers print it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from robench.errors import UserError
from robench.reporting import text
from robench.reporting.details import name_of, victim_of
from robench.reporting.grid import Cell, Column, Grid
from robench.reporting.panels import (
    MOST,
    PLACE,
    Reasons,
    asr_text,
    attacks_of,
    caption,
    clean_standings,
    clean_text,
    grouped,
    images,
    label_cells,
    label_columns,
    robust_standings,
    robust_text,
    sections,
    sentence,
    varying,
)
from robench.reporting.ranked import RULE, Standing, barred, marked, why_barred
from robench.reporting.sheet import Panel, Sheet
from robench.reporting.table import RunTable
from robench.scoring.rows import COLUMNS, Row

_WHERE: Final = (*PLACE, "epsilon")
_COLUMN: Final = (*_WHERE, "attack", "pruning_rate")
_NETWORK: Final = ("model", "recipe", "defense")
_BLANK: Final = Cell("", bold=False)
_NONE: Final = Cell(text.MISSING, bold=False)
NOTE: Final = (
    "In percent, with 95 % Wilson intervals. Robust: right before and after the attack, of all "
    "images. ASR: broken, of the images right before the attack; a pruned network that is rarely "
    "right has few, so it must be read beside its clean accuracy, and it is not ranked: its "
    "denominators differ. Zeros: the share of the prunable weights that is zero, as measured. A "
    "column is one attack at one pruning rate. Worst-case: an image counts as broken if any attack "
    "broke it."
)


def pruning_sheet(table: RunTable) -> Sheet:
    """A table per data set, threat, norm, seed and epsilon: what pruning does to each network.

    Raises UserError for a run that prunes nothing.
    """
    if not any(row["pruning_rate"] for row in table.rows):
        raise UserError("the run prunes nothing", where=table.run_id,
                        expected="pruning: {rates: [0, 0.3, …]} in its matrix")
    reasons = barred(table)
    standing = robust_standings(table, table.rows, reasons, columns=_COLUMN)
    labels = varying(table.rows, _NETWORK) or ("model",)
    said = tuple(name for name in _NETWORK if name not in labels)
    panels: list[Panel] = []
    long: list[Mapping[str, Any]] = []
    why: dict[str, set[str]] = {}
    for rows in grouped(table.rows, _WHERE).values():
        attacks = attacks_of(rows)
        shown = [row for row in rows if row["attack"] in attacks]
        size = text.epsilon(shown[0]["epsilon"], table.epsilon_text)
        told = caption((sentence(shown[0], PLACE), f"ε {size}", sentence(shown[0], said),
                        images(shown)))
        clean = _clean(table, shown, reasons)
        rates = sorted({float(row["pruning_rate"]) for row in shown})
        panels += [
            Panel(told, _grid(shown, part, attacks=attacks, labels=labels, clean=clean,
                              standing=standing))
            for part in _even(rates)
        ]
        for row in shown:
            found = reasons(row)
            why.setdefault(sentence(row, (*labels, "pruning_rate")), set()).update(found)
            long.append({**row, "standing": standing[name_of(row)], "not_ranked": ",".join(found)})
    return Sheet(
        title=table.name, layout="pruning", run_id=table.run_id, panels=tuple(panels),
        columns=(*COLUMNS, "standing", "not_ranked"), rows=tuple(long),
        notes=(NOTE, RULE, *filter(None, [why_barred({n: w for n, w in why.items() if w})])),
        sections=sections(table, table.rows),
    )


def _even(rates: Sequence[float]) -> list[Sequence[float]]:
    """The rates as tables of nearly the same width."""
    tables = math.ceil(len(rates) / MOST)
    width = math.ceil(len(rates) / tables)
    return [rates[start:start + width] for start in range(0, len(rates), width)]


def _clean(table: RunTable, rows: Sequence[Row], reasons: Reasons) -> dict[str, Standing]:
    """Of all victims, each among those of its pruning rate."""
    found: dict[str, Standing] = {}
    for members in grouped(rows, ("pruning_rate",)).values():
        found |= clean_standings(table, members, reasons)
    return found


def _grid(
    rows: Sequence[Row],
    rates: Sequence[float],
    *,
    attacks: Sequence[str],
    labels: Sequence[str],
    clean: Mapping[str, Standing],
    standing: Mapping[tuple[Any, ...], Standing],
) -> Grid:
    heads = (
        *label_columns(labels),
        Column("attack", numeric=False),
        Column("measured", numeric=False),
        *(Column(f"{text.rate(rate)} %", numeric=True, above="pruned") for rate in rates),
    )
    blocks = []
    for members in grouped(rows, _NETWORK).values():
        by_rate = {rate: [row for row in members if row["pruning_rate"] == rate] for rate in rates}
        lines = [
            ("", "zeros %", [_zeros(known) for known in by_rate.values()]),
            ("", "clean %", [_clean_cell(known, clean) for known in by_rate.values()]),
        ]
        for attack in attacks:
            found = [next((row for row in known if row["attack"] == attack), None)
                     for known in by_rate.values()]
            if any(row is not None for row in found):
                lines += [
                    (attack, "robust %", [
                        _NONE if row is None else marked(robust_text(row), standing[name_of(row)])
                        for row in found]),
                    (attack, "ASR %", [
                        _NONE if row is None else Cell(asr_text(row), bold=False)
                        for row in found]),
                ]
        blocks.append(tuple(
            (*(label_cells(members[0], labels) if place == 0 else (_BLANK,) * len(labels)),
             Cell(attack, bold=False), Cell(measured, bold=False), *cells)
            for place, (attack, measured, cells) in enumerate(lines)
        ))
    return Grid(heads, tuple(blocks))


def _zeros(rows: Sequence[Row]) -> Cell:
    return Cell(text.percent(float(rows[0]["sparsity"])), bold=False) if rows else _NONE


def _clean_cell(rows: Sequence[Row], standing: Mapping[str, Standing]) -> Cell:
    return marked(clean_text(rows), standing[victim_of(rows[0]).name]) if rows else _NONE
