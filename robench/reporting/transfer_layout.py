"""Transferred images as targets by surrogates (the protocol of Chen et al. 2021, and beside it
the same rate among the images that the target had right).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from robench.errors import UserError
from robench.reporting import text
from robench.reporting.details import NAMED_BY, Details
from robench.reporting.grid import Cell, Column, Grid
from robench.reporting.panels import (
    VICTIM,
    caption,
    grouped,
    label_cells,
    label_columns,
    parts,
    sections,
    sentence,
    varying,
)
from robench.reporting.ranked import RULE, Standing, barred, marked, ranked, why_barred
from robench.reporting.sheet import Panel, Sheet
from robench.reporting.table import RunTable
from robench.scoring.comparison import Victim
from robench.scoring.paired import compare_pairs
from robench.scoring.rows import Row
from robench.scoring.transfer import TRANSFER, Transfer
from robench.scoring.wilson import wilson

_PANEL: Final = ("dataset", "attack", "norm", "epsilon", "seed")
_COUNTS: Final = ("n", "kept", "fooled", "kept_right", "fooled_right")
_RATES: Final = ("fooled_rate", "fooled_rate_low", "fooled_rate_high", "fooled_right_rate",
                 "fooled_right_rate_low", "fooled_right_rate_high")
COLUMNS: Final = (*NAMED_BY, *_COUNTS, *_RATES, "standing", "not_ranked", "flags")
_OF_KEPT: Final = "of kept"
_OF_RIGHT: Final = "of kept and right"
NOTE: Final = (
    "Images were crafted on the surrogate and shown unchanged to the target. Kept: those whose "
    "adversarial version fooled the surrogate. Fooled of kept: in percent, the kept images that "
    "the target gets wrong, with counts and the 95 % Wilson interval; images that it got wrong "
    "before count too, so a poor classifier looks attackable. Fooled of kept and right: the same "
    "among the kept images that the target had right when clean; its denominators differ, so it is "
    "not ranked. The lower, the better."
)
_APART: Final = "A surrogate whose kept images differ between targets is not ranked."


def transfer_sheet(table: RunTable) -> Sheet:
    """A table per data set, attack, norm, epsilon and seed.

    Raises UserError for a run without transfer cells, or none that says what fooled its surrogate.
    """
    details = table.details or Details()
    if not details.transfers:
        raise UserError(
            "the run has no transfer cells with a result" if not details.uncounted else
            "no transfer cell says which images fooled its surrogate", where=table.run_id,
            expected="threats: [white-box, {transfer: {surrogate: MODEL}}] in its matrix")
    reasons = barred(table)
    flags = {tuple(row[name] for name in NAMED_BY): row for row in table.rows}
    rows = [{**_long(one), "not_ranked": "", "flags": ""} for one in details.transfers]
    for row in rows:
        known = flags.get(tuple(row[name] for name in NAMED_BY))
        if known is not None:
            row |= {"flags": known["flags"], "not_ranked": ",".join(reasons(known))}
    _stand(details.transfers, rows)
    labels = varying(rows, VICTIM) or ("model",)
    said = ("dataset", *(name for name in VICTIM if name not in labels))
    panels = []
    for members in grouped(rows, _PANEL).values():
        size = text.epsilon(members[0]["epsilon"], table.epsilon_text)
        told = caption((
            sentence(members[0], said), members[0]["attack"], text.norm(members[0]["norm"]),
            f"ε {size}", sentence(members[0], ("seed",)), f"{members[0]['n']} images"))
        columns = [[(name, kind) for kind in (_OF_KEPT, _OF_RIGHT)]
                   for name in dict.fromkeys(row["surrogate"] for row in members)]
        panels += [Panel(told, _grid(members, part, labels)) for part in parts(columns)]
    why = {sentence(row, labels): row["not_ranked"].split(",") for row in rows if row["not_ranked"]}
    uncounted = (f"{details.uncounted} transfer cells do not say which images fooled their "
                 "surrogate, and are left out." if details.uncounted else "")
    return Sheet(
        title=table.name, layout="transfer", run_id=table.run_id, panels=tuple(panels),
        columns=COLUMNS, rows=tuple(rows),
        notes=(f"{NOTE} {_APART}", RULE, *filter(None, (why_barred(why), uncounted))),
        sections=sections(table, [row for row in table.rows if row["threat"] == TRANSFER]),
    )


def _long(one: Transfer) -> dict[str, Any]:
    record = asdict(one.record)
    counts = {name: getattr(one, name) for name in _COUNTS}
    rates = (*_rate(one.fooled, one.kept), *_rate(one.fooled_right, one.kept_right))
    return {**{name: record[name] for name in NAMED_BY}, **counts,
            **dict(zip(_RATES, rates, strict=True)), "standing": ""}


def _rate(count: int, of: int) -> tuple[float, float, float]:
    return (count / of if of else float("nan"), *wilson(count, of))


def _stand(transfers: Sequence[Transfer], rows: Sequence[dict[str, Any]]) -> None:
    """Put into `rows` where each target stands among those of its surrogate."""
    columns: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(rows):
        columns.setdefault(tuple(row[name] for name in (*_PANEL, "surrogate")), []).append(place)
    for places in columns.values():
        names = {_name(rows[place]): place for place in places}
        held = {name: transfers[place].stood for name, place in names.items()}
        first, *others = held.values()
        same = all(np.array_equal(first.image_ids, one.image_ids) for one in others)
        pairs = compare_pairs(held) if others and same and len(first.image_ids) else ()
        counts = {name: int(one.robust.sum()) for name, one in held.items()}
        out = [name for name, place in names.items() if rows[place]["not_ranked"]]
        for name, standing in ranked(counts, pairs, out=out).items():
            rows[names[name]]["standing"] = standing


def _name(row: Row) -> str:
    return Victim(row["model"], row["recipe"], row["defense"], row["pruning_rate"]).name


def _grid(
    rows: Iterable[Row], columns: Sequence[tuple[str, str]], labels: Sequence[str]
) -> Grid:
    heads = (
        *label_columns(labels),
        *(Column(f"fooled {kind} %", numeric=True, above=f"surrogate {surrogate}")
          for surrogate, kind in columns),
    )
    block = []
    for members in grouped(rows, VICTIM).values():
        at: Mapping[str, Row] = {row["surrogate"]: row for row in members}
        block.append((
            *label_cells(members[0], labels),
            *(_cell(at.get(surrogate), right=kind == _OF_RIGHT)
              for surrogate, kind in columns),
        ))
    return Grid(heads, (tuple(block),))


def _cell(row: Row | None, *, right: bool) -> Cell:
    if row is None:
        return Cell(text.MISSING, bold=False)
    name, of = ("fooled_right", "kept_right") if right else ("fooled", "kept")
    between = text.interval(row[f"{name}_rate_low"], row[f"{name}_rate_high"])
    said = " ".join(part for part in (text.percent(row[f"{name}_rate"]), between,
                                      f"({row[name]}/{row[of]})") if part)
    standing: Standing = "" if right else row["standing"]
    return marked(said, standing)
