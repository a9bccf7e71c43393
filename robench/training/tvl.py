"""The recipe `tvl`: cross-entropy plus the total variation of a network's shrunk feature maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from robench.errors import UserError
from robench.models.shrinkage import Shrinkage, shrinkages
from robench.training.checks import check_choice, check_not_negative
from robench.training.loop import train
from robench.training.monitor import Monitor
from robench.training.objective import Epoch
from robench.training.settings import Settings
from robench.training.standard import CleanImages

if TYPE_CHECKING:
    from robench.data import Dataset

Layer = Literal["last", "all"]


def total_variation(maps: Tensor) -> Tensor:
    """Σ (I[m+1,n] − I[m,n])² + (I[m,n+1] − I[m,n])² of maps N×C×H×W over N·C·H·W, a scalar.

    Equation 11 of Gopalakrishnan et al. 2025 with the first term's index put right, divided by
    the number of entries so that its weight does not depend on the size of the map. Differences
    that would reach over the border are left out.
    """
    down = maps[..., 1:, :] - maps[..., :-1, :]
    across = maps[..., :, 1:] - maps[..., :, :-1]
    return (down.square().sum() + across.square().sum()) / maps.numel()


@contextmanager
def recorded(modules: Sequence[Shrinkage]) -> Iterator[list[Tensor]]:
    """A list of what the modules put out inside the context, in the order of their passes."""
    maps: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        maps.append(output)

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, kw_only=True)
class SmoothMaps(CleanImages):
    """Cross-entropy on clean images plus `weight` times the total variation of shrunk maps."""

    weight: float
    layer: Layer

    def loss(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        smoothed = [module for module in shrinkages(network) if module.smoothed]
        if self.weight == 0 or not smoothed:
            return super().loss(network, images, labels, epoch)
        with recorded(smoothed) as maps:
            loss, logits = super().loss(network, images, labels, epoch)
        chosen = maps[-1:] if self.layer == "last" else maps
        if all(shrunk.shape[-2:].numel() == 1 for shrunk in chosen):
            raise UserError(
                "tv_weight: shrunk maps of one position have no variation",
                got=f"images of {images.shape[-2]}×{images.shape[-1]}",
                expected="larger images, or recipe standard",
            )
        variation = torch.stack([total_variation(shrunk) for shrunk in chosen]).mean()
        return loss + self.weight * variation, logits


def tvl(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str,
    seed: int,
    monitor: Monitor | None = None,
    epochs: int = 20,
    batch_size: int = 64,
    optimizer: str = "adam",
    learning_rate: float = 1e-5,
    weight_decay: float = 1e-4,
    momentum: float = 0.9,
    schedule: str = "cosine",
    class_weights: str = "auto",
    patience: int | None = None,
    tv_weight: float = 0.1,
    layer: Layer = "last",
) -> nn.Module:
    """Train `network` in place on clean images with a smoothness term; see `train`.

    The loss is cross-entropy + `tv_weight` · `total_variation` of the output of the last
    shrinkage module ("last"), or of its mean over all of them ("all"). Gopalakrishnan et al.
    2025, table 1: Adam, learning rate 1e-5, loss "total variation"; of the input that has no
    gradient in the weights, and it knows no label, hence this loss. A network whose shrinkage
    modules are not `smoothed` (`drsn-without-tvl`), and `tv_weight` 0, train as `standard` does.
    The other parameters are those of `robench.training.settings.Settings`. Raises UserError for
    a network without shrinkage units, and for maps of one position.
    """
    settings = Settings(
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        momentum=momentum,
        schedule=schedule,
        class_weights=class_weights,
        patience=patience,
    )
    check_not_negative("tv_weight", tv_weight)
    check_choice("layer", layer, get_args(Layer))
    if not shrinkages(network):
        raise UserError(
            "recipe 'tvl': the network has no residual shrinkage units, whose maps it smooths",
            expected="a model that has them: drsn, drsn-tvl, drsn-without-tvl",
        )
    return train(
        network,
        dataset,
        SmoothMaps(weight=tv_weight, layer=layer),
        settings=settings,
        device=device,
        seed=seed,
        monitor=monitor,
    )
