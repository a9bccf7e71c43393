"""Pruned networks: how many parameters are left, and how far from the unpruned ones they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from robench.audit.checks.common import ALPHA, finding, listed
from robench.audit.exact import fisher
from robench.audit.finding import Finding
from robench.audit.table import (
    ASR,
    CLEAN_ACCURACY,
    UNDER_ATTACK,
    Entry,
    Table,
    grouped,
)

#: Up to this rate pruning is said to leave a network what it was.
_MILD: Final = 0.3
#: Parameters that are never pruned (biases, normalisation) leave a few more than the rate says.
_SPARED: Final = 0.05
#: Counts in M, of a network that may be counted without its classifier.
_ROUNDED: Final = 0.01


def parameters_left(table: Table) -> Iterator[Finding]:
    """C9: parameters left after pruning = P0·(1 − rate), or where the rates compound instead.

    Rates that were applied one after another to the same network leave the product of all (1 −
    rate). Up to 5 % more than either, of parameters that are not pruned, fits it.
    """
    counted = [one for one in table.of("params_m") if one.pruning is not None]
    for _, group in grouped(counted, "table", "dataset", "task"):
        steps = sorted(group, key=lambda one: one.pruning or 0)
        if not steps or steps[0].pruning != 0:
            continue
        whole, left = steps[0], 1.0
        wrong, compounding, told = [], True, []
        for one in steps[1:]:
            rate = one.pruning or 0.0
            left *= 1 - rate
            if not _fits(one, whole, 1 - rate):
                wrong.append(one)
                told.append(f"{100 * rate:g} %: {one.shown} M printed, "
                            f"{whole.value * (1 - rate):.2f} M at the rate, "
                            f"{whole.value * left:.2f} M compounding")
            compounding &= _fits(one, whole, left)
        if wrong:
            reading = ("The rates were applied one after another to the same network, so the "
                       "networks are pruned further than the table says."
                       if compounding else "Neither the rates nor their product explain it.")
            yield finding(
                "C9", "serious", [whole, *wrong],
                f"parameters left of {whole.shown} M do not fit the pruning rates: "
                f"{listed(told)}. {reading}",
                "print the share of zero weights that was measured",
            )


def against_unpruned(table: Table) -> Iterator[Finding]:
    """C3: unpruned and pruned rows of one model contradict each other.

    From accuracy before and under attack an unpruned model has an ASR of at least 1 − under/clean.
    At rates up to 30 %, said to leave the network what it was, the printed ASR of rows that name no
    epsilon must lie between the lowest and the highest of these over the printed epsilons, within
    chance (Fisher's exact test) where counts are known and 5 points where they are not.
    """
    unpruned: dict[object, list[tuple[Entry, float]]] = {}
    for _, group in grouped(
        [one for one in table.of(CLEAN_ACCURACY, UNDER_ATTACK) if not one.pruning], "victim"
    ):
        clean = [one for one in group if one.metric == CLEAN_ACCURACY and one.value > 0]
        if clean:
            unpruned[_network(group[0])] = [
                (one, max(0.0, 1 - one.value / clean[0].value))
                for one in group if one.metric == UNDER_ATTACK
            ]
    mild = [one for one in table.of(ASR) if 0 < (one.pruning or 0) <= _MILD + 1e-9
            and one.threat != "transfer" and one.epsilon is None]
    for _, group in grouped(mild, "table"):
        wrong, told = [], []
        for one in group:
            known = [pair for pair in unpruned.get(_network(one), ())
                     if pair[0].attack == one.attack]
            nearest = min(known, key=lambda pair: abs(pair[1] - one.value), default=None)
            if nearest is None or _inside(one, [asr for _, asr in known]):
                continue
            if _far(table, one, nearest[1]):
                wrong += [one, *(entry for entry, _ in known)]
                rates = ", ".join(f"{100 * asr:.1f} %" for _, asr in known)
                told.append(f"{one.named}, {one.attack} ASR {one.shown}, unpruned {rates}")
        if wrong:
            yield finding(
                "C3", "warning", list(dict.fromkeys(wrong)),
                f"{len(told)} of {len(group)} ASRs at mild pruning lie outside what the same "
                f"networks show unpruned at any printed ε: {listed(told)}. Another ε, another "
                "test set, or another network stands behind the pruned rows.",
                "print ε beside the pruned rows, and a row at rate 0",
            )


def _fits(entry: Entry, whole: Entry, left: float) -> bool:
    least, most = whole.low * left * (1 - _ROUNDED), whole.high * left * (1 + _SPARED)
    return least <= entry.high and entry.low <= most


def _network(entry: Entry) -> tuple[object, ...]:
    return entry.dataset, entry.task, entry.model, entry.defense, entry.other


def _inside(entry: Entry, rates: list[float]) -> bool:
    return entry.high >= min(rates) and entry.low <= max(rates)


def _far(table: Table, entry: Entry, other: float) -> bool:
    images = table.test_set([entry])
    if images is None:
        return abs(entry.value - other) > 0.05
    n = images.n
    return fisher(round(entry.value * n), n, round(other * n), n) < ALPHA
