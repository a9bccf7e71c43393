"""A victim as the Adversarial Robustness Toolbox sees one, and a quiet corner to run ART in.

ART is imported when it is first needed: its import takes seconds.
"""

from __future__ import annotations

import logging
import random as python_random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robench.attacks.query import Query


class _Shown(nn.Module):
    """A view as a module without weights: ART has no mode, flag or gradient to change."""

    def __init__(self, view: Query) -> None:
        super().__init__()
        self._view = view

    def forward(self, images: Tensor) -> Tensor:
        return self._view(images.float())


def art_classifier(view: Query, *, num_classes: int) -> Any:
    """An `art.estimators.classification.PyTorchClassifier` of which `view` sees every pass.

    Its loss is the summed cross-entropy: a mean makes the gradient of each image smaller the
    more images share the batch, down to zeros in float32.
    """
    from art.estimators.classification import PyTorchClassifier

    device = view.images.device
    current = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    with current:  # ART computes on the current device
        return PyTorchClassifier(
            model=_Shown(view),
            loss=nn.CrossEntropyLoss(reduction="sum"),
            input_shape=tuple(view.images.shape[1:]),
            nb_classes=num_classes,
            clip_values=(0.0, 1.0),
            preprocessing=None,
            device_type="gpu" if device.type == "cuda" else "cpu",
        )


@contextmanager
def apart(device: torch.device) -> Iterator[None]:
    """Whatever random numbers are drawn inside, the caller's global generators do not notice.

    Nor does his log: of ART's messages only warnings and errors come through.
    """
    logger = logging.getLogger("art")
    level = logger.level
    python_state, numpy_state = python_random.getstate(), np.random.get_state()
    try:
        logger.setLevel(max(logger.getEffectiveLevel(), logging.WARNING))
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        logger.setLevel(level)
        np.random.set_state(numpy_state)
        python_random.setstate(python_state)


def seed_generators(seed: int, device: torch.device) -> None:
    """Set the global generators that ART may draw from; to be called `apart`."""
    python_random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
