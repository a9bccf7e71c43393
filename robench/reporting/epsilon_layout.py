"""Robust accuracy as victims by attacks and epsilons, as the papers print it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from robench.reporting import text
from robench.reporting.details import name_of, victim_of
from robench.reporting.grid import Cell, Column, Grid
from robench.reporting.panels import (
    PLACE,
    VICTIM,
    attacks_of,
    caption,
    clean_standings,
    clean_text,
    grouped,
    images,
    label_cells,
    label_columns,
    parts,
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

_COLUMN: Final = (*PLACE, "epsilon", "attack")
_Column = tuple[float, str]
NOTE: Final = (
    "Robust accuracy in percent, of all images those right before and after the attack, with its "
    "95 % Wilson interval. Worst-case: an image counts as broken if any attack broke it."
)


def epsilon_sheet(table: RunTable) -> Sheet:
    """A table per data set, threat, norm and seed: clean accuracy, then the attacks per epsilon."""
    reasons = barred(table)
    standing = robust_standings(table, table.rows, reasons, columns=_COLUMN)
    labels = varying(table.rows, VICTIM) or ("model",)
    said = tuple(name for name in VICTIM if name not in labels)
    panels: list[Panel] = []
    long: list[Mapping[str, Any]] = []
    why: dict[str, set[str]] = {}
    for rows in grouped(table.rows, PLACE).values():
        attacks = attacks_of(rows)
        shown = [row for row in rows if row["attack"] in attacks]
        clean = clean_standings(table, shown, reasons)
        at = {(row["epsilon"], row["attack"], victim_of(row).name): row for row in shown}
        columns = [
            [(epsilon, attack) for attack in attacks
             if any((epsilon, attack) == known[:2] for known in at)]
            for epsilon in sorted({row["epsilon"] for row in shown})
        ]
        told = caption((sentence(shown[0], PLACE), sentence(shown[0], said), images(shown)))
        victims = list(grouped(shown, VICTIM).values())
        panels += [
            Panel(told, _grid(table, victims, columns=part, labels=labels, at=at, clean=clean,
                              standing=standing))
            for part in parts(columns)
        ]
        for row in shown:
            found = reasons(row)
            why.setdefault(sentence(row, labels), set()).update(found)
            long.append({**row, "standing": standing[name_of(row)], "not_ranked": ",".join(found)})
    return Sheet(
        title=table.name, layout="epsilon", run_id=table.run_id, panels=tuple(panels),
        columns=(*COLUMNS, "standing", "not_ranked"), rows=tuple(long),
        notes=(NOTE, RULE, *filter(None, [why_barred({n: w for n, w in why.items() if w})])),
        sections=sections(table, table.rows),
    )


def _grid(
    table: RunTable,
    victims: Sequence[Sequence[Row]],
    *,
    columns: Sequence[_Column],
    labels: Sequence[str],
    at: Mapping[tuple[float, str, str], Row],
    clean: Mapping[str, Standing],
    standing: Mapping[tuple[Any, ...], Standing],
) -> Grid:
    heads = (
        *label_columns(labels),
        Column("clean %", numeric=True),
        *(Column(attack, numeric=True, above=f"ε {text.epsilon(size, table.epsilon_text)}")
          for size, attack in columns),
    )
    block = []
    for rows in victims:
        name = victim_of(rows[0]).name
        cells = []
        for size, attack in columns:
            row = at.get((size, attack, name))
            cells.append(Cell(text.MISSING, bold=False) if row is None
                         else marked(robust_text(row), standing[name_of(row)]))
        block.append((*label_cells(rows[0], labels),
                      marked(clean_text(rows), clean[name]), *cells))
    return Grid(heads, (tuple(block),))
