"""What the layouts share: how rows are grouped and named, and which columns stand together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from robench.reporting import text
from robench.reporting.details import Details, name_of, victim_of
from robench.reporting.findings import findings
from robench.reporting.flags import legend, split
from robench.reporting.grid import Cell, Column
from robench.reporting.layout import LABELS
from robench.reporting.provenance import provenance
from robench.reporting.ranked import Standing, of_clean, ranked
from robench.reporting.sheet import Pairs
from robench.reporting.table import RunTable
from robench.scoring.rows import WORST_CASE, Row

T = TypeVar("T")
#: What the victims of one table have in common.
PLACE: Final = ("dataset", "threat", "surrogate", "norm", "seed")
VICTIM: Final = ("model", "recipe", "defense", "pruning_rate")
#: Columns of numbers in one table: with intervals, more are too wide for a page.
MOST: Final = 6
Reasons = Callable[[Row], tuple[str, ...]]


def grouped(rows: Iterable[Row], names: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """The rows that agree in the columns `names`, in the order of their first."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def varying(rows: Iterable[Row], names: Sequence[str]) -> tuple[str, ...]:
    """Those of the columns `names` that need a column, since their rows differ in them."""
    listed = list(rows)
    return tuple(
        name for name in names if len({LABELS[name].text(row[name]) for row in listed}) > 1
    )


def sentence(row: Row, names: Iterable[str]) -> str:
    """What some columns of a row say, for a caption."""
    told = (LABELS[name].phrase(LABELS[name].text(row[name])) for name in names)
    return " · ".join(part for part in told if part)


def images(rows: Iterable[Row]) -> str:
    """On how many images the rows were counted."""
    sizes = sorted({int(row["n"]) for row in rows})
    return f"{'–'.join(str(size) for size in dict.fromkeys((sizes[0], sizes[-1])))} images"


def caption(parts: Iterable[str]) -> str:
    """A caption of what there is to say."""
    return " · ".join(part for part in parts if part)


def label_columns(names: Iterable[str]) -> tuple[Column, ...]:
    """The columns that name a row."""
    titles = (LABELS[name].title for name in names)
    return tuple(Column(title, numeric=title.endswith("%")) for title in titles)


def label_cells(row: Row, names: Iterable[str]) -> tuple[Cell, ...]:
    """What names a row, below `label_columns`."""
    return tuple(Cell(LABELS[name].text(row[name]), bold=False) for name in names)


def parts(groups: Iterable[Sequence[T]], *, most: int = MOST) -> list[list[T]]:
    """Columns as tables of at most `most`; a group stands in one table unless it is larger."""
    found: list[list[T]] = [[]]
    for group in groups:
        if found[-1] and len(found[-1]) + len(group) > most:
            found.append([])
        for one in group:
            if len(found[-1]) == most:
                found.append([])
            found[-1].append(one)
    return found


def attacks_of(rows: Iterable[Row]) -> list[str]:
    """The attacks of some rows; the worst case last, and only where it is over several."""
    found = list(dict.fromkeys(row["attack"] for row in rows if row["attack"] != WORST_CASE))
    return [*found, WORST_CASE] if len(found) > 1 else found


def robust_standings(
    table: RunTable, rows: Iterable[Row], reasons: Reasons, *, columns: Sequence[str]
) -> dict[tuple[Any, ...], Standing]:
    """Where each row stands among those that agree in `columns`, by `name_of` the row.

    `columns` must hold all that a comparison has in common (`Condition`).
    """
    details = table.details or Details()
    found: dict[tuple[Any, ...], Standing] = {}
    for members in grouped(rows, columns).values():
        first = members[0]
        pairs = [
            pair for held in details.attacks for pair in held.pairs
            if all(getattr(held.condition, name) == first[name] for name in
                   ("dataset", "threat", "surrogate", "attack", "norm", "epsilon", "seed"))
        ]
        names = {victim_of(row).name: name_of(row) for row in members}
        counts = {victim_of(row).name: round(row["robust_accuracy"] * row["n"]) for row in members}
        out = [victim_of(row).name for row in members if reasons(row)]
        standing = ranked(counts, pairs, out=out)
        found |= {names[victim]: where for victim, where in standing.items()}
    return found


def clean_standings(
    table: RunTable, rows: Sequence[Row], reasons: Reasons
) -> dict[str, Standing]:
    """Where the victims of one column of clean accuracies stand, by `Victim.name`.

    Not ranked: a victim that is no classifier worth the name, or whose clean accuracy differs
    between its cells.
    """
    details = table.details or Details()
    first = rows[0]
    counts: dict[str, int] = {}
    out = set()
    for row in rows:
        name, right = victim_of(row).name, int(row["n_correct"])
        if counts.setdefault(name, right) != right or of_clean(reasons(row)):
            out.add(name)
    return ranked(counts, details.clean.get((first["dataset"], first["seed"]), ()), out=out)


def clean_text(rows: Iterable[Row]) -> str:
    """The clean accuracy of one victim in percent, from and to where its cells differ."""
    rates = sorted({float(row["clean_accuracy"]) for row in rows})
    return "–".join(dict.fromkeys((text.percent(rates[0]), text.percent(rates[-1]))))


def robust_text(row: Row) -> str:
    """Robust accuracy in percent with its interval."""
    low, high = row["robust_accuracy_low"], row["robust_accuracy_high"]
    return f"{text.percent(row['robust_accuracy'])} {text.interval(low, high)}".rstrip()


def asr_text(row: Row) -> str:
    """ASR in percent with its interval; a dash where no image was right before."""
    return f"{text.percent(row['asr'])} {text.interval(row['asr_low'], row['asr_high'])}".rstrip()


def sections(table: RunTable, rows: Iterable[Row]) -> tuple[tuple[str, Pairs], ...]:
    """What stands below the tables of a sheet: flags, findings, failed cells, provenance."""
    failed = tuple(
        (f"{failure.label} ({failure.key[:12]})", text.last_line(failure.error))
        for failure in table.failures
    )
    return (
        ("Flags", legend(flag for row in rows for flag in split(row["flags"]))),
        ("Findings", findings(table.findings)),
        ("Failed cells", failed),
        ("Provenance", provenance(table)),
    )
