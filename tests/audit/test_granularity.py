"""Counts behind rounded rates, against trying them all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.audit.granularity import counts, fits, neighbours, shared


@given(st.data(), st.integers(1, 1200), st.integers(0, 4))
def test_what_was_counted_fits_as_it_is_printed(
    data: st.DataObject, n: int, decimals: int
) -> None:
    k = data.draw(st.integers(0, n))
    value = float(f"{100 * k / n:.{decimals}f}") / 100
    half = 0.5 * 10 ** -(decimals + 2)
    assert k in counts(n, (value - half, value + half))


@given(st.integers(1, 300), st.floats(0, 1), st.floats(0, 0.02))
def test_counts_are_those_that_trying_finds(n: int, value: float, half: float) -> None:
    interval = value - half, value + half
    tried = [k for k in range(n + 1) if interval[0] - 1e-9 <= k / n <= interval[1] + 1e-9]
    assert list(counts(n, interval)) == tried
    assert fits(n, [interval]) == bool(tried)
    below, above = neighbours(n, value)
    assert 0 <= below < above <= n


@pytest.mark.parametrize(
    ("percents", "expected"),
    [((72.92,), 641 / 879), ((97.94, 96.32), None), ((72.92, 72.89), None)],
)
def test_sizes_that_fit_a_table(percents: tuple[float, ...], expected: float | None) -> None:
    intervals = [((p - 0.005) / 100, (p + 0.005) / 100) for p in percents]
    found = shared([624, 879, 1114], intervals)
    assert (879 in found) == (expected is not None)
    assert (1114 in found) == (percents == (97.94, 96.32))
