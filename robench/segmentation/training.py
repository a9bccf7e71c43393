"""Training on masks: Adam under a cosine, BCE + Dice, the epoch of the best validation Dice."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from robench.errors import UserError, VictimError
from robench.freezing import frozen
from robench.segmentation.data import MaskDataset, MaskSplit
from robench.segmentation.evaluation import checked_maps, evaluate
from robench.segmentation.losses import MaskLoss, bce_dice
from robench.training.batches import index_batches, to_pixels
from robench.training.checks import check_positive, check_whole
from robench.training.seeding import reproducible, shuffled


@dataclass(frozen=True, kw_only=True)
class MaskEpoch:
    """One finished epoch. `loss` is the mean over training images while the weights moved.

    `validation_dice` is None without a validation split. `selected`: this epoch's weights are,
    so far, the ones that will be returned.
    """

    epoch: int
    epochs: int
    learning_rate: float
    loss: float
    validation_dice: float | None
    selected: bool
    seconds: float


def train(
    network: nn.Module,
    dataset: MaskDataset,
    *,
    device: torch.device | str = "cpu",
    seed: int = 0,
    epochs: int = 400,
    batch_size: int = 8,
    learning_rate: float = 1e-2,
    final_learning_rate: float = 1e-4,
    loss: MaskLoss = bce_dice,
    progress: Callable[[MaskEpoch], None] | None = None,
) -> nn.Module:
    """Train `network` in place and return it with the selected weights, in eval mode.

    The defaults are those of Muoka et al. 2023, table 3; images are not augmented. The network
    is moved to `device` and maps float32 pixels N×C×H×W in [0,1] to logits N×K×H×W, K the
    number of classes, or 1 for two. The weights of the epoch with the best mean Dice over the
    validation images are kept, the earliest of equals; without that split those of the last.

    All random numbers are functions of `seed` and the epoch; torch's global generators are as
    before afterwards. Nothing is kept on the way: an interrupted training begins again.

    Raises UserError for parameters and data that are not usable, VictimError for a network
    without trainable weights, with the wrong output, or whose loss is not finite.
    """
    check_whole("epochs", epochs, low=1)
    check_whole("batch_size", batch_size, low=2)
    check_positive("learning_rate", learning_rate)
    check_positive("final_learning_rate", final_learning_rate, high=learning_rate)
    split, place = dataset.train, torch.device(device)
    if split is None or len(split) < 2:
        raise UserError("too few images to train on", where=dataset.name,
                        got=0 if split is None else len(split), expected="2 or more")
    network.to(place)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if not weights:
        raise VictimError("the network has no weights to train")
    _check_output(network, split, dataset.num_classes, place, seed)
    optimizer = torch.optim.Adam(weights, lr=learning_rate, fused=True)
    best, best_dice = _copied(network), -math.inf
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        rate = _cosine(epoch, epochs, learning_rate, final_learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with reproducible(place, seed, "training", epoch):
            order = shuffled(len(split), seed, epoch)
            mean = _pass(network, split, index_batches(order, batch_size), loss, optimizer, place)
        if not (math.isfinite(mean) and _weights_finite(network)):
            raise VictimError(
                "the loss or a weight is NaN or infinite",
                where=f"training, epoch {epoch}, learning rate {rate:g}",
                expected="a finite loss: a lower learning_rate often gives one",
            )
        dice = _validation_dice(network, dataset, place, seed)
        selected = dice is None or dice > best_dice
        if selected:
            best, best_dice = _copied(network), -math.inf if dice is None else dice
        if progress is not None:
            progress(MaskEpoch(
                epoch=epoch, epochs=epochs, learning_rate=rate, loss=mean, validation_dice=dice,
                selected=selected, seconds=time.perf_counter() - started,
            ))
    network.load_state_dict(best)
    optimizer.zero_grad(set_to_none=True)
    return network.eval()


def _cosine(epoch: int, epochs: int, first: float, last: float) -> float:
    """Half a cosine from `first` in epoch 1 to `last` in epoch `epochs`."""
    done = (epoch - 1) / max(epochs - 1, 1)
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * done))


def _pass(
    network: nn.Module, split: MaskSplit, batches: list[np.ndarray], loss: MaskLoss,
    optimizer: torch.optim.Optimizer, device: torch.device,
) -> float:
    """One pass over the training images: their mean loss."""
    network.train()
    losses: list[Tensor] = []  # left on the device, which need not be waited for
    for rows in batches:
        pixels = to_pixels(split.images[rows], device)
        masks = torch.from_numpy(split.masks[rows]).to(device)
        values = loss(network(pixels), masks)
        optimizer.zero_grad(set_to_none=True)
        values.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(values.detach())
    return float(torch.cat(losses).double().mean())


def _validation_dice(
    network: nn.Module, dataset: MaskDataset, device: torch.device, seed: int
) -> float | None:
    if dataset.validation is None or not len(dataset.validation):
        return None
    with reproducible(device, seed, "validation"):
        return evaluate(
            network, dataset.validation, num_classes=dataset.num_classes, device=device
        ).dice


def _check_output(
    network: nn.Module, split: MaskSplit, num_classes: int, device: torch.device, seed: int
) -> None:
    pixels = to_pixels(split.images[:2], device)
    with frozen(network), torch.no_grad(), reproducible(device, seed, "check"):
        checked_maps(network(pixels), pixels, num_classes=num_classes)


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _weights_finite(network: nn.Module) -> bool:
    # the last update comes after the last loss
    looks = [torch.isfinite(weight.detach()).all() for weight in network.parameters()]
    return bool(torch.stack(looks).all())
