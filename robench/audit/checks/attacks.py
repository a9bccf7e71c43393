"""Attacks against each other: what is stronger by its construction must not be weaker."""

from __future__ import annotations

from collections.abc import Iterator
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
from robench.audit.exact import fisher, fisher_greater
from robench.audit.finding import Finding
from robench.audit.names import ENSEMBLE, GRADIENT, ITERATIVE, QUERY, SINGLE_STEP
from robench.audit.table import (
    CLEAN_ACCURACY,
    UNDER_ATTACK,
    Entry,
    Table,
    at,
    grouped,
    strength,
    successes,
)

_CLOSE: Final = 0.01  # one point
_SAME: Final = ("table", "victim", "condition", "epsilon")
Pair = tuple[Entry, Entry]


def iterative_below_single_step(table: Table) -> Iterator[Finding]:
    """A2: PGD (or another iterative attack) weaker than FGSM at the same epsilon and pruning.

    Transferred images are left out: there, single steps often carry further. The severity is that
    of Fisher's exact test, one-sided, on the counts.
    """
    pairs = [
        (single, many) for single, many in _pairs(table, SINGLE_STEP, ITERATIVE)
        if single.threat != "transfer" and _same_epsilon(table, single, many)
    ]
    yield from _weaker(
        table, "A2", pairs, "Its steps can only add to what one step finds.",
        "check that the iterative attack climbs the loss, and keep its best iterate")


def random_start_matters(table: Table) -> Iterator[Finding]:
    """A3: PGD and BIM at the same epsilon, step and steps differ.

    They are the same algorithm but for PGD's random start. Fisher's exact test, two-sided, at 5 %
    over all such pairs of a table (Bonferroni).
    """
    alike = [(bim, pgd) for bim, pgd in _pairs(table, {"bim"}, {"pgd"})
             if bim.threat != "transfer" and _same_settings(table, bim, pgd)]
    for pairs in _by_attack(alike):
        cases = [Case((bim, pgd), _against(bim, pgd), p) for bim, pgd in pairs
                 if (p := _differ(table, bim, pgd)) is not None]
        different = [case for case in cases if case.p is not None
                     and case.p * len(cases) < ALPHA]
        if different:
            yield finding(
                "A3", "serious", entries_of(different),
                f"pgd and bim differ in {len(different)} of {len(cases)} pairs, although the "
                f"stated step and number of steps are the same: "
                f"{listed([case.said for case in different])} (Fisher's exact test, p below "
                f"{ALPHA:g}/{len(cases)}). Only the random start tells the two apart, so one of "
                "them is not what it is called.",
                "run both from the clean image: they must agree image by image",
            )


def pixels_track_fgsm(table: Table) -> Iterator[Finding]:
    """A5: JSMA within one point of FGSM in most cells, and in two at least.

    JSMA changes few pixels towards a target, FGSM all of them a little: their rates have no reason
    to agree. Cells where FGSM does nothing, or breaks all, tell nothing and are left out.
    """
    rates = [*table.of(CLEAN_ACCURACY), *table.attacked()]
    for _, entries in grouped(rates, "table"):
        clean = {one.victim: one.value for one in entries if one.metric == CLEAN_ACCURACY}
        cells = [
            (single, jsma) for single, jsma in _pairs(table, {"fgsm"}, {"jsma"}, entries)
            if _moves(single, clean.get(single.victim))
        ]
        close = [(single, jsma) for single, jsma in cells
                 if abs(single.value - jsma.value) <= _CLOSE + 1e-9]
        if len(close) >= 2 and 2 * len(close) >= len(cells):
            yield finding(
                "A5", "serious" if len(close) >= 3 else "warning",
                list(dict.fromkeys(one for pair in close for one in pair)),
                f"jsma is within one point of fgsm in {len(close)} of {len(cells)} cells: "
                + listed([f"{jsma.model}, {at(jsma)}{single.shown} and {jsma.shown}"
                          for single, jsma in close])
                + ". An attack on few pixels cannot track one on all of them, so both numbers "
                "probably come from the same algorithm.",
                "report how many pixels jsma changed",
            )


def ensemble_below_another(table: Table) -> Iterator[Finding]:
    """A7: AutoAttack weaker than one of its members, or than another listed gradient attack.

    AutoAttack is the worst case over its members, so it is never weaker than one of them.
    """
    pairs = _pairs(table, GRADIENT - ENSEMBLE, ENSEMBLE)
    yield from _weaker(
        table, "A7", pairs, "The ensemble was cut short, or is another one.",
        "run the standard ensemble, and take the worst case over all attacks image by image")


def queries_beat_gradients(table: Table) -> Iterator[Finding]:
    """A8: a decision- or score-based attack stronger than every attack with gradients beside it."""
    pairs = []
    for _, group in grouped(table.attacked(), *_SAME):
        gradients = [one for one in group if one.attack in GRADIENT]
        if gradients:
            best = max(gradients, key=lambda one: strength(one)[1])
            pairs += [(query, best) for query in group if query.attack in QUERY]
    yield from _weaker(
        table, "A8", pairs,
        "The other sees no gradient, so the gradients are masked, or the attacks with gradients "
        "are not run to their end.",
        "adapt the attack to the defense (BPDA, expectation over its randomness)")


def _weaker(
    table: Table, check: str, pairs: list[Pair], reading: str, next_step: str
) -> Iterator[Finding]:
    """Findings on pairs of which the second attack should take as many images as the first."""
    for group in _by_attack(pairs):
        one, other = (entry.attack for entry in group[0])
        cases = [Case((a, b), _against(a, b), _stronger(table, a, b))
                 for a, b in group if strength(b)[1] < strength(a)[0]]
        for severity, some in by_severity(cases, tests=len(group)):
            yield finding(
                check, severity, entries_of(some),
                f"{other} is weaker than {one}: {said_of(some)}. {reading}",
                next_step,
            )


def _pairs(
    table: Table, ones: set[str] | frozenset[str], others: set[str] | frozenset[str],
    entries: list[Entry] | None = None,
) -> list[Pair]:
    found = []
    for _, group in grouped(table.attacked() if entries is None else entries, *_SAME):
        found += [(one, other) for one in group if one.attack in ones
                  for other in group if other.attack in others]
    return found


def _by_attack(pairs: list[Pair]) -> Iterator[list[Pair]]:
    groups: dict[object, list[Pair]] = {}
    for one, other in pairs:
        groups.setdefault((one.table, one.attack, other.attack), []).append((one, other))
    yield from groups.values()


def _against(one: Entry, other: Entry) -> str:
    return f"{other.named}, {at(other)}{other.metric} {other.shown} against {one.shown}"


def _differ(table: Table, one: Entry, other: Entry) -> float | None:
    """The two-sided p-value that two attacks take different shares; None without counts."""
    sizes = table.sizes(one, other)
    if sizes is None:
        return None
    n, m = sizes
    return fisher(successes(one, n), n, successes(other, m), m)


def _stronger(table: Table, one: Entry, other: Entry) -> float | None:
    """The one-sided p-value that the first attack takes more images; None without counts."""
    sizes = table.sizes(one, other)
    if sizes is None:
        return None
    n, m = sizes
    return fisher_greater(successes(one, n), n, successes(other, m), m)


def _same_epsilon(table: Table, one: Entry, other: Entry) -> bool:
    """Whether the stated epsilons agree, where a table prints none beside its numbers."""
    stated = [table.facts.setting(entry.attack, "epsilon") for entry in (one, other)]
    return one.epsilon is not None or stated[0] == stated[1]


def _same_settings(table: Table, one: Entry, other: Entry) -> bool:
    def settings(entry: Entry) -> tuple[object, object]:
        steps = entry.steps or table.facts.setting(entry.attack, "steps")
        return steps, table.facts.setting(entry.attack, "step")

    return settings(one)[0] is not None and settings(one) == settings(other)


def _moves(single: Entry, clean: float | None) -> bool:
    """Whether FGSM changes the rate by more than a point, and leaves more than one."""
    low, high = strength(single)
    rest = 1 - clean if clean is not None and single.metric == UNDER_ATTACK else 0.0
    return low > rest + _CLOSE and high < 1 - _CLOSE
