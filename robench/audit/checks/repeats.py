"""One measurement printed twice, transferred attacks, and p-values."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Final

from robench.audit.checks.common import finding, listed
from robench.audit.exact import pairs_needed
from robench.audit.finding import Finding
from robench.audit.names import UNSPECIFIED
from robench.audit.table import (
    ASR,
    CLEAN_ACCURACY,
    HIGHER_IS_BETTER,
    LOWER_IS_BETTER,
    RATES,
    UNDER_ATTACK,
    Entry,
    Table,
    at,
    grouped,
)

#: What is measured of a trained network and may be printed often, but only with one value.
_MEASURED: Final = (HIGHER_IS_BETTER | LOWER_IS_BETTER) & RATES


def two_values(table: Table) -> Iterator[Finding]:
    """C8: one model, data set and attack printed with two values.

    Values that are roundings of one number are not two. The same value twice under attack in one
    table is a note: a row stands twice.
    """
    measured = [one for one in table.entries
                if one.metric in _MEASURED and one.dataset != UNSPECIFIED]
    different: list[Entry] = []
    told: list[str] = []
    for _, group in grouped(measured, "victim", "attack", "called", "epsilon", "condition"):
        low, high = max(one.low for one in group), min(one.high for one in group)
        if low > high + 1e-9:
            different += group
            values = dict.fromkeys(f"{one.shown} ({one.table or one.row})" for one in group)
            told.append(f"{group[0].named}, {at(group[0])}{group[0].attack} {group[0].metric}: "
                        f"{', '.join(values)}")
        elif group[0].attack != "none":
            for _, same in grouped(group, "table"):
                if len(same) > 1 and same[0].in_table:
                    yield finding(
                        "C8", "note", same,
                        f"{same[0].named}, {at(same[0])}{same[0].attack} {same[0].metric} stands "
                        f"{len(same)} times with one value.", "leave the repeated rows out",
                    )
    if told:
        yield finding(
            "C8", "serious", different,
            f"one measurement is printed with two values: {listed(told)}. Different runs or "
            "settings stand behind one name, and the table does not say which.",
            "name what differs, or print mean and spread over the runs",
        )


def transfer_above_clean(table: Table) -> Iterator[Finding]:
    """C14: 1 − transfer ASR above the clean accuracy.

    A network that is right on a share a of clean images can be right on at most a/s of those that
    the surrogate gets right, where s is its own accuracy. A rate of survived attacks above that
    counts images as defended on which the network was wrong to begin with, or right by chance.
    """
    clean = {one.victim: one for one in table.of(CLEAN_ACCURACY)}
    surrogate = {
        entry.dataset: entry.value for entry in clean.values()
        if entry.model == table.facts.surrogates.get(entry.dataset) and not entry.pruning
    }
    transferred = [one for one in table.of(ASR) if one.threat == "transfer"]
    for _, group in grouped(transferred, "table", "victim"):
        known = clean.get(group[0].victim)
        if known is None:
            continue
        bound = min(1.0, known.high / surrogate.get(known.dataset, 1.0))
        above = [one for one in group if 1 - one.high > bound]
        if above:
            yield finding(
                "C14", "serious" if max(1 - one.value for one in above) > bound + 0.1 else "note",
                [*above, known],
                f"{known.named} is right on {known.shown} of the clean images, and survives more "
                f"transferred attacks than the {100 * bound:.1f} % that this allows: "
                f"{listed([f'{one.attack} {100 * (1 - one.value):.2f} %' for one in above])}. Its "
                "ASR counts images it never got right, or it answers one class.",
                "divide by the images that the attacked network gets right",
            )


def possible_p_values(table: Table) -> Iterator[Finding]:
    """C17: the smallest n at which a printed p-value is possible.

    A paired test on n images gives its smallest p-value where all pairs that differ do so one way:
    2 · 0.5^d of d pairs (exact McNemar, two-sided), and d is at most n times the printed difference
    to the best other model. A model that is not the best cannot be significantly better.
    """
    rates = table.of(ASR, UNDER_ATTACK)
    claims = [one for one in table.entries if one.metric == "p_value" and one.value > 0]
    for _, group in grouped(claims, "table", "dataset"):
        told: list[str] = []
        rows: list[Entry] = []
        for claim in group:
            column = [one for one in rates if (one.dataset, one.attack) == (
                claim.dataset, claim.attack)]
            own = [one for one in column if one.victim[2:4] == claim.victim[2:4]]
            others = [one for one in column if one.victim[2:4] != claim.victim[2:4]
                      and own and one.table == own[0].table]
            if not own or not others:
                continue
            lower = own[0].metric in LOWER_IS_BETTER
            best = (min if lower else max)(others, key=lambda one: one.value)
            gain = (best.value - own[0].value) * (1 if lower else -1)
            rounding = best.half + own[0].half
            if gain + rounding <= 0:
                yield finding(
                    "C17", "serious", [claim, own[0], best],
                    f"{claim.attack} on {claim.dataset}: p = {claim.value:g} is printed for "
                    f"{own[0].model} being better, but it has {own[0].shown} and {best.model} "
                    f"{best.shown}. The test compares it with others, or was not this one.",
                    "name the test, what is compared, and the number of images",
                )
                continue
            pairs = pairs_needed(claim.high)
            told.append(f"{claim.attack} p = {claim.value:g}, {own[0].shown} against {best.shown}: "
                        f"n ≥ {ceil(pairs / (gain + rounding))}")
            rows += [claim, own[0], best]
        if told:
            yield finding(
                "C17", "note", rows,
                f"the fewest images with which the p-values on {group[0].dataset} are possible "
                f"against the best other model: {listed(told)}. Fewer, and the values come from "
                "another test or comparison.",
                "print the test and the number of images",
            )
