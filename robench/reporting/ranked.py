"""The best of a column, and what may not be ranked at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from robench.audit.catalogue import FLAG_WORDS
from robench.reporting.details import name_of
from robench.reporting.flags import split
from robench.reporting.grid import Cell
from robench.reporting.table import RunTable
from robench.scoring.paired import Pair, holm
from robench.scoring.rows import WORST_CASE, Row

Standing = Literal["best", "level", "beaten", "barred", ""]
#: Beside it, robust accuracy says nothing of robustness.
INVALID: Final = ("constant", "below-majority", "zero-gradient")
#: What of it is about the victim itself, and so about its clean accuracy too.
_OF_CLEAN: Final = frozenset({"constant", "below-majority", *(
    word for check, word in FLAG_WORDS.items() if check in ("B1", "B3", "F7-clean"))})
_ALPHA: Final = 0.05
LEVEL: Final = "†"
BARRED: Final = "‡"
RULE: Final = (
    "Bold: the best of its column, where it is significantly better than every other that is "
    "ranked there. †: the best and all that cannot be told apart from it. By exact McNemar tests "
    "on the same images at 5 %, with Holm's adjustment over the pairs of a column."
)


def barred(table: RunTable) -> Callable[[Row], tuple[str, ...]]:
    """What bars a row of `table`: a flag of `INVALID`, or a serious finding of the audit.

    Of each row its reasons, none where it may be ranked. A worst-case row is barred by what bars
    any of its cells.
    """
    serious: dict[str, set[str]] = {}
    for finding in table.findings:
        if finding.severity == "serious" and finding.check in FLAG_WORDS:
            for key in finding.rows:
                serious.setdefault(key, set()).add(FLAG_WORDS[finding.check])
    by_name: dict[tuple[object, ...], set[str]] = {}
    for name, key in (table.details.keys if table.details else {}).items():
        words = serious.get(key, set())
        for named in (name, (*name[:-1], WORST_CASE)):
            by_name.setdefault(named, set()).update(words)

    def reasons(row: Row) -> tuple[str, ...]:
        found = {flag for flag in split(row["flags"]) if flag in INVALID}
        return tuple(sorted(found | by_name.get(name_of(row), set())))

    return reasons


def of_clean(reasons: Iterable[str]) -> tuple[str, ...]:
    """Those reasons that bar a victim's clean accuracy too."""
    return tuple(reason for reason in reasons if reason in _OF_CLEAN)


def ranked(
    counts: Mapping[str, int], pairs: Iterable[Pair], *, out: Iterable[str] = ()
) -> dict[str, Standing]:
    """Where each of a column stands by `counts`, its right images; those `out` are `barred`.

    `best`: alone at the top, significantly better than each of the others. `level`: one of the
    best, or not told apart from one of them. `beaten`: the others. Holm's method adjusts over the
    pairs of those that are ranked. "" for a column that has no two to rank, or where a pair of
    them was not compared.
    """
    aside = set(out)
    held = {name: count for name, count in counts.items() if name not in aside}
    found: dict[str, Standing] = {
        name: "barred" if name in aside else "" for name in counts
    }
    family = [pair for pair in pairs if pair.one in held and pair.other in held]
    if len(held) < 2 or len(family) != len(held) * (len(held) - 1) // 2:
        return found
    top = max(held.values())
    leaders = {name for name, count in held.items() if count == top}
    beats: dict[str, set[str]] = {name: set() for name in held}
    for pair, p in zip(family, holm([pair.p for pair in family]).tolist(), strict=True):
        if p <= _ALPHA:
            winner, loser = (
                (pair.one, pair.other) if pair.b > pair.c else (pair.other, pair.one)
            )
            beats[winner].add(loser)
    for name in held:
        beaten = name not in leaders and all(name in beats[one] for one in leaders)
        found[name] = "beaten" if beaten else "level"
    if list(found.values()).count("level") == 1:
        (alone,) = leaders
        found[alone] = "best"
    return found


def marked(text: str, standing: Standing) -> Cell:
    """A number with what its standing adds to it."""
    sign = {"level": LEVEL, "barred": BARRED}.get(standing, "")
    return Cell(f"{text} {sign}".rstrip(), bold=standing == "best")


def why_barred(why: Mapping[str, Iterable[str]], *, most: int = 12) -> str:
    """The note on what is not ranked, by name; empty where all is."""
    listed = [f"{name}: {', '.join(sorted(set(reasons)))}" for name, reasons in why.items()]
    if not listed:
        return ""
    more = f"; and {len(listed) - most} more" if len(listed) > most else ""
    return f"‡: not ranked, for what its flags say: {'; '.join(listed[:most])}{more}."
