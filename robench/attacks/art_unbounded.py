"""Attacks of ART that keep to no ball: rotations, colours, shadows, moved mass.

No norm measures them, and epsilons mean nothing to them. They are searches of the smallest
perturbation in L0, which in a matrix run once, with no bound; their own settings are the limits.
"""

# ruff: noqa: RUF009 (the calls make dataclass fields)

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robench.attacks.art_settings import choice, classes, flag, interval, number, some_of, whole
from robench.attacks.art_wrapped import Wrapped
from robench.attacks.targets import Target


@dataclass(kw_only=True, eq=False)
class ArtSpatialTransformation(Wrapped):
    """ART's SpatialTransformation: a grid of shifts (percent of a side) and rotations (degrees).

    Engstrom et al. 2019 (arXiv 1712.02779), section 3. ART's defaults move nothing; these are
    the paper's for MNIST: 3 of 28 pixels, 30°, 5 × 5 × 31 places.
    """

    name = "art/spatial-transformation"
    norm = "l0"
    budget = "minimum"
    bounded = False
    access = "decision"
    art = "SpatialTransformation"
    one_by_one = False
    reads = "nothing"

    max_translation: float = number(10.7, least=0, most=100)
    num_translations: int = whole(5)
    max_rotation: float = number(30.0, least=0, most=180)
    num_rotations: int = whole(31)

    def made_by(self) -> Any:
        class EachAlone(super().made_by()):  # type: ignore[misc]
            def _perturb(self, x: Any, trans_x: int, trans_y: int, rot: float) -> Any:
                # SciPy's splines run through the whole batch, which changes the last bits.
                moved = super()._perturb
                return np.concatenate([moved(one[None], trans_x, trans_y, rot) for one in x])

        return EachAlone


@dataclass(kw_only=True, eq=False)
class ArtShadow(Wrapped):
    """ART's ShadowAttack: a smooth, nearly grey perturbation of any size.

    Ghiasi et al. 2020 (arXiv 2003.08937), section 3. It follows the mean gradient of `batch_size`
    noisy copies. ART takes a given `y` for targets: without `target` it gets none.
    """

    name = "art/shadow"
    norm = "l0"
    budget = "minimum"
    bounded = False
    art = "ShadowAttack"
    takes_batches = False
    reads = "nothing"

    sigma: float = number(0.5, above=0)
    nb_steps: int = whole(300)
    learning_rate: float = number(0.1, above=0)
    lambda_tv: float = number(0.3, least=0)
    lambda_c: float = number(1.0, least=0)
    lambda_s: float = number(0.5, least=0)
    batch_size: int = whole(400)
    target: Target | None = classes()


@dataclass(kw_only=True, eq=False)
class ArtComposite(Wrapped):
    """ART's CompositeAdversarialAttackPyTorch: hue, saturation, rotation, brightness, contrast
    and PGD, one after the other, in an order that is searched too.

    Hsiung et al. 2023 (arXiv 2202.04235), section 3. `enabled_attack` numbers them from 0; grey
    images have no hue and saturation, which are left out.
    """

    name = "art/composite-adversarial"
    norm = "l0"
    budget = "minimum"
    bounded = False
    art = "CompositeAdversarialAttackPyTorch"

    enabled_attack: Sequence[int] = some_of(0, 1, 2, 3, 4, 5)
    hue_epsilon: Sequence[float] = interval(-math.pi, math.pi, least=-math.pi, most=math.pi)
    sat_epsilon: Sequence[float] = interval(0.7, 1.3, least=0, most=math.inf)
    rot_epsilon: Sequence[float] = interval(-10.0, 10.0, least=-360, most=360)
    bri_epsilon: Sequence[float] = interval(-0.2, 0.2, least=-1, most=1)
    con_epsilon: Sequence[float] = interval(0.7, 1.3, least=0, most=math.inf)
    pgd_epsilon: Sequence[float] = interval(-8 / 255, 8 / 255, least=-1, most=1)
    early_stop: bool = flag(True)
    max_iter: int = whole(5)
    max_inner_iter: int = whole(10)
    attack_order: str = choice("scheduled", "fixed", "random", "scheduled")

    def build(self, classifier: Any, *, epsilon: float, batch_size: int) -> Any:
        grey = classifier.input_shape[0] != 3
        enabled = [number for number in self.enabled_attack if number > 1 or not grey]
        if not enabled:
            raise ValueError("enabled_attack: got hue and saturation for grey images, expected "
                             "others too")
        made_by, own = self.made_by(), self.settings(epsilon)
        pairs = {name: tuple(map(float, value)) for name, value in own.items()
                 if name.endswith("_epsilon")}
        order = self.attack_order if len(enabled) > 1 else "fixed"  # ART looks for another order
        plain = {name: own[name] for name in ("early_stop", "max_iter", "max_inner_iter")}
        return made_by(
            classifier, enabled_attack=tuple(enabled), attack_order=order, batch_size=batch_size,
            verbose=False, **plain, **pairs,
        )
