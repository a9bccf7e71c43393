"""What an attack refuses to start on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from robench.attacks.balls import Norm


def check_tensors(images: object, labels: object) -> None:
    """Raise ValueError for what is no tensor."""
    for name, given, expected in (
        ("images", images, "a torch.Tensor, float32 N×C×H×W in [0, 1]"),
        ("labels", labels, "a torch.Tensor of N integers"),
    ):
        if not isinstance(given, Tensor):
            kind = f"{type(given).__module__}.{type(given).__qualname__}".removeprefix("builtins.")
            raise ValueError(f"{name}: got {kind}, expected {expected}")  # noqa: TRY004


def check_batch(
    images: Tensor,
    labels: Tensor,
    *,
    image_ids: Sequence[str] | None = None,
) -> None:
    """Raise ValueError unless images are float32 N×C×H×W in [0,1] with N integer labels."""
    if images.dim() != 4 or images.dtype != torch.float32:
        raise ValueError(
            f"images: got {images.dtype} {list(images.shape)}, expected torch.float32 N×C×H×W"
        )
    if images.numel() and not bool(torch.isfinite(images.abs().amax())):
        raise ValueError("images: got NaN or infinite pixels, expected values in [0, 1]")
    if images.numel() and (float(images.min()) < 0.0 or float(images.max()) > 1.0):
        raise ValueError(
            f"images: got values in [{float(images.min())!r}, {float(images.max())!r}], expected "
            "[0, 1] (normalisation belongs inside the model)"
        )
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if labels.shape != images.shape[:1] or not whole:
        raise ValueError(
            f"labels: got {labels.dtype} {list(labels.shape)}, "
            f"expected {len(images)} integers, one for each image"
        )
    if image_ids is not None and len(image_ids) != len(images):
        raise ValueError(f"image_ids: got {len(image_ids)}, expected {len(images)}")


def check_labels(labels: Tensor, *, num_classes: int) -> None:
    """Raise ValueError unless all labels are classes of a model with so many logits."""
    if not len(labels):
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"labels: got values in [{low}, {high}], expected 0 to {num_classes - 1}: "
            f"the model gives {num_classes} logits"
        )


def check_epsilons(
    epsilons: Sequence[float] | None, *, needed: bool = True, norm: Norm = "linf",
    bounded: bool = True,
) -> list[float]:
    """The epsilons as they were given, or ValueError; where none is `needed`, None is ∞.

    An attack in L0 counts pixels: a fraction of one would leave every image unattacked. One that is
    not `bounded` keeps to no ball, so that no epsilon says what it found.
    """
    if epsilons is None and not needed:
        return [math.inf]
    if epsilons is None:
        raise ValueError("epsilons: got None, expected at least one: the attack stays in a ball")
    if not bounded:
        raise ValueError("epsilons: got some, expected None: the attack keeps to no ball, and its "
                         "own settings are its limits")
    if isinstance(epsilons, (str, int, float)) or not isinstance(epsilons, Iterable) or (
        isinstance(epsilons, Tensor) and epsilons.dim() != 1
    ):
        raise ValueError(f"epsilons: got {epsilons!r}, expected a list of numbers, such as [0.1]")
    values = [_number(epsilon) for epsilon in epsilons]
    if not values:
        raise ValueError("epsilons: got none, expected at least one number ≥ 0")
    for value in values:
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"epsilons: got {value}, expected finite numbers ≥ 0 in pixel units")
        if norm == "l0" and not value.is_integer():
            raise ValueError(f"epsilons: got {value}, expected whole numbers of pixels: the attack "
                             "counts them (norm l0)")
    return values


def _number(epsilon: object) -> float:
    if isinstance(epsilon, (int, float, np.integer, np.floating)) and epsilon is not True \
            and epsilon is not False:
        return float(epsilon)
    if isinstance(epsilon, Tensor) and epsilon.dim() == 0 and epsilon.dtype != torch.bool:
        return float(epsilon)
    raise ValueError(f"epsilons: got {epsilon!r}, expected numbers in pixel units, such as 8 / 255")


def content_ids(images: Tensor) -> list[str]:
    """A name for each image made from its pixels, so that order and batch do not matter."""
    return [
        hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).hexdigest()
        for image in images.detach().cpu()
    ]
