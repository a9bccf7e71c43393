"""What zero successes still allow: the rule of three (Hanley & Lippman-Hand, JAMA 249, 1983)."""

from __future__ import annotations


def rule_of_three(n: int) -> float:
    """The upper 95 % bound 3/n of a rate that showed no success in `n` trials, at most 1.

    One-sided; the exact bound 1 − 0.05^(1/n) is never above it. Raises ValueError for n < 1.
    """
    if n < 1:
        raise ValueError(f"the rule of three needs at least one trial, got n = {n}")
    return min(1.0, 3 / n)
