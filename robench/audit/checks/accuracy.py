"""Accuracy under attack against the clean accuracy, along epsilon, and at the largest one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from robench.audit.checks.common import (
    ALPHA,
    Case,
    by_severity,
    entries_of,
    finding,
    listed,
    said_of,
)
from robench.audit.exact import binomial_tail, fisher_greater
from robench.audit.finding import Finding
from robench.audit.names import GRADIENT, SINGLE_STEP, UNSPECIFIED
from robench.audit.table import (
    ASR,
    CLEAN_ACCURACY,
    LOWER_IS_BETTER,
    UNDER_ATTACK,
    Entry,
    Table,
    at,
    epsilon_text,
    grouped,
    strength,
)

#: From this size on an L∞ attack must break what is not a constant (Carlini et al. 2019).
LARGE: Final = 25 / 255
EVERYTHING: Final = 0.5


def above_clean(table: Table) -> Iterator[Finding]:
    """A1: accuracy under attack above the clean accuracy of the same model in the same table.

    The severity is that of Fisher's exact test, one-sided, on the counts.
    """
    for _, in_table in grouped(table.of(CLEAN_ACCURACY, UNDER_ATTACK), "table"):
        clean = {one.victim: one for one in in_table if one.metric == CLEAN_ACCURACY}
        attacked = [one for one in in_table if one.metric == UNDER_ATTACK and one.victim in clean]
        for (attack,), group in grouped(attacked, "attack"):
            cases = [
                Case((one, clean[one.victim]), f"{one.named}, {at(one)}{one.shown}, clean "
                     f"{clean[one.victim].shown}", _higher(table, one, clean[one.victim]))
                for one in group if one.low > clean[one.victim].high
            ]
            for severity, some in by_severity(cases, tests=len(group)):
                yield finding(
                    "A1", severity, entries_of(some),
                    f"accuracy under {attack} is above the clean accuracy: {said_of(some)}. An "
                    "attack that steps down the loss of the true label does this.",
                    "check the sign of the attack's step, and that it is given the true label",
                )


def rises_with_epsilon(table: Table) -> Iterator[Finding]:
    """A4: accuracy rises (an ASR falls) from one epsilon to the next of one series.

    The severity is that of Fisher's exact test, one-sided, on the counts; a single-step attack,
    which may overshoot, is a warning at most.
    """
    series = [one for one in (*table.attacked(), *table.of("miou", "dice"))
              if one.epsilon is not None and one.attack != "none"]
    for (_, attack), in_table in grouped(series, "table", "attack"):
        single, steps = attack in SINGLE_STEP, list(_steps(in_table))
        cases = [
            Case((small, large), f"{small.named}, {small.metric} at ε "
                 f"{epsilon_text(small.epsilon or 0)} {small.shown}, at "
                 f"{epsilon_text(large.epsilon or 0)} {large.shown}", _weaker(table, large, small))
            for small, large in steps if strength(large)[1] < strength(small)[0]
        ]
        for severity, some in by_severity(
                cases, tests=len(steps), serious="warning" if single else "serious"):
            yield finding(
                "A4", severity, entries_of(some),
                f"{attack} is weaker at a larger ε: {said_of(some)}. The larger ball holds the "
                "smaller one, so the attack "
                + ("overshoots" if single else "does not search it, or steps the wrong way") + ".",
                "keep the best iterate, and start the larger ε from what the smaller one found",
            )


def _steps(entries: list[Entry]) -> Iterator[tuple[Entry, Entry]]:
    """Neighbours along epsilon, in each series of one victim."""
    for _, group in grouped(entries, "victim", "called", "condition"):
        ordered = sorted(group, key=lambda one: one.epsilon or 0.0)
        yield from ((small, large) for small, large in pairwise(ordered)
                    if (small.epsilon or 0) < (large.epsilon or 0))


def alive_at_large_epsilon(table: Table) -> Iterator[Finding]:
    """A11: accuracy above chance at the largest epsilon, where that is at least 25/255.

    Chance is the share of the largest class, or one in as many classes as there are. With counts, a
    binomial test must tell the accuracy from chance. Norms other than L∞ are left out. From 1/2 on,
    every image can be turned into the same grey, which no classifier survives.
    """
    attacked = [one for one in table.of(UNDER_ATTACK)
                if one.epsilon is not None and one.norm in ("", "linf")
                and one.threat in ("", "white-box", UNSPECIFIED) and one.attack in GRADIENT]
    for _, in_table in grouped(attacked, "table", "dataset", "task"):
        chance = chance_of(table, in_table)
        if chance is None:
            continue
        above: list[Entry] = []
        for _, group in grouped(in_table, "victim", "condition"):
            largest = max(one.epsilon or 0 for one in group)
            above += [one for one in group if one.epsilon == largest and largest >= LARGE - 1e-9
                      and one.low > chance and _above_chance(table, one, chance)]
        for searching in (True, False):
            some = [one for one in above if (one.attack not in SINGLE_STEP) == searching]
            if not some:
                continue
            everything = max(one.epsilon or 0 for one in some) >= EVERYTHING - 1e-9
            yield finding(
                "A11", "note" if not searching else "serious" if everything else "warning", some,
                f"at the largest ε more is right than the {100 * chance:.1f} % that a constant "
                "answer gets: "
                f"{listed([f'{one.model}, {at(one)}{one.attack} {one.shown}' for one in some])}. "
                + ("Such a size turns any image into grey, and an attack that searches finds it: "
                   "it has failed, or gradients are masked." if everything else
                   "Unless these networks were trained to hold at such a size, the attack has "
                   "failed or gradients are masked."),
                "attack with more steps, without ε, and without gradients",
            )


def chance_of(table: Table, group: list[Entry]) -> float | None:
    """What a constant answer gets: the largest class's share, or 1/K, whichever is known."""
    known = [one.majority for one in table.facts.sets(group[0].dataset) if one.classes]
    if known:
        return max(known)
    classes = table.facts.number_of_classes(group[0].dataset, group[0].task)
    return None if classes is None else 1 / classes


def _above_chance(table: Table, entry: Entry, chance: float) -> bool:
    images = table.test_set([entry])
    return images is None or binomial_tail(
        round(entry.value * images.n), images.n, chance) < ALPHA


def _higher(table: Table, one: Entry, other: Entry) -> float | None:
    """The one-sided p-value that the first rate is higher; None without counts."""
    sizes = table.sizes(one, other)
    if sizes is None:
        return None
    n, m = sizes
    return fisher_greater(round(one.value * n), n, round(other.value * m), m)


def _weaker(table: Table, large: Entry, small: Entry) -> float | None:
    if large.metric not in (UNDER_ATTACK, ASR):
        return None
    return (_higher(table, small, large) if large.metric in LOWER_IS_BETTER
            else _higher(table, large, small))
