"""The numeric axes: what is a perturbation size, a pruning rate, a seed."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.errors import UserError
from robench.matrix.document import Document
from robench.matrix.numbers import epsilons, rates, seeds

DOCUMENT = Document.of({}, source="m.yaml")


def values(*asked: object) -> list[float]:
    return [epsilon.value for epsilon in epsilons(DOCUMENT, asked)]


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        (0.03, 0.03), (1, 1.0), (1.0, 1.0), ("8/255", 8 / 255), (" 8 / 255 ", 8 / 255),
        ("0.5/255", 0.5 / 255), ("1/1", 1.0), ("255/255", 1.0), (1e-6, 1e-6),
    ],
)
def test_an_epsilon(asked: object, value: float) -> None:
    (epsilon,) = epsilons(DOCUMENT, [asked])
    assert epsilon.value == value
    assert isinstance(epsilon.value, float)
    assert epsilon.text == str(asked).strip()


@pytest.mark.parametrize(
    "asked",
    [
        0, 0.0, -0.1, "0/255", "8/0", "0/0", 1.0001, "256/255", 2, 10**400, float("nan"),
        float("inf"), float("-inf"), "nan", "0.03", "8", "8/255/2", "-8/255", "8/-255", "a/b",
        "", "8/", "/255", "1e1/255", "9" * 400 + "/" + "9" * 400, True, False, None, [0.1],
        {"0.1": 1},
    ],
)
def test_no_epsilon(asked: object) -> None:
    with pytest.raises(UserError, match="epsilon, got") as error:
        epsilons(DOCUMENT, [0.1, asked])
    assert error.value.where == "m.yaml epsilons[1]"
    assert "(0, 1]" in str(error.value)
    assert "8/255" in str(error.value)


@given(st.fractions(min_value=Fraction(1, 10**6), max_value=1, max_denominator=10**6))
def test_a_fraction_means_its_quotient(fraction: Fraction) -> None:
    text = f"{fraction.numerator}/{fraction.denominator}"
    assert values(text) == [float(fraction)]


@given(st.lists(st.floats(0, 1, exclude_min=True), unique=True, min_size=1))
def test_epsilons_ascend(asked: list[float]) -> None:
    assert values(*asked) == sorted(asked)


@pytest.mark.parametrize(
    "asked", [(0.1, 0.1), ("8/255", "16/510"), (0.5, "1/2"), (1, 1.0), ("8/255", 8 / 255)]
)
def test_an_epsilon_stands_once(asked: tuple[object, ...]) -> None:
    with pytest.raises(UserError, match="stands twice") as error:
        epsilons(DOCUMENT, asked)
    assert error.value.where == "m.yaml epsilons[1]"


@given(st.lists(st.floats(0, 1, exclude_max=True), unique=True, min_size=1))
def test_rates_ascend(asked: list[float]) -> None:
    assert rates(DOCUMENT, asked) == tuple(sorted(asked))


@pytest.mark.parametrize(
    "asked", [1, 1.0, -0.1, 1.5, 30, float("nan"), float("inf"), "0.3", "3/10", True, False, None]
)
def test_no_rate(asked: object) -> None:
    with pytest.raises(UserError, match="pruning rate, got") as error:
        rates(DOCUMENT, [asked])
    assert error.value.where == "m.yaml pruning.rates[0]"
    assert "[0, 1)" in str(error.value)


def test_a_rate_stands_once() -> None:
    assert rates(DOCUMENT, [0.3, 0]) == (0.0, 0.3)
    with pytest.raises(UserError, match="stands twice"):
        rates(DOCUMENT, [0, 0.3, 0.0])


def test_seeds_keep_their_order() -> None:
    assert seeds(DOCUMENT, [7, 0, 2**63 - 1]) == (7, 0, 2**63 - 1)


@pytest.mark.parametrize("asked", [-1, 0.5, 1.0, "1", True, False, None, 2**63])
def test_no_seed(asked: object) -> None:
    with pytest.raises(UserError, match="seed, got") as error:
        seeds(DOCUMENT, [asked])
    assert error.value.where == "m.yaml seeds[0]"


def test_a_seed_stands_once() -> None:
    with pytest.raises(UserError, match="1 stands twice"):
        seeds(DOCUMENT, [1, 2, 1])
