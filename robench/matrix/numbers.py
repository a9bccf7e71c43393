"""The numeric axes: epsilons, pruning rates, seeds."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robench.errors import UserError
from robench.matrix.document import Document

_FRACTION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*$")


@dataclass(frozen=True)
class Epsilon:
    """A perturbation size in pixel units, and as the matrix writes it."""

    value: float
    text: str

    @property
    def asked(self) -> float | int | str:
        """As a matrix file has it: a number, or a fraction as text."""
        if "/" in self.text:
            return self.text
        return int(self.value) if self.text.isdigit() else self.value

    @property
    def written(self) -> float | None:
        """Its value for JSON, which has no infinity: None."""
        return self.value if math.isfinite(self.value) else None


UNBOUNDED = Epsilon(math.inf, "∞")
"""What an attack is run at that looks for the smallest perturbation, in units of its own."""


def epsilons(
    document: Document, asked: Sequence[Any], *, place: tuple[str | int, ...] = ("epsilons",),
    norm: str = "linf",
) -> tuple[Epsilon, ...]:
    """The epsilons at a `place` of the document, ascending.

    Raises UserError unless each stands once and is in (0, 1] (of the L∞ ball, and of what all
    attacks share), above 0 (L2 and L1), or a whole number of pixels (L0).
    """
    found: dict[float, Epsilon] = {}
    for index, entry in enumerate(asked):
        where = document.place(*place, index)
        epsilon = Epsilon(_epsilon(entry, where, norm), str(entry).strip())
        _once(found, epsilon.value, entry, where)
        found[epsilon.value] = epsilon
    return tuple(found[value] for value in sorted(found))


def rates(document: Document, asked: Sequence[Any]) -> tuple[float, ...]:
    """The pruning rates, ascending. Raises UserError unless each is in [0, 1) and stands once."""
    found: dict[float, float] = {}
    for index, entry in enumerate(asked):
        where = document.place("pruning", "rates", index)
        if not _is_number(entry) or not 0 <= entry < 1:
            raise UserError("pruning rate", where=where, got=entry,
                            expected="a number in [0, 1): the share of the weights set to zero")
        _once(found, float(entry), entry, where)
        found[float(entry)] = float(entry)
    return tuple(sorted(found))


def seeds(document: Document, asked: Sequence[Any]) -> tuple[int, ...]:
    """The seeds, in their order. Raises UserError unless each is a whole number ≥ 0."""
    found: dict[int, int] = {}
    for index, entry in enumerate(asked):
        where = document.place("seeds", index)
        if isinstance(entry, bool) or not isinstance(entry, int) or not 0 <= entry < 2**63:
            raise UserError("seed", where=where, got=entry, expected="a whole number ≥ 0")
        _once(found, entry, entry, where)
        found[entry] = entry
    return tuple(found)


def _epsilon(entry: Any, where: str, norm: str) -> float:
    if norm == "l0":
        if isinstance(entry, bool) or not isinstance(entry, int) or entry < 1:
            raise UserError("epsilon", where=where, got=entry,
                            expected="a whole number of pixels ≥ 1 (norm l0)")
        return float(entry)
    largest = 1.0 if norm == "linf" else sys.float_info.max
    value = math.nan
    if _is_number(entry) and 0 < entry <= largest:
        value = float(entry)
    elif isinstance(entry, str) and (fraction := _FRACTION.match(entry)):
        above, below = (float(part) for part in fraction.groups())
        value = above / below if below else math.nan
    if not 0 < value <= largest:
        allowed = "a number in (0, 1]" if norm == "linf" else "a number above 0"
        raise UserError("epsilon", where=where, got=entry,
                        expected=f"{allowed} or a fraction such as 8/255, in pixel units")
    return value


def _is_number(entry: Any) -> bool:
    return isinstance(entry, (int, float)) and not isinstance(entry, bool)


def _once(found: dict[Any, Any], value: Any, entry: Any, where: str) -> None:
    if value in found:
        raise UserError(f"{entry} stands twice on the axis", where=where)
