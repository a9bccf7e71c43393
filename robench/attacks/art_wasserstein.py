"""ART's Wasserstein attack, with what its exponentials need to stay finite."""

# ruff: noqa: RUF009 (the calls make dataclass fields)

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from robench.attacks.art_classifier import EndedError
from robench.attacks.art_settings import choice, classes, number, whole
from robench.attacks.art_wrapped import Wrapped
from robench.attacks.targets import Target

_ART_DEFAULT, _ITS_VALUES = 3000.0, 28 * 28
"""ART's regularization, and how many values the images have for which it is right."""
_LARGEST = 700.0
"""An exponent that float64 still holds the exponential of."""


@dataclass(kw_only=True, eq=False)
class ArtWasserstein(Wrapped):
    """ART's Wasserstein: brightness moved to nearby pixels, in a Wasserstein ball that grows.

    Wong, Schmidt and Kolter 2019 (arXiv 1902.07906). `eps` is the first radius; `step_norm` is
    what ART calls `norm`.

    ART takes exp(`regularization` × gradient) for its steps and exp(`regularization` × share) for
    its projection, the share being a value's of the image's sum. Both gradient and share fall as
    images have more values, so `regularization` None is ART's 3000 at 28×28 grey pixels, and at
    others in proportion to their number: at 3000, small images overflow and large ones hardly move.
    Where the gradient of an image is so large that ART would still raise, it is scaled down, as a
    lower regularization would have it for that step.
    """

    name = "art/wasserstein"
    norm = "l0"
    budget = "minimum"
    bounded = False
    art = "Wasserstein"
    version = 2

    regularization: float | None = number(None, above=0)
    p: int = whole(2)
    kernel_size: int = whole(5)
    eps_step: float = number(0.1, above=0)
    step_norm: str = choice("wasserstein", "wasserstein", "inf", "1", "2")
    ball: str = choice("wasserstein", "wasserstein", "inf", "1", "2")
    eps: float = number(0.3, above=0)
    eps_iter: int = whole(10)
    eps_factor: float = number(1.1, above=1)
    max_iter: int = whole(400)
    conjugate_sinkhorn_max_iter: int = whole(400)
    projected_sinkhorn_max_iter: int = whole(400)
    target: Target | None = classes()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: got {self.kernel_size}, expected an odd number")
        if self.step_norm == "inf" and self.eps_step > self.eps:
            raise ValueError(f"eps_step: got {self.eps_step:g}, expected at most {self.eps:g}, the "
                             "eps, with step_norm inf")

    def settings(self, epsilon: float) -> dict[str, Any]:
        return {**super().settings(epsilon), "norm": self.step_norm, "eps": self.eps,
                "regularization": self.regularization or _ART_DEFAULT}

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        made = super().build(classifier, epsilon=epsilon, batch_size=batch_size)
        if self.regularization is None:
            values = math.prod(classifier.input_shape)
            made.set_params(regularization=_ART_DEFAULT * values / _ITS_VALUES)
        return made

    def made_by(self) -> Any:
        class Finite(super().made_by()):  # type: ignore[misc]
            def _conjugate_sinkhorn(self, x: Any, grad: Any, cost_matrix: Any) -> Any:
                largest = np.abs(grad).max(axis=(1, 2, 3), keepdims=True)
                bound = _LARGEST / self.regularization
                scale = (bound / np.maximum(largest, bound)).astype(grad.dtype)
                return super()._conjugate_sinkhorn(x, grad * scale, cost_matrix)

            def _projected_sinkhorn(self, x: Any, x_init: Any, cost_matrix: Any, eps: Any) -> Any:
                # In the images' float32, an exponent of 89 overflows, and ART cuts ∞ to white.
                found = super()._projected_sinkhorn(
                    x.astype(np.float64), x_init.astype(np.float64), cost_matrix, eps
                )
                if np.isinf(found).any():
                    raise EndedError(f"an overflow in ART's projection at regularization "
                                     f"{self.regularization:g}, which a lower one may avoid")
                return found

            @staticmethod
            def _unfold(x: Any, kernel_size: int, padding: int) -> Any:
                return _neighbourhoods(x, kernel_size, padding)

        return Finite


def _neighbourhoods(images: Any, size: int, padding: int) -> Any:
    """What ART cuts out in a loop over all pixels, at once: of every pixel its surroundings."""
    around = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(np.asarray(images, dtype=np.float64), around)
    cut = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    count, channels, height, width = cut.shape[:4]
    ordered = cut.transpose(0, 1, 4, 5, 2, 3)
    return ordered.reshape(count, channels * size * size, height * width)
