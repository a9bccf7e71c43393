"""What an attack makes of gradients that tell it nothing: robustness it must not call it."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from robench.errors import MaskingWarning, VictimError
from robench.testing.attack_case import Case
from robench.testing.breakable import breakable
from robench.testing.core import NotApplicable, Violation, expect
from robench.testing.networks import Task


def _zero_is_flagged(case: Case) -> str:
    task = _task(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MaskingWarning)
        result = case.on(task, network=Quantised(task.network))[0]
    standing = ~result.success
    flagged = result.gradient_dead & standing
    expect(bool(torch.equal(flagged, standing)),
           f"{int(flagged.sum())} of {int(standing.sum())} unbroken images flagged as without a "
           "gradient", "all: the gradient of this network is zero everywhere")
    return f"{int(flagged.sum())} of {int(standing.sum())} unbroken images"


def _nan_is_told(case: Case) -> str:
    task = _task(case)
    wanted = "a VictimError that names the gradient: it is NaN everywhere, the logits are finite"
    try:
        case.on(task, network=NoSlope(task.network))
    except VictimError as error:
        expect("gradient" in str(error), f"the VictimError '{error}'", wanted)
        return "by a VictimError"
    raise Violation(f"got results, expected {wanted}")


def _task(case: Case) -> Task:
    if case.attack.access != "gradient":
        raise NotApplicable(f"it uses no gradients: its access is {case.attack.access!r}")
    # Random starts break nothing here.
    return breakable(case.norm, classes=3)


class Quantised(nn.Module):
    """A network whose logits are rounded: the same but for a little, and without a gradient."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return torch.round(self.network(images) * 64) / 64


class NoSlope(nn.Module):
    """A network with its own logits, and a gradient that is NaN: that of √x at 0, times 0."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        nothing = (images * 0.0).flatten(1).sum(dim=1, keepdim=True).sqrt()
        logits: Tensor = self.network(images)
        return logits + nothing


GRADIENTS: dict[str, Callable[[Case], str]] = {
    "tells a gradient that is zero": _zero_is_flagged,
    "tells a gradient that is NaN": _nan_is_told,
}
