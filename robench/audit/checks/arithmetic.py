"""Rates that no count of images can give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from robench.audit.checks.common import finding, listed
from robench.audit.facts import TestSet
from robench.audit.finding import Finding, Severity
from robench.audit.granularity import Interval, fits, neighbours, shared
from robench.audit.table import ASR, CLEAN_ACCURACY, UNDER_ATTACK, Entry, Table, grouped

#: The largest test set that is searched for, where the paper names none.
_SEARCHED: Final = 5000


def granularity(table: Table) -> Iterator[Finding]:
    """C1: a rate that is k/n for no whole k, for no test-set size n that the paper states.

    Also: a table on one data set for whose rates no n up to 5,000 fits. Rates with so many digits
    that any value is some k/n tell nothing and give no finding.
    """
    rates = table.of(CLEAN_ACCURACY, UNDER_ATTACK)
    for _, in_table in grouped(rates, "table", "dataset", "task"):
        stated = table.facts.sets(in_table[0].dataset, inferred=False)
        known = stated or table.facts.sets(in_table[0].dataset)
        impossible: list[Entry] = []
        for _, group in grouped(in_table, "victim"):
            if known:
                wrong = [one for one in _own(group) if not any(
                    fits(size.n, [one.interval]) for size in known)]
                impossible += wrong
                if wrong:
                    yield _impossible(group, wrong, known, stated=bool(stated))
        if impossible and len({one.victim for one in in_table}) > 1:
            yield from _no_shared_size(in_table, table.facts.sets(in_table[0].dataset))
    for one in rates:
        if one.n and one.count is None and not fits(one.n, [one.interval]):
            yield _impossible([one], [one], (TestSet(one.n, where="column n"),), stated=True)


def shared_denominators(table: Table) -> Iterator[Finding]:
    """C2: the ASRs of one row must share a denominator: the images right before the attack.

    Denominators up to the largest test set are tried. Where one fits, it implies a clean accuracy;
    a row that none fits is a finding of its own. Transferred images, where each attack has its own
    denominator, are left out.
    """
    rows = [one for one in table.of(ASR) if one.threat != "transfer" and one.count is None]
    fitting: list[tuple[list[Entry], str]] = []
    for _, group in grouped(rows, "table", "victim", "condition", "epsilon"):
        sets = table.facts.sets(group[0].dataset)
        if len(group) < 2 or not sets:
            continue
        n = max(one.n for one in sets)
        found = shared(range(1, n + 1), [one.interval for one in group])
        if not found:
            yield finding(
                "C2", "serious", group,
                f"no number of images up to {n} gives all ASRs of {group[0].named}: "
                f"{listed([f'{one.attack} {one.shown}' for one in group])}. They were not counted "
                "on the same images, or not divided by those right before the attack.",
                "print broken and right before beside every ASR",
            )
        elif _tells(group):
            fitting.append((group, _implied(found, sets)))
    for _, entries in grouped([one for group, _ in fitting for one in group], "table"):
        parts = [f"{group[0].model}, pruned {100 * (group[0].pruning or 0):g} %, {said}"
                 for group, said in fitting if group[0] in entries]
        yield finding(
            "C2", "note", entries,
            f"the denominators that fit the ASRs, and the clean accuracy they imply: "
            f"{listed(parts)}.",
            "compare with the clean accuracy of the networks",
        )


def _impossible(
    group: list[Entry], wrong: list[Entry], known: tuple[TestSet, ...], *, stated: bool
) -> Finding:
    own = _own(group)
    size = max(known, key=lambda one: sum(fits(one.n, [entry.interval]) for entry in own))
    around = []
    for one in wrong:
        below, above = neighbours(size.n, one.value)
        around.append(f"{one.shown} lies between {below}/{size.n} = {100 * below / size.n:.2f} % "
                      f"and {above}/{size.n} = {100 * above / size.n:.2f} %")
    intervals = [one.interval for one in own]
    least = next((n for n in range(1, _SEARCHED + 1) if fits(n, intervals)), None)
    smallest = (f"the smallest n that fits all of them is {least}" if least
                else f"no n up to {_SEARCHED} fits all of them")
    said = listed(list(dict.fromkeys(around)))
    severity: Severity = "note" if not stated else "serious" if len(wrong) > 1 else "warning"
    return finding(
        "C1", severity, wrong,
        f"{len(wrong)} of {len(own)} accuracies of {group[0].named} are no k/n for "
        f"{' or '.join(map(str, known))}: {said}; {smallest}. They were counted on "
        "other images, averaged over runs, or mistyped.",
        "print right/n beside every accuracy",
    )


def _no_shared_size(entries: list[Entry], known: tuple[TestSet, ...]) -> Iterator[Finding]:
    intervals = [one.interval for one in _own(entries)]
    if shared(range(1, _SEARCHED + 1), intervals):
        return
    fit = [f"{size}: {sum(fits(size.n, [one]) for one in intervals)} of {len(intervals)}"
           + (", inferred" if size.inferred else "") for size in known]
    per_model = []
    for (model,), group in grouped(_own(entries), "model"):
        least = _least([one.interval for one in group])
        per_model.append(f"{model} {least or 'none'}")
    yield finding(
        "C1", "serious", entries,
        f"no n up to {_SEARCHED} fits all accuracies of the table on {entries[0].dataset}. Of the "
        f"known test sets fit: {listed(fit)}. The smallest n for each model: {listed(per_model)}. "
        "The models were not all measured on the same images.",
        "measure all models on one test set, and print its size",
    )


def _least(intervals: list[Interval]) -> int | None:
    return next((n for n in range(1, _SEARCHED + 1) if fits(n, intervals)), None)


def _own(entries: list[Entry]) -> list[Entry]:
    """Each number of a victim once: a clean accuracy may be printed in every row."""
    seen: dict[object, Entry] = {}
    for one in entries:
        seen.setdefault((one.victim, one.metric, one.attack, one.epsilon, one.condition, one.value),
                        one)
    return list(seen.values())


def _tells(group: list[Entry]) -> bool:
    """Whether there is a rate that is neither 0 nor 1: these fit any denominator."""
    return any(one.half < one.value < 1 - one.half for one in group)


def _implied(found: list[int], sets: tuple[TestSet, ...]) -> str:
    """The denominators, and the accuracy that they are on the largest test set.

    Also on any other test set one of whose classes has as many images.
    """
    few = len(found) <= 3
    said = " or ".join(map(str, found)) if few else f"{found[0]} to {found[-1]} ({len(found)})"
    largest = max(sets, key=lambda one: one.n)
    parts = []
    for one in sets:
        same = [name for name, count in one.classes.items() if count in found]
        ends = [n for n in (found if few else [found[0], found[-1]]) if n <= one.n]
        if ends and (same or one is largest):
            shares = (" or " if few else " to ").join(f"{100 * n / one.n:.1f}" for n in ends)
            parts.append(f"{shares} % of {one.n}"
                         + (f", {', '.join(same)} has as many" if same else ""))
    return f"{said}: {'; '.join(parts)}" if parts else said
