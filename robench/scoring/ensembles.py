"""Which attacks an evaluation needs: optimality (AttackBench 2025) and sufficient ensembles.

The greedy ensemble follows AutoAE (2022).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robench.scoring.distances import Distances, same_victim
from robench.scoring.worst_case import Bools, Floats, Tally, worse


@dataclass(frozen=True)
class Optimality:
    """How near an attack comes to the best of all attacks on every image.

    `area` is A_a, the mean of min(d_a, D). `optimality` is ξ_a = 1 − (A_a − A*)/(c̄·D − A*): 1 for
    an attack as good as all together, 0 for one that breaks nothing below D.
    """

    attack: str
    area: float
    optimality: float


@dataclass(frozen=True)
class Step:
    """One attack of an ensemble, run on the images that the attacks before it left.

    `newly_broken` of the `tried` images; `propagations` are forwards and backwards over the
    `tried` images; `n_robust` are left after it.
    """

    attack: str
    tried: int
    newly_broken: int
    propagations: float
    n_robust: int


def optimality(attacks: Mapping[str, Distances], *, up_to: float) -> tuple[Optimality, ...]:
    """ξ of each attack on one victim up to the declared largest epsilon `up_to` (D).

    Only attacks with equal propagation budgets, and fixed-budget ones with equal epsilons, can be
    compared: the caller sees to both. Between epsilons, d is the one the image broke at. NaN where
    no attack breaks an image below D, for then there is nothing to come near to.

    Raises ValueError unless `up_to` is positive and finite, for no attack and different images.
    """
    if not 0 < up_to < math.inf:
        raise ValueError(f"up_to must be positive and finite, got {up_to}")
    found = same_victim(attacks)
    reached = {name: np.minimum(known.high, up_to) for name, known in found.items()}
    best = np.minimum.reduce(list(reached.values()))
    first, *_ = found.values()
    # Differences image by image: of two sums, rounding could hide the only image that broke.
    room = float((np.where(first.correct, up_to, 0.0) - best).sum())
    return tuple(
        Optimality(
            attack=name,
            area=float(d.mean()),
            optimality=1 - float((d - best).sum()) / room if room > 0 else math.nan,
        )
        for name, d in reached.items()
    )


def smallest_ensemble(attacks: Sequence[Tally]) -> tuple[Step, ...]:
    """A sufficient ensemble by greed: the steps, each the attack that breaks most per propagation.

    `attacks` are tallies of single attacks on one victim at one norm and epsilon. Each step counts
    only the images that are right before and still unbroken: what the attack would break and spend
    if it came after those before it. Equals go to more broken images, then to the name. It ends
    when no attack adds an image, so the last step reaches the worst case over all attacks. Greed
    need not find the fewest attacks.

    Raises ValueError for no attack, one attack twice, different images or labels.
    """
    if not attacks:
        raise ValueError("no attack: an ensemble needs at least one")
    names = [", ".join(each.attacks) for each in attacks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"an attack stands twice: {', '.join(twice)}")
    everything = attacks[0]
    aligned = [attacks[0]]
    blank = _without_results(attacks[0])
    for each in attacks[1:]:
        everything = worse(everything, each)
        aligned.append(worse(blank, each))
    left = everything.correct.copy()
    broken = {name: each.broken for name, each in zip(names, aligned, strict=True)}
    spent = {
        name: each.forwards + each.backwards for name, each in zip(names, aligned, strict=True)
    }
    steps: list[Step] = []
    while broken:
        name = min(broken, key=lambda known: (*_worth(broken[known], spent[known], left), known))
        new = left & broken.pop(name)
        if not new.any():
            break
        tried, passes = int(left.sum()), float(spent[name][left].sum())
        left &= ~new
        steps.append(Step(name, tried, int(new.sum()), passes, int(left.sum())))
    return tuple(steps)


def _worth(broken: Bools, spent: Floats, left: Bools) -> tuple[float, int]:
    """Lower is better: minus the images per propagation, minus the images."""
    new, passes = int((broken & left).sum()), float(spent[left].sum())
    if not new:
        return 0.0, 0
    return -new / passes if passes else -math.inf, -new


def _without_results(held: Tally) -> Tally:
    """The same images, right before every attack, not attacked: what aligns another tally."""
    n = len(held.image_ids)
    return Tally(
        attacks=(),
        image_ids=held.image_ids,
        labels=held.labels,
        predictions=held.predictions,
        correct=np.ones(n, dtype=np.bool_),
        broken=np.zeros(n, dtype=np.bool_),
        distance=np.full(n, math.nan),
        forwards=np.zeros(n),
        backwards=np.zeros(n),
    )
