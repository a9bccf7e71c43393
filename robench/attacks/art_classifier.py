"""A victim as the Adversarial Robustness Toolbox sees one, and a quiet corner to run ART in.

ART is imported when it is first needed: its import takes seconds.
"""

from __future__ import annotations

import logging
import random as python_random
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from robench.attacks.query import Query
from robench.victim import Loss, Victim

# Candidates that one pass of ART holds: it asks for up to 10,000 of one image at once.
_CHUNK = 128


class View(Protocol):
    """Images, and logits of as many others, with a graph where grad mode is on."""

    images: Tensor

    def __len__(self) -> int: ...

    def __call__(self, images: Tensor) -> Tensor: ...


class EndedError(Exception):
    """ART's search was ended from outside; the best iterate so far stands. Its text says why."""


class NoStartError(EndedError):
    """No image to begin with was found."""


class _Shown(nn.Module):
    """A view as a module without weights: ART has no mode, flag or gradient to change.

    Ends the search at a pass that would begin after `deadline` (of `time.monotonic`); the first
    pass is always made. It ends, too, where ART's arithmetic comes to NaN or infinite pixels,
    which no network can answer.
    """

    def __init__(self, view: View, *, probabilities: bool, deadline: float | None) -> None:
        super().__init__()
        self.rows = len(view)
        self._view = view
        self._probabilities = probabilities
        self._deadline = deadline
        self._begun = False
        # Some attacks ask a network's weights for their device.
        self.register_parameter("place", nn.Parameter(
            torch.zeros(0, device=view.images.device), requires_grad=False,
        ))

    def forward(self, images: Tensor) -> Tensor:
        self._check_pass(images)
        logits = self._view(images.float())
        if logits.requires_grad:
            logits.register_hook(_none_where_not_finite)  # type: ignore[no-untyped-call]
        return self._shape(logits)

    def gradients(self, images: Tensor, *, classes: int) -> Tensor | None:
        """The gradient of each output, N×K×C×H×W, of one candidate per image, all paid for before
        the first; None where the view pays for nothing, or has other images than these."""
        if not isinstance(self._view, Query) or len(images) != len(self._view):
            return None
        self._check_pass(images)
        losses = [self._output(column) for column in range(classes)]
        _, slopes = self._view.logits_and_gradients(images.float(), losses, precision="float32")
        return torch.stack(slopes, dim=1)

    def _check_pass(self, images: Tensor) -> None:
        if self._begun and self._deadline is not None and time.monotonic() >= self._deadline:
            raise EndedError("its time limit")
        self._begun = True
        if not bool(torch.isfinite(images).all()):
            raise EndedError("NaN or infinite pixels in ART's own arithmetic")

    def _shape(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits, dim=1) if self._probabilities else logits

    def _output(self, column: int) -> Loss:
        return lambda logits, _: self._shape(logits)[:, column]


def _none_where_not_finite(gradient: Tensor) -> Tensor:
    """Zero where ART's loss has no gradient, as its ratio of logits has none where three are equal:
    that is no fault of the network, which would be said to give NaN."""
    return torch.where(torch.isfinite(gradient), gradient, 0.0)


def art_classifier(
    view: View, *, num_classes: int, probabilities: bool = False, deadline: float | None = None
) -> Any:
    """An `art.estimators.classification.PyTorchClassifier` of which `view` sees every pass.

    It gives logits, or with `probabilities` their softmax. Its loss is the summed cross-entropy
    of logits: a mean makes the gradient of each image smaller the more images share the batch,
    down to zeros in float32. A pass after `deadline` raises EndedError.
    """
    device = view.images.device
    current = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    with current:  # ART computes on the current device
        return _classifier_class()(
            model=_Shown(view, probabilities=probabilities, deadline=deadline),
            loss=nn.CrossEntropyLoss(reduction="sum"),
            input_shape=tuple(view.images.shape[1:]),
            nb_classes=num_classes,
            clip_values=(0.0, 1.0),
            preprocessing=None,
            device_type="gpu" if device.type == "cuda" else "cpu",
        )


@cache
def _classifier_class() -> Any:
    from art.estimators.classification import PyTorchClassifier

    class Classifier(PyTorchClassifier):  # type: ignore[misc]
        """ART's own predicts through a DataLoader, which costs more than a small network, and
        goes back once for every class among the labels of a batch."""

        def predict(self, x: Any, batch_size: int = 128, **settings: Any) -> Any:
            images = torch.as_tensor(np.asarray(x, dtype=np.float32), device=self._device)
            rows = max(_CHUNK, batch_size, self.model.rows)
            with torch.no_grad():
                parts = [self.model(part) for part in torch.split(images, rows)]
            return torch.cat(parts).detach().cpu().numpy()

        def class_gradient(
            self, x: Any, label: Any = None, training_mode: bool = False, **settings: Any
        ) -> Any:
            if label is None:  # ART's own pays for one way back, and goes back for every class
                images = torch.as_tensor(np.asarray(x), device=self._device)
                every = self.model.gradients(images, classes=self.nb_classes)
                if every is not None:
                    return every.cpu().numpy()
            if not isinstance(label, (list, np.ndarray)):
                return super().class_gradient(x, label, training_mode, **settings)
            images = torch.tensor(np.asarray(x), device=self._device, requires_grad=True)
            columns = torch.as_tensor(np.asarray(label), device=self._device).long()[:, None]
            with torch.enable_grad():
                chosen = self.model(images).gather(1, columns)
            (gradient,) = torch.autograd.grad(chosen.sum(), images)
            return gradient[:, None].cpu().numpy()

    return Classifier


@contextmanager
def known_to_give_logits(classifier: Any) -> Iterator[None]:
    """For attacks that ask once, as they are made, whether `classifier` gives probabilities, and
    refuse it then: logits may look like those. Inside, it answers with the same logits less a
    constant, which changes neither their softmax nor their differences, and leaves no doubt."""
    predict = classifier.predict

    def below_zero(*given: Any, **settings: Any) -> Any:
        logits = predict(*given, **settings)
        return logits - logits.max() - 1.0

    classifier.predict = below_zero
    try:
        yield
    finally:
        del classifier.predict


@contextmanager
def tied(victim: Victim) -> Iterator[None]:
    """Inside, logits that were asked for with a graph have one that leads back to the pixels, if
    only with a gradient of zero: ART raises where there is none, as of a network that decides
    without gradients. The logits keep their bits."""
    handle = victim.register_forward_hook(_tie)
    try:
        yield
    finally:
        handle.remove()


def _tie(_: nn.Module, given: tuple[Any, ...], logits: Tensor) -> Tensor:
    (images,) = given
    if not (torch.is_grad_enabled() and images.requires_grad):
        return logits
    pixels = images.flatten(1)[:, :1]
    # Not a sum with 0·pixels: through that, a gradient that is not finite would become NaN.
    return torch.where(torch.ones_like(logits, dtype=torch.bool), logits, pixels)


@contextmanager
def apart(device: torch.device) -> Iterator[None]:
    """Whatever random numbers are drawn inside, the caller's global generators do not notice.

    Nor does his log or screen: of ART's messages only errors come through. It warns of each
    image that it does not break.
    """
    logger = logging.getLogger("art")
    level = logger.level
    python_state, numpy_state = python_random.getstate(), np.random.get_state()
    try:
        logger.setLevel(max(logger.getEffectiveLevel(), logging.ERROR))
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            np.errstate(all="ignore"), warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", module=r"(art|scipy)(\.|$)")
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
