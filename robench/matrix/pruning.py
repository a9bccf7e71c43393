"""The pruning axis: how networks are pruned, and at which rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from robench.errors import UserError, nearest
from robench.matrix.document import Document
from robench.matrix.numbers import rates

COMPOUNDING = "compounding"
KNOWN: Mapping[str, Sequence[str]] = {
    "method": ("l1", "structured-l1", "structured-l2"),
    "scope": ("global", "layerwise"),
    "schedule": ("one-shot", COMPOUNDING),
    "layers": ("conv-linear", "conv"),
}


@dataclass(frozen=True)
class Pruning:
    """How networks are pruned.

    `method` "l1": the smallest magnitudes become zero; "structured-l1" and "structured-l2": the
    output channels of convolutions with the smallest norm. `scope` "global" (of all layers
    together) or "layerwise" (of each); `layers` "conv-linear" or "conv". `schedule` "one-shot":
    each of `rates` starts from a fresh copy; "compounding": they follow one another on the same
    network, each a share of what is still left, as in the sources of MedDef 2025 and Chen et al.
    2021. After each pruning the BatchNorm statistics are estimated anew where
    `reestimate_batchnorm` says so, and the network is trained for `retrain` more epochs by the
    recipe it was trained with. A rate of 0 is the network as it was trained.
    """

    rates: tuple[float, ...]
    method: str = "l1"
    scope: str = "global"
    layers: str = "conv-linear"
    schedule: str = "one-shot"
    retrain: int = 0
    reestimate_batchnorm: bool = False

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> Self:
        """From checked settings; structured pruning takes convolutions where no layers are named.
        """
        settings = {name: value for name, value in stated.items() if value is not None}
        if _structured(stated):
            settings["layers"] = "conv"
        return cls(**{**settings, "rates": tuple(stated["rates"])})

    @property
    def remade(self) -> bool:
        """Whether more than pruning is done to a network: what comes out is worth keeping."""
        return self.retrain > 0 or self.reestimate_batchnorm

    def steps(self, rate: float) -> tuple[float, ...]:
        """The rates that are applied one after another to get to `rate`, which is the last."""
        if self.schedule != COMPOUNDING:
            return (rate,)
        return (*(before for before in self.rates if 0 < before < rate), rate)

    def meaning(self, rate: float) -> dict[str, Any]:
        """What of it belongs into a key. A first step is the same in both schedules."""
        before = list(self.steps(rate)[:-1])
        return {
            "method": self.method, "scope": self.scope, "layers": self.layers, "rate": rate,
            **({"before": before} if before else {}),
            **({"retrain": self.retrain} if self.retrain else {}),
            **({"reestimate_batchnorm": True} if self.reestimate_batchnorm else {}),
        }


def pruning(document: Document, asked: Mapping[str, Any]) -> Pruning:
    """The axis a matrix asks for.

    Raises UserError for an unknown word, an unfit rate, rates that compound and do not ascend, and
    structured pruning of linear layers, whose output channels are most often the classes.
    """
    for name, known in KNOWN.items():
        value = asked[name]
        if value is not None and value not in known:
            raise UserError(f"unknown pruning {name} '{value}'",
                            where=document.place("pruning", name),
                            expected=f"one of {', '.join(known)}", nearest=nearest(value, known))
    if _structured(asked) and asked["layers"] == "conv-linear":
        raise UserError(f"{asked['method']} takes the output channels of convolutions alone",
                        where=document.place("pruning", "layers"), got=asked["layers"],
                        expected="layers conv, or method l1")
    checked = rates(document, asked["rates"])
    if asked["schedule"] == COMPOUNDING:
        for index, (rate, sorted_rate) in enumerate(zip(asked["rates"], checked, strict=True)):
            if rate != sorted_rate:
                raise UserError("pruning rates that compound are applied in their order",
                                where=document.place("pruning", "rates", index), got=rate,
                                expected="ascending rates, each a share of what is still left")
    return Pruning.of({**asked, "rates": checked})


def _structured(stated: Mapping[str, Any]) -> bool:
    return str(stated.get("method", "")).startswith("structured-")
