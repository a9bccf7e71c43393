"""Attacks of ART that see scores, and no gradients."""

# ruff: noqa: RUF009 (the calls make dataclass fields)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from robench.attacks.art_settings import choice, classes, flag, number, whole
from robench.attacks.art_shapes import check_room_for_squares, check_sides_alike, sized
from robench.attacks.art_wrapped import Wrapped, unmoved
from robench.attacks.balls import Norm
from robench.attacks.targets import Target

# What ART's way to 255 levels and back changes, in float32, in a pixel that it leaves alone.
_LEVELS_ROUNDING = 1e-6


@dataclass(kw_only=True, eq=False)
class ArtSquare(Wrapped):
    """ART's SquareAttack: random squares, kept where the margin falls.

    Andriushchenko et al. 2020 (arXiv 1912.00049), algorithms 1 to 3. `p_init` is the share of
    the image that the first square covers. Both sides of an image must be longer than its.
    """

    name = "art/square"
    access = "scores"
    art = "SquareAttack"

    norm: Norm = choice("linf", "linf", "l2")
    max_iter: int = whole(100)
    p_init: float = number(0.8, above=0, below=1)
    nb_restarts: int = whole(1)

    def check_ready(self, images: Tensor, epsilons: Sequence[float]) -> None:
        check_room_for_squares(self.name, images, self.norm, p_init=self.p_init)


@dataclass(kw_only=True, eq=False)
class ArtSimBA(Wrapped):
    """ART's SimBA: steps of `epsilon` along cosine waves ("dct") or pixels ("px").

    Guo et al. 2019 (arXiv 1905.07121), algorithm 1. A step is kept where it lowers the true
    class's probability. Images must be square, but for pixels in random order.
    """

    name = "art/simba"
    norm = "l2"
    budget = "minimum"
    access = "scores"
    art = "SimBA"
    probabilities = True

    attack: str = choice("dct", "dct", "px")
    max_iter: int = whole(3000)
    order: str = choice("random", "random", "diag")
    epsilon: float = number(0.1, above=0)
    freq_dim: int = whole(4)
    stride: int = whole(1)
    target: Target | None = classes()

    def check_ready(self, images: Tensor, epsilons: Sequence[float]) -> None:
        height = images.shape[2]
        if self.attack == "dct" or self.order == "diag":
            check_sides_alike(self.name, images,
                              "only attack px in order random takes others")
        if self.attack == "dct" and self.freq_dim > height:
            raise ValueError(f"freq_dim: got {self.freq_dim} for images of {sized(images)} pixels, "
                             f"expected at most {height}")
        rest = abs(height - self.freq_dim)
        if rest % self.stride:
            raise ValueError(f"stride: got {self.stride} for images of {sized(images)} pixels and "
                             f"freq_dim {self.freq_dim}, expected a divisor of {rest}")

    def settings(self, epsilon: float) -> dict[str, Any]:
        return {**super().settings(epsilon), "batch_size": 1}


@dataclass(kw_only=True, eq=False)
class ArtZoo(Wrapped):
    """ART's ZooAttack: Carlini and Wagner's L2 loss by finite differences of some pixels.

    Chen et al. 2017 (arXiv 1708.03999), algorithm 2. `nb_parallel` pixels, at most all of them,
    are updated at once. With `use_resize`, images must be square.
    """

    name = "art/zoo"
    norm = "l2"
    budget = "minimum"
    access = "scores"
    art = "ZooAttack"
    takes_batches = False

    confidence: float = number(0.0, least=0)
    learning_rate: float = number(0.01, above=0)
    max_iter: int = whole(10)
    binary_search_steps: int = whole(1)
    initial_const: float = number(0.001, above=0)
    abort_early: bool = flag(True)
    use_resize: bool = flag(False)
    use_importance: bool = flag(True)
    nb_parallel: int = whole(128)
    variable_h: float = number(0.0001, above=0)
    target: Target | None = classes()

    def check_ready(self, images: Tensor, epsilons: Sequence[float]) -> None:
        if self.use_resize:
            check_sides_alike(self.name, images, "ART resizes no others; set use_resize false")

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        channels, height, width = classifier.input_shape
        pixels = channels * (32 * 32 if self.use_resize else height * width)
        made = super().build(classifier, epsilon=epsilon, batch_size=batch_size)
        made.set_params(nb_parallel=min(self.nb_parallel, pixels))
        return made


@dataclass(kw_only=True, eq=False)
class _Evolved(Wrapped):
    budget = "minimum"
    access = "scores"
    probabilities = True
    least_classes = 3  # ART refuses two

    th: int | None = whole(None)
    max_iter: int = whole(100)
    target: Target | None = classes()

    def settings(self, epsilon: float) -> dict[str, Any]:
        return {**super().settings(epsilon), "es": 1}


@dataclass(kw_only=True, eq=False)
class ArtPixel(_Evolved):
    """ART's PixelAttack: `th` pixels chosen by differential evolution.

    Su et al. 2019 (arXiv 1710.08864), section III; `th` None looks for the fewest, up to 127, as
    Vargas et al. (arXiv 1906.06026). Pixels get one of 256 values.
    """

    name = "art/pixel-attack"
    norm = "l0"
    art = "PixelAttack"
    version = 2

    def finished(self, images: Tensor, returned: Tensor) -> Tensor:
        return unmoved(images, returned, _LEVELS_ROUNDING)


@dataclass(kw_only=True, eq=False)
class ArtThreshold(_Evolved):
    """ART's ThresholdAttack: every pixel within `th` of 256 levels, by differential evolution.

    Vargas et al. 2019 (arXiv 1906.06026). `th` None looks for the smallest, up to 127.
    """

    name = "art/threshold-attack"
    norm = "linf"
    art = "ThresholdAttack"


@dataclass(kw_only=True, eq=False)
class ArtVirtualAdversarial(Wrapped):
    """ART's VirtualAdversarialMethod: a step of length ε along the direction that changes the
    prediction most, found by power iteration.

    Miyato et al. 2016 (arXiv 1507.00677), section 3. Each iteration takes a finite difference
    over every pixel. It does not know which of two opposite directions breaks the image.
    """

    name = "art/virtual-adversarial"
    norm = "l2"
    access = "scores"
    art = "VirtualAdversarialMethod"
    reads = "nothing"
    probabilities = True

    max_iter: int = whole(10)
    finite_diff: float = number(1e-2, above=0)
