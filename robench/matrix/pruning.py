"""The pruning axis: how networks are pruned, and at which rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robench.errors import UserError, nearest
from robench.matrix.document import Document
from robench.matrix.numbers import rates

KNOWN: Mapping[str, Sequence[str]] = {
    "method": ("l1",),
    "scope": ("global", "layerwise"),
    "layers": ("conv-linear", "conv"),
}


@dataclass(frozen=True)
class Pruning:
    """How networks are pruned; each of `rates` starts from a fresh copy.

    `method` "l1": the smallest magnitudes become zero; `scope` "global" (of all layers together)
    or "layerwise" (of each); `layers` "conv-linear" or "conv".
    """

    rates: tuple[float, ...]
    method: str = "l1"
    scope: str = "global"
    layers: str = "conv-linear"

    def meaning(self, rate: float) -> dict[str, Any]:
        """What of it belongs into a key."""
        return {"method": self.method, "scope": self.scope, "layers": self.layers, "rate": rate}


def pruning(document: Document, asked: Mapping[str, Any]) -> Pruning:
    """The axis a matrix asks for. Raises UserError for an unknown word or an unfit rate."""
    words = {name: value for name, value in asked.items() if name in KNOWN}
    for name, value in words.items():
        if value not in KNOWN[name]:
            raise UserError(f"unknown pruning {name} '{value}'",
                            where=document.place("pruning", name),
                            expected=f"one of {', '.join(KNOWN[name])}",
                            nearest=nearest(value, KNOWN[name]))
    return Pruning(rates(document, asked["rates"]), **words)
