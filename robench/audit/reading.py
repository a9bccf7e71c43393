"""CSV files and DataFrames as tables: the published layout, leaderboards, and plain wide ones."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robench.audit.columns import ALIASES, ASIDE, COLUMNS, OTHER_METRICS, metric_of, useless
from robench.audit.facts import NOTHING, Facts
from robench.audit.names import canonical
from robench.audit.table import CLEAN_ACCURACY, RATES, UNDER_ATTACK, Entry, Table
from robench.audit.units import Number, epsilon, number, rates
from robench.errors import UserError, nearest
from robench.scoring.rows import WORST_CASE


@dataclass(frozen=True)
class _Cell:
    """A number before its unit is settled."""

    line: Mapping[str, str]
    row: str
    column: str
    metric: str
    number: Number


def read_csv(path: Path, facts: Mapping[str, Facts] | None = None) -> list[Table]:
    """The tables of a CSV file, one per paper. Raises UserError for what is no table of results."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"cannot be read as CSV: {reason}", where=str(path)) from None
    if not lines or not any(any(cell.strip() for cell in line) for line in lines):
        raise UserError("an empty file", where=str(path), expected="a CSV with a header")
    header = [name.strip() for name in lines[0]]
    for place, line in enumerate(lines[1:], start=2):
        if len(line) not in (0, len(header)):
            raise UserError("a row with another number of cells than the header",
                            where=f"{path}:{place}", got=len(line), expected=str(len(header)))
    rows = [dict(zip(header, line, strict=True)) for line in lines[1:] if line]
    return tables(rows, header, name=str(path), facts=facts or {})


def read_frame(frame: Any, facts: Mapping[str, Facts] | None = None) -> list[Table]:
    """The tables of a pandas DataFrame; missing values are empty cells.

    Floats have lost the zeros at the end of their numbers, so these count as rounded further than
    they were printed: a check may miss something, and finds nothing that is not there.
    """
    header = [str(name) for name in frame.columns]
    rows = [
        {name: _text(value) for name, value in zip(header, values, strict=True)}
        for values in frame.itertuples(index=False, name=None)
    ]
    return tables(rows, header, name="the table", facts=facts or {})


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    # Of the float 90.0 nobody knows whether it was printed as 90 or 90.0.
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def tables(
    rows: Sequence[Mapping[str, str]], header: Sequence[str], *, name: str,
    facts: Mapping[str, Facts],
) -> list[Table]:
    """The tables of rows of text; `facts` are those of each paper, or of "" for all."""
    spelled = {column: column.strip().lower().replace(" ", "_") for column in header}
    if len(set(spelled.values())) < len(header):
        twice = sorted({one for one in spelled.values() if [*spelled.values()].count(one) > 1})
        raise UserError("a column stands twice", where=name, got=", ".join(twice or header))
    lines = [{spelled[column]: value.strip() for column, value in row.items()} for row in rows]
    for aside in useless(lines, list(spelled.values())):
        for line in lines:
            del line[aside]
    cells = _cells(lines, list(spelled.values()), name=name)
    if not cells:
        raise UserError("no number in any column of results", where=name)
    settled: dict[int, Entry] = {}
    for column in dict.fromkeys((cell.line.get("table", ""), cell.metric) for cell in cells):
        places = [place for place, cell in enumerate(cells)
                  if (cell.line.get("table", ""), cell.metric) == column]
        for place, entry in zip(places, _entries([cells[one] for one in places], name),
                                strict=True):
            settled[place] = entry
    entries = [settled[place] for place in range(len(cells))]
    given = {column for line in lines for column, value in line.items() if value}
    return [
        _table(paper, [one for one in entries if one.paper == paper], given,
               facts.get(paper, facts.get("", NOTHING)))
        for paper in dict.fromkeys(one.paper for one in entries)
    ]


def _cells(lines: Sequence[Mapping[str, str]], header: Sequence[str], *, name: str) -> list[_Cell]:
    long = "metric" in header and "value" in header
    wide = {column: metric_of(column) for column in header if metric_of(column)}
    if not long and not wide:
        known = sorted({*RATES, *ALIASES, "metric", "value"})
        raise UserError("no column of results", where=name, got=", ".join(header[:12]),
                        expected="metric and value, or one like clean_accuracy, robust_accuracy, "
                                 "asr", nearest=next(filter(None, (
                                     nearest(column, known) for column in header)), None))
    found: list[_Cell] = []
    seen: set[str] = set()
    for place, line in enumerate(lines, start=2):
        row = line.get("row_id") or f"row {place}"
        if row in seen:
            raise UserError("row_id stands twice", where=name, got=row, expected="one row each")
        seen.add(row)
        if canonical(line.get("attack", "")) == WORST_CASE:
            continue  # it repeats, image by image, what the other rows count
        columns = {"value": ALIASES.get(line["metric"], line["metric"])} if long else wide
        for column, metric in columns.items():
            read = _read(line, column, metric, where=f"{name} {row}")
            if read is not None:
                found.append(_Cell(line, row, column, metric, read))
    return found


def _read(line: Mapping[str, str], column: str, metric: str, *, where: str) -> Number | None:
    if metric not in RATES and metric not in OTHER_METRICS:
        return None  # a learning rate, an image size
    return number(line[column], where=where, column=column)


def _entries(cells: Sequence[_Cell], name: str) -> list[Entry]:
    """The entries of the cells of one column, which share a unit."""
    metric = cells[0].metric
    if metric not in RATES:
        return [replace(_labels(cell, name), value=cell.number.value, half=cell.number.half,
                        shown=f"{cell.number.value:.{cell.number.decimals}f}") for cell in cells]
    read = rates([(cell.number, cell.row) for cell in cells],
                 [cell.line.get("unit", "") for cell in cells], file=name, column=cells[0].column)
    return [_counted(replace(_labels(cell, name), value=rate.value, half=rate.half,
                             shown=rate.shown), cell.line, name)
            for cell, rate in zip(cells, read, strict=True)]


def _labels(cell: _Cell, name: str) -> Entry:
    line, where = cell.line, f"{name} {cell.row}"
    attack = canonical(line.get("attack", ""))
    metric = cell.metric
    if metric == CLEAN_ACCURACY:
        attack = "none"
    elif metric == "accuracy" and "attack" in line and "metric" not in line:
        metric = CLEAN_ACCURACY if attack == "none" else UNDER_ATTACK
    clean = attack == "none"
    steps = number(line.get("steps", ""), where=where, column="steps")
    pruned = number(line.get("pruning_rate", ""), where=where, column="pruning_rate")
    return Entry(
        row=cell.row, paper=line.get("paper", ""), table=line.get("table", ""), metric=metric,
        value=0.0, half=0.0, shown="", attack=attack,
        dataset=line.get("dataset", ""), task=line.get("task", ""),
        model=line.get("model", ""), defense=line.get("defense", ""),
        called="" if clean else line.get("attack", ""),
        pruning=None if pruned is None else pruned.value / (100 if pruned.value > 1 else 1),
        epsilon=None if clean else epsilon(line.get("epsilon", ""), where=where),
        threat="" if clean else line.get("threat", "").lower().replace("_", "-"),
        norm="" if clean else line.get("norm", ""),
        steps=None if clean or steps is None else int(steps.value),
        label=line.get("class_label", ""),
        bold={"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}.get(
            line.get("bold", "").lower()),
        variant=line.get("note", ""),
        other=tuple(f"{column} {value}" for column, value in line.items()
                    if value and column not in COLUMNS | ASIDE and not metric_of(column)
                    and not (clean and column == "surrogate")),
    )


def _counted(entry: Entry, line: Mapping[str, str], name: str) -> Entry:
    """The entry with its counts, where the table has a column `n` (and `n_correct` for an ASR)."""
    column = "n_correct" if entry.metric == "asr" and line.get("n_correct") else "n"
    if entry.metric == "asr" and column == "n" and "robust_accuracy" not in line:
        return entry  # the denominator of an ASR is not the number of images
    found = number(line.get(column, ""), where=f"{name} {entry.row}", column=column)
    if found is None or entry.metric not in (CLEAN_ACCURACY, UNDER_ATTACK, "asr", "accuracy"):
        return entry
    if found.value != int(found.value) or found.value < 0:
        raise UserError(column, where=f"{name} {entry.row}", got=found.value,
                        expected="a whole number of images")
    n = int(found.value)
    count = round(entry.value * n)
    # A whole count where right ones are counted too is no accident of rounding.
    exact = entry.half < 1e-6 or ("n_correct" in line and abs(entry.value * n - count) < 1e-6)
    if not exact or not n:
        return replace(entry, n=n)
    return replace(entry, n=n, count=count, half=min(entry.half, 1e-9))


def _table(paper: str, entries: Sequence[Entry], given: set[str], facts: Facts) -> Table:
    told = [
        replace(one, variant=next((word for word in facts.variants if word in one.variant), ""))
        for one in entries
    ]
    known = {*given, *(one.metric for one in told)}
    known |= {"n"} if facts.test_sets else set()
    known |= {"class counts"} if any(
        one.classes for sets in facts.test_sets.values() for one in sets) else set()
    known |= {"classes"} if facts.classes or "class counts" in known else set()
    known |= {"settings"} if facts.attacks else set()
    return Table(paper, tuple(told), frozenset(known), facts)
