"""What is printed bold, and whether it won."""

from __future__ import annotations

from collections.abc import Iterator

from robench.audit.checks.common import ALPHA, finding, listed
from robench.audit.exact import fisher
from robench.audit.finding import Finding
from robench.audit.table import (
    HIGHER_IS_BETTER,
    LOWER_IS_BETTER,
    Entry,
    Table,
    at,
    grouped,
)


def bold_is_best(table: Table) -> Iterator[Finding]:
    """C11: a bold number is not the best of its column, or one that ties with it is not bold."""
    for _, in_table in grouped(_ranked(table), "table"):
        rows: list[Entry] = []
        told: list[str] = []
        for group in _columns(in_table):
            best = _best(group)
            tied = [one for one in group if one.value == best.value]
            wrong = [one for one in group if one.bold and one.value != best.value]
            missed = [one for one in tied if not one.bold]
            for one in wrong:
                told.append(f"{one.model} {one.shown} is bold, {best.model} has {best.shown} "
                            f"({_column(one)})")
            if missed and len(missed) < len(tied):
                told.append(f"{', '.join(one.model for one in missed)} {best.shown} ties with the "
                            f"best and is not bold ({_column(best)})")
            elif missed and not wrong:
                told.append(f"{best.model} {best.shown} is the best and not bold "
                            f"({_column(best)})")
            rows += [*wrong, *([best] if wrong else []), *missed]
        if told:
            yield finding(
                "C11", "warning", list(dict.fromkeys(rows)),
                f"bold does not mark the best: {listed(told)}. Readers take the bold ones for the "
                "winners.",
                "mark every number that cannot be told from the best",
            )


def bold_is_significant(table: Table) -> Iterator[Finding]:
    """C12: a bold win that is not significant against the second best.

    Fisher's exact test, two-sided, at 5 %, on the counts. It takes the two for independent; a
    paired test on the images may tell more, and needs them.
    """
    for _, in_table in grouped(_ranked(table), "table"):
        weak: list[tuple[Entry, Entry, float]] = []
        wins = 0
        for group in _columns(in_table):
            best = _best(group)
            others = [one for one in group if one.value != best.value]
            if not best.bold or not others or len(others) < len(group) - 1:
                continue
            second = _best(others)
            sizes = table.sizes(best, second)
            if sizes is None or best.metric not in (
                    "clean_accuracy", "adversarial_accuracy", "accuracy", "asr"):
                continue
            wins += 1
            n, m = sizes
            p = fisher(round(best.value * n), n, round(second.value * m), m)
            if p >= ALPHA:
                weak.append((best, second, p))
        if weak:
            yield finding(
                "C12", "note", [one for best, second, _ in weak for one in (best, second)],
                f"{len(weak)} of {wins} bold wins are within chance: " + listed([
                    f"{best.model} {best.shown} against {second.model} {second.shown}, "
                    f"{_column(best)}, p = {p:.2f}" for best, second, p in weak]) + ".",
                "test the models on the same images (McNemar), and correct for their number",
            )


def _ranked(table: Table) -> list[Entry]:
    return [one for one in table.entries if one.in_table and one.bold is not None
            and one.metric in HIGHER_IS_BETTER | LOWER_IS_BETTER]


def _columns(entries: list[Entry]) -> Iterator[list[Entry]]:
    """The numbers that stand below each other, where there are several and one is bold."""
    for _, group in grouped(entries, "dataset", "task", "attack", "epsilon", "pruning",
                            "condition"):
        models = {(one.model, one.defense): one for one in group}
        if len(models) > 1 and any(one.bold for one in models.values()):
            yield list(models.values())


def _best(group: list[Entry]) -> Entry:
    worst_is_best = group[0].metric in LOWER_IS_BETTER
    return min(group, key=lambda one: (one.value if worst_is_best else -one.value, not one.bold))


def _column(entry: Entry) -> str:
    pruned = f", pruned {100 * entry.pruning:g} %" if entry.pruning else ""
    what = "clean" if entry.attack == "none" else f"{entry.attack} {entry.metric}"
    return f"{at(entry)}{what}{pruned}"
