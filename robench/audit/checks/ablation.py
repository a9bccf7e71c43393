"""Nested ablations: a network without a part, and without that part and another."""

from __future__ import annotations

from collections.abc import Iterator

from robench.audit.checks.common import ALPHA, finding, listed
from robench.audit.exact import fisher_greater
from robench.audit.finding import Finding
from robench.audit.names import ablation
from robench.audit.table import (
    CLEAN_ACCURACY,
    LOWER_IS_BETTER,
    Entry,
    Table,
    at,
    grouped,
)

Step = tuple[Entry, Entry]


def parameters_of_ablations(table: Table) -> Iterator[Finding]:
    """C10: a network without a part must have fewer parameters than with it."""
    counted = [one for one in table.of("params_m") if not one.pruning]
    for _, group in grouped(counted, "table", "dataset", "task"):
        larger = [(more, less) for more, less in _nested(group) if less.low > more.high]
        if larger:
            yield finding(
                "C10", "serious", [one for step in larger for one in step],
                "a network has more parameters without a part than with it: " + listed([
                    f"{less.model} {less.shown} M, {more.model} {more.shown} M"
                    for more, less in larger])
                + ". Something else was put in the part's place, so the ablation measures both.",
                "name what replaces a part that is taken out",
            )


def monotone_ablation(table: Table) -> Iterator[Finding]:
    """C13: an ablation is better without a part than with it, by more than chance.

    Fisher's exact test, one-sided, at 5 % over all comparisons of a table (Bonferroni); without
    counts any difference above one point is a note. An ASR whose denominator is not printed is
    taken as a share of the whole test set.
    """
    for _, in_table in grouped([*table.of(CLEAN_ACCURACY), *table.attacked()], "table"):
        steps = [step for _, group in grouped(in_table, "dataset", "task", "attack", "epsilon",
                                              "pruning", "condition")
                 for step in _nested(group)]
        counted = all(table.sizes(more, less) for more, less in steps)
        better = [(more, less) for more, less in steps if _better(less, more) and (
            _significant(table, less, more, len(steps)) if counted
            else abs(less.value - more.value) > 0.01)]
        if better:
            yield finding(
                "C13", "warning" if counted else "note",
                list(dict.fromkeys(one for step in better for one in step)),
                f"taking a part out helps in {len(better)} of {len(steps)} comparisons: " + listed([
                    f"{less.model} {less.shown} against {more.model} {more.shown} "
                    f"({at(more)}{_what(more)})" for more, less in better])
                + ". The parts are not shown to be what makes the network better.",
                "repeat the ablation over seeds, and test the differences image by image",
            )


def _nested(group: list[Entry]) -> list[Step]:
    """Pairs of a network and the one that lacks the fewest parts more."""
    named = list({one.model: (one, *ablation(one.model)) for one in group}.values())
    found = []
    for less, base, removed in named:
        larger = [
            (len(removed) - len(others), one) for one, other, others in named
            if (other == base and others < removed)
            or (not others and removed and other == "_".join([base, *sorted(removed)]))
        ]
        if larger:
            found.append((min(larger, key=lambda pair: pair[0])[1], less))
    return found


def _better(one: Entry, other: Entry) -> bool:
    if one.metric in LOWER_IS_BETTER:
        return one.high < other.low
    return one.low > other.high


def _significant(table: Table, better: Entry, worse: Entry, tests: int) -> bool:
    high, low = (worse, better) if better.metric in LOWER_IS_BETTER else (better, worse)
    sizes = table.sizes(high, low)
    if sizes is None:
        return False
    n, m = sizes
    return fisher_greater(round(high.value * n), n, round(low.value * m), m) * tests < ALPHA


def _what(entry: Entry) -> str:
    pruned = f", pruned {100 * entry.pruning:g} %" if entry.pruning else ""
    return ("clean" if entry.attack == "none" else f"{entry.attack} {entry.metric}") + pruned
