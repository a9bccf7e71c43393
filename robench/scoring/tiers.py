"""Tiers and rank intervals instead of a strict order: who can be told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robench.scoring.images import Verdicts
from robench.scoring.paired import Pair


@dataclass(frozen=True)
class Standing:
    """Where a victim stands among those compared.

    `rank` is 1 + the victims with more robust images. The interval [`rank_low`, `rank_high`] is
    [1 + victims significantly better, number of victims − victims significantly worse], so it
    always holds `rank`. `tier` counts from 1, the best.
    """

    name: str
    n_robust: int
    n: int
    rank: int
    rank_low: int
    rank_high: int
    tier: int


def standings(victims: Mapping[str, Verdicts], pairs: Sequence[Pair]) -> tuple[Standing, ...]:
    """The victims, best first (equals by name), with rank intervals and tiers.

    `pairs` is `compare_pairs` of the same victims. The rule of tiers: the best victim opens tier 1;
    going down, a victim joins while it is not significantly worse than the one that opened the
    tier. The first rate at which a victim is significantly worse closes the tier and opens the
    next, led by that victim; victims of equal rate are never divided. "Cannot be told apart" is
    not transitive: members of one tier other than its leader may differ significantly, and a
    victim of a lower tier may not be told apart from some of a higher one. A tier says only who
    cannot be told apart from its leader; the rank intervals use every pair.

    Raises ValueError where `pairs` are not those of `victims`.
    """
    expected = len(victims) * (len(victims) - 1) // 2
    known = {name for pair in pairs for name in (pair.one, pair.other)}
    if len(pairs) != expected or (pairs and known != set(victims)):
        raise ValueError(f"pairs of other victims: expected {expected} of {sorted(victims)}, "
                         f"got {len(pairs)} of {sorted(known)}")
    robust = {name: int(held.robust.sum()) for name, held in victims.items()}
    better: Counter[str] = Counter()
    worse: Counter[str] = Counter()
    beaten: set[tuple[str, str]] = set()
    for pair in pairs:
        winner = pair.better
        if winner is not None:
            loser = pair.other if winner == pair.one else pair.one
            worse[winner] += 1
            better[loser] += 1
            beaten.add((winner, loser))
    order = sorted(victims, key=lambda name: (-robust[name], name))
    tiers = _tiers(order, robust, beaten)
    place = {count: 1 + sum(more > count for more in robust.values())
             for count in set(robust.values())}
    return tuple(
        Standing(
            name=name,
            n_robust=robust[name],
            n=len(victims[name].robust),
            rank=place[robust[name]],
            rank_low=1 + better[name],
            rank_high=len(order) - worse[name],
            tier=tiers[name],
        )
        for name in order
    )


def _tiers(
    order: Sequence[str], robust: Mapping[str, int], beaten: set[tuple[str, str]]
) -> dict[str, int]:
    leader, tier = order[0], 1
    tiers: dict[str, int] = {}
    for count in sorted(set(robust.values()), reverse=True):
        equals = [name for name in order if robust[name] == count]
        fallen = [name for name in equals if (leader, name) in beaten]
        if fallen:
            leader, tier = fallen[0], tier + 1
        tiers |= dict.fromkeys(equals, tier)
    return tiers
