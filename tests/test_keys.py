"""Keys: the same for the same meaning, another one for any other."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.keys import canonical, key_of

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
meanings = st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), values, max_size=4)


def shuffled(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        items = [(name, shuffled(item, random)) for name, item in value.items()]
        random.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [shuffled(item, random) for item in value]
    return value


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down: 1 is not 1.0, nor true; 0.0 is not -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


@given(meanings, st.randoms(use_true_random=False))
def test_the_order_of_names_does_not_matter(meaning: dict[str, Any], random: Any) -> None:
    assert key_of(**meaning) == key_of(**shuffled(meaning, random))


@given(values)
def test_nothing_is_lost(value: Any) -> None:
    assert same(json.loads(canonical(value)), value)


@given(meanings, values)
def test_any_change_is_another_key(meaning: dict[str, Any], value: Any) -> None:
    key = key_of(**meaning)
    assert key_of(**meaning, ANOTHER=value) != key
    for name, known in meaning.items():
        changed = key_of(**{**meaning, name: value})
        assert (changed == key) == same(known, value)
        assert key_of(**{**meaning, name: [known]}) != key
        assert key_of(**{other: meaning[other] for other in meaning if other != name}) != key


def test_the_bytes_that_are_hashed() -> None:
    text = '{"a":[1,true,null,"\\u03b5"],"b":{"c":0.1,"d":1e-05}}'
    meaning = {"b": {"d": 1e-5, "c": 0.1}, "a": (1, True, None, "ε")}
    assert canonical(meaning) == text
    assert key_of(**meaning) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1 + 0.2, "0.30000000000000004"), (8 / 255, "0.03137254901960784"), (1e300, "1e+300"),
     (np.float64(0.1), "0.1"), (1.0, "1.0"), (1, "1")],
)
def test_floats_are_the_shortest_that_read_back(value: float, text: str) -> None:
    assert canonical(value) == text
    assert float(text) == value


@pytest.mark.parametrize(
    "value",
    [
        math.nan, math.inf, -math.inf, np.float32(0.1), np.int64(3), {1: 2}, {None: 2}, b"bytes",
        {1, 2}, datetime.date(2024, 1, 1), object(), 1j,
    ],
)
def test_what_a_key_cannot_hold(value: Any) -> None:
    for held in (value, [value], {"deep": [{"deeper": value}]}):
        with pytest.raises(TypeError, match="a key"):
            key_of(value=held)
