"""Exact paired tests between victims on the same images (McNemar 1947; Holm 1979)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from robench.scoring.images import Verdicts, places
from robench.scoring.worst_case import Floats

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Two victims on the same images.

    `b`: images that only `one` keeps right, `c`: that only `other` does. `p`: two-sided exact
    McNemar. `p_holm`: adjusted over the family of pairs. `significant`: `p_holm` is at most alpha.
    """

    one: str
    other: str
    b: int
    c: int
    p: float
    p_holm: float
    significant: bool

    @property
    def better(self) -> str | None:
        """The victim that is significantly better, None where the two cannot be told apart."""
        if not self.significant:
            return None
        return self.one if self.b > self.c else self.other


def compare_pairs(victims: Mapping[str, Verdicts], *, alpha: float = 0.05) -> tuple[Pair, ...]:
    """Every pair of `victims`, in their order; all these pairs are the family of Holm's method.

    Images are matched by id and taken as independent: where one patient has several, p is too
    small. Raises ValueError for fewer than two victims, different images, or
    alpha outside (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
    names = list(victims)
    if len(names) < 2:
        raise ValueError(f"a comparison needs at least two victims, got {len(names)}")
    robust = _matrix(victims).astype(np.float64)
    # Counts up to 2**53 are exact in float64, and its product is the fast one.
    only_row = np.rint(robust @ (1 - robust).T).astype(np.int64)
    first, second = np.triu_indices(len(names), k=1)
    b, c = only_row[first, second], only_row[second, first]
    p = mcnemar(b, c)
    adjusted = holm(p)
    return tuple(
        Pair(one, other, *counts, p=plain, p_holm=held, significant=held <= alpha)
        for (one, other), counts, plain, held in zip(
            combinations(names, 2),
            zip(b.tolist(), c.tolist(), strict=True),
            p.tolist(),
            adjusted.tolist(),
            strict=True,
        )
    )


def paired_difference(b: int, c: int, n: int, *, confidence: float = 0.95) -> tuple[
    float, float, float
]:
    """(difference, lower, upper end) of the shares of n images that two victims keep right, `b`
    of which only the first and `c` only the second.

    The adjusted interval of Bonett & Price 2012 (doi:10.3102/1076998611411915), which adds one
    image to each of b and c: near its confidence for few images too, and not of width zero where
    no image tells the victims apart. Raises ValueError for counts that do not fit n.
    """
    if n <= 0 or min(b, c) < 0 or b + c > n:
        raise ValueError(f"b and c must be counts of n images, got b={b}, c={c}, n={n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    first, second = (b + 1) / (n + 2), (c + 1) / (n + 2)
    middle = first - second
    half = z * math.sqrt((first + second - middle**2) / (n + 2))
    return (b - c) / n, max(middle - half, -1.0), min(middle + half, 1.0)


def mcnemar(b: Counts, c: Counts) -> Floats:
    """Two-sided exact p-values for discordant counts: min(1, 2·P(X ≤ min(b, c))), X ~ Bin(b+c, ½).

    1 where nothing is discordant. Own arithmetic: a report must not wait for scipy to load.
    Raises ValueError for a negative count or arrays of different length.
    """
    b, c = np.asarray(b, dtype=np.int64), np.asarray(c, dtype=np.int64)
    if b.ndim != 1 or b.shape != c.shape:
        raise ValueError(f"one b for each c: got shapes {b.shape} and {c.shape}")
    if (b < 0).any() or (c < 0).any():
        raise ValueError("discordant counts must not be negative")
    totals, fewer = b + c, np.minimum(b, c)
    p = np.ones(len(b))
    log_factorial = np.array([math.lgamma(k + 1) for k in range(int(totals.max(initial=0)) + 1)])
    for total in np.unique(totals):
        here = totals == total
        k = np.arange(int(fewer[here].max()) + 1)
        chances = log_factorial[total] - log_factorial[k] - log_factorial[total - k]
        tail = np.cumsum(np.exp(chances - total * math.log(2)))
        p[here] = np.minimum(1.0, 2 * tail[fewer[here]])
    p[b == c] = 1.0
    return p


def holm(p: npt.ArrayLike) -> Floats:
    """p-values adjusted by Holm's step-down method, in the given order."""
    raw = np.asarray(p, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate((len(raw) - np.arange(len(raw))) * raw[order])
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def _matrix(victims: Mapping[str, Verdicts]) -> npt.NDArray[np.bool_]:
    """Victims × images, in the image order of the first."""
    first, *_ = victims
    ids = victims[first].image_ids
    return np.stack(
        [
            known.robust[places(ids, known.image_ids, names=(first, name))]
            for name, known in victims.items()
        ]
    )
