"""Attacks of ART that see only decisions, and look for the smallest perturbation.

ART's BoundaryAttack and HopSkipJump draw their start from a generator that the operating system
seeds, and GeoDA needs a function that numpy 2 has not, leaves a file behind and may never find a
start: the classes derived from them here mend that, and leave their algorithms alone.
"""

# ruff: noqa: RUF009 (the calls make dataclass fields)

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import Tensor

from robench.attacks.art_classifier import NoStartError
from robench.attacks.art_settings import choice, classes, number, whole
from robench.attacks.art_shapes import check_sides_alike
from robench.attacks.art_wrapped import Wrapped
from robench.attacks.balls import Norm
from robench.attacks.targets import Target


@dataclass(kw_only=True, eq=False)
class ArtBoundary(Wrapped):
    """ART's BoundaryAttack: a walk along the boundary, from a random image towards the clean one.

    Brendel et al. 2018 (arXiv 1712.04248), algorithm 1. `delta` and `epsilon` are the first
    orthogonal and inward steps. An image for which none of `init_size` random images is broken
    is left alone.
    """

    name = "art/boundary"
    norm = "l2"
    budget = "minimum"
    access = "decision"
    art = "BoundaryAttack"

    delta: float = number(0.01, above=0)
    epsilon: float = number(0.01, above=0)
    step_adapt: float = number(0.667, above=0, below=1)
    max_iter: int = whole(5000)
    num_trial: int = whole(25)
    sample_size: int = whole(20)
    init_size: int = whole(100)
    min_epsilon: float = number(0.0, least=0)
    target: Target | None = classes()

    def made_by(self) -> Any:
        class Seeded(super().made_by()):  # type: ignore[misc]
            def _init_sample(self, x: Any, y: Any, y_p: Any, *rest: Any) -> Any:
                return _start(self, x, y, y_p)

        return Seeded


@dataclass(kw_only=True, eq=False)
class ArtHopSkipJump(Wrapped):
    """ART's HopSkipJump: the gradient's direction at the boundary, from decisions around it.

    Chen, Jordan and Wainwright 2020 (arXiv 1904.02144), algorithm 2. An image for which none of
    `init_size` random images is broken is left alone.
    """

    name = "art/hop-skip-jump"
    norm: Norm = choice("l2", "l2", "linf")
    budget = "minimum"
    access = "decision"
    art = "HopSkipJump"

    max_iter: int = whole(50)
    max_eval: int = whole(10000)
    init_eval: int = whole(100)
    init_size: int = whole(100)
    target: Target | None = classes()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init_eval > self.max_eval:
            raise ValueError(f"init_eval: got {self.init_eval}, expected at most max_eval, "
                             f"{self.max_eval}")

    def made_by(self) -> Any:
        class Seeded(super().made_by()):  # type: ignore[misc]
            def _init_sample(self, x: Any, y: Any, y_p: Any, *rest: Any) -> Any:
                found = _start(self, x, y, y_p)
                if found is None:
                    return None
                aim = y if self.targeted else y_p
                nearer = self._binary_search(
                    current_sample=found[0], original_sample=x, target=aim, norm=2,
                    clip_min=0.0, clip_max=1.0, threshold=0.001,
                )
                return nearer, aim

        return Seeded


def _start(attack: Any, clean: Any, target: Any, predicted: Any) -> tuple[Any, Any] | None:
    """The first random image that is broken, and its class; None where none of them is."""
    for _ in range(attack.init_size):
        start = np.random.uniform(size=clean.shape).astype(np.float32)
        found = attack.estimator.predict(start[None]).argmax(axis=1)[0]
        if found == target if attack.targeted else found != predicted:
            return start, found
    return None


@dataclass(kw_only=True, eq=False)
class ArtGeoDA(Wrapped):
    """ART's GeoDA: normals of the boundary from decisions, among low frequencies.

    Rahmati et al. 2020 (arXiv 2003.06468), algorithm 2. `max_iter` is a number of decisions,
    `sub_dim` of frequencies in each direction. Images must be square.
    """

    name = "art/geo-da"
    norm: Norm = choice("l2", "l2", "linf", "l1")
    budget = "minimum"
    access = "decision"
    art = "GeoDA"

    sub_dim: int = whole(10)
    max_iter: int = whole(4000, least=300)
    bin_search_tol: float = number(0.1, above=0)
    lambda_param: float = number(0.6, above=0, most=1)
    sigma: float = number(0.0002, above=0)

    def check_ready(self, images: Tensor, epsilons: Sequence[float]) -> None:
        check_sides_alike(self.name, images, "ART has one set of frequencies for both directions")

    def made_by(self) -> Any:
        class Mended(super().made_by()):  # type: ignore[misc]
            @staticmethod
            def _generate_2d_dct_basis(sub_dim: int, res: int) -> Any:
                return _cosines(sub_dim, res)

            def _find_random_adversarial(self, x: Any, y: Any) -> Any:
                # Noise that grows: after 500 steps it is hardly more than zeros and ones.
                for step in range(1, 501):
                    noise = np.random.normal(size=x.shape).astype(np.float32)
                    noisy = np.clip(x + 0.02 * step * noise, 0.0, 1.0).astype(np.float32)
                    if self._is_adversarial(noisy, y):
                        return noisy
                raise NoStartError("500 random images of which it breaks none")

            def generate(self, x: Any, y: Any = None, **given: Any) -> Any:
                with TemporaryDirectory() as folder, chdir(folder):  # it keeps its basis in a file
                    return super().generate(x=x, y=y, **given)

        return Mended


def _cosines(count: int, size: int) -> Any:
    """The first `count`² functions of the 2-D cosine transform as columns of size² pixels."""
    period = max(size, count)
    angle = np.outer(np.arange(count), 2 * np.arange(size) + 1) * math.pi / (2 * period)
    scale = np.sqrt(np.where(np.arange(count) == 0, 1.0, 2.0) / period)
    waves = scale[:, None] * np.cos(angle)
    return np.einsum("ux,vy->yxuv", waves, waves).reshape(size * size, count * count)


@dataclass(kw_only=True, eq=False)
class ArtSignOPT(Wrapped):
    """ART's SignOPTAttack: descent on the distance to the boundary in a direction, by signs.

    Cheng et al. 2020 (arXiv 1909.10773), algorithm 1. Untargeted only: ART's targeted form asks
    for images of the target.
    """

    name = "art/sign-opt"
    norm = "l2"
    budget = "minimum"
    access = "decision"
    art = "SignOPTAttack"
    reads = "nothing"
    least_classes = 3  # ART refuses two

    epsilon: float = number(0.001, above=0)
    num_trial: int = whole(100)
    max_iter: int = whole(1000)
    query_limit: int = whole(20000)
    k: int = whole(200)
    alpha: float = number(0.2, above=0)
    beta: float = number(0.001, above=0)

    def made_by(self) -> Any:
        class Consistent(super().made_by()):  # type: ignore[misc]
            def _attack(self, x_0: Any, y_0: Any, **given: Any) -> Any:
                # ART asks of one image at a time from here on, and goes on for ever where a
                # network whose rows depend on their mates then calls the clean one otherwise.
                return super()._attack(x_0=x_0, y_0=self._predict_label(x_0), **given)

        return Consistent
