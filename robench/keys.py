"""Keys: the identity of an artifact is the sha256 of what it means, never of how it is run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any


def canonical(value: Any) -> str:
    """`value` as canonical JSON: sorted keys, no spaces, shortest floats, ASCII.

    Raises TypeError for anything but mappings with string keys, lists, tuples, strings,
    finite numbers, booleans and None.
    """
    return json.dumps(
        _plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def key_of(**meaning: Any) -> str:
    """The key (64 hexadecimal digits) of the artifact that `meaning` describes."""
    return hashlib.sha256(canonical(meaning).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"a key cannot hold {value}")
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError(f"a key's mapping needs string names, got {list(value)}")
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    raise TypeError(f"a key cannot hold a {type(value).__name__}")
