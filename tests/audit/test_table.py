"""How the table of the checks writes what it holds."""

from __future__ import annotations

import math

import pytest

from robench.audit.table import epsilon_text


@pytest.mark.parametrize(("epsilon", "text"), [
    (8 / 255, "8/255"), (0.05, "0.05"), (2.0, "2"), (math.inf, "∞"),
])
def test_an_epsilon_is_written_as_people_write_it(epsilon: float, text: str) -> None:
    assert epsilon_text(epsilon) == text
