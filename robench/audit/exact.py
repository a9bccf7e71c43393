"""Exact tests on counts, in plain Python: loading scipy would take longer than an audit."""

from __future__ import annotations

from math import ceil, exp, lgamma, log, log1p, log2

_TIES = 1 + 1e-7  # probabilities that are equal but for rounding count as equal


def binomial_tail(successes: int, n: int, p: float) -> float:
    """P(X ≥ `successes`) for X binomial with `n` draws of probability `p`."""
    if successes <= 0:
        return 1.0
    if successes > n or p <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    return min(1.0, sum(
        exp(_log_choose(n, k) + k * log(p) + (n - k) * log1p(-p)) for k in range(successes, n + 1)
    ))


def fisher(k_a: int, n_a: int, k_b: int, n_b: int) -> float:
    """Fisher's exact test, two-sided: are `k_a` of `n_a` and `k_b` of `n_b` one rate?

    The p-value is the sum over all tables with these margins that are no likelier than this one.
    """
    seen = _hypergeometric(k_a, n_a, k_a + k_b, n_a + n_b)
    return min(1.0, sum(
        p for k in _support(n_a, k_a + k_b, n_a + n_b)
        if (p := _hypergeometric(k, n_a, k_a + k_b, n_a + n_b)) <= seen * _TIES
    ))


def fisher_greater(k_a: int, n_a: int, k_b: int, n_b: int) -> float:
    """Fisher's exact test, one-sided: the chance of `k_a` of `n_a` or more, were the rates one."""
    return min(1.0, sum(
        _hypergeometric(k, n_a, k_a + k_b, n_a + n_b)
        for k in _support(n_a, k_a + k_b, n_a + n_b) if k >= k_a
    ))


def sign_test(more: int, less: int) -> float:
    """The exact McNemar test, one-sided: `more` pairs differ one way, `less` the other."""
    return binomial_tail(more, more + less, 0.5)


def pairs_needed(p: float) -> int:
    """The fewest pairs that differ with which a two-sided paired test can give a p-value of `p`.

    All of them differ the same way then, and p is 2 · 0.5^pairs.
    """
    return max(1, ceil(1 - log2(p)))


def _support(n_a: int, hits: int, n: int) -> range:
    return range(max(0, hits - (n - n_a)), min(n_a, hits) + 1)


def _hypergeometric(k: int, n_a: int, hits: int, n: int) -> float:
    """The chance that `k` of the `n_a` are among the `hits` of all `n`."""
    return exp(_log_choose(n_a, k) + _log_choose(n - n_a, hits - k) - _log_choose(n, hits))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
