"""Attacks of ART that look for the smallest perturbation along gradients."""

# ruff: noqa: RUF009 (the calls make dataclass fields)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from robench.attacks.art_settings import choice, classes, flag, number, whole
from robench.attacks.art_wrapped import Wrapped, unmoved
from robench.attacks.targets import Target

# What tanh and its inverse change in a pixel that was not moved; ART has the same threshold.
_TANH_ROUNDING = 1e-6


@dataclass(kw_only=True, eq=False)
class ArtDeepFool(Wrapped):
    """ART's DeepFool: steps to the nearest boundary of the linearised network.

    Moosavi-Dezfooli et al. 2016 (arXiv 1511.04599), algorithm 2. `epsilon` is the overshoot η,
    `nb_grads` how many of the highest classes it looks at.
    """

    name = "art/deepfool"
    norm = "l2"
    budget = "minimum"
    art = "DeepFool"
    version = 2
    reads = "nothing"

    max_iter: int = whole(100)
    epsilon: float = number(1e-6, least=0)
    nb_grads: int = whole(10)


@dataclass(kw_only=True, eq=False)
class ArtNewtonFool(Wrapped):
    """ART's NewtonFool: Newton steps that lower the probability of the predicted class.

    Jang et al. 2017 (ACSAC), algorithm 1. It goes on after the image is broken.
    """

    name = "art/newtonfool"
    norm = "l2"
    budget = "minimum"
    art = "NewtonFool"
    one_by_one = False
    reads = "nothing"
    probabilities = True

    max_iter: int = whole(100)
    eta: float = number(0.01, above=0)


@dataclass(kw_only=True, eq=False)
class _Carlini(Wrapped):
    confidence: float = number(0.0, least=0)
    learning_rate: float = number(0.01, above=0)
    binary_search_steps: int = whole(10)
    max_iter: int = whole(10)
    initial_const: float = number(0.01, above=0)
    max_halving: int = whole(5)
    max_doubling: int = whole(5)
    target: Target | None = classes()


@dataclass(kw_only=True, eq=False)
class ArtCarliniL2(_Carlini):
    """ART's CarliniL2Method, with a line search for each step in place of Adam.

    Carlini and Wagner 2017 (arXiv 1608.04644), section V.A.
    """

    name = "art/carlini-l2"
    norm = "l2"
    budget = "minimum"
    art = "CarliniL2Method"


@dataclass(kw_only=True, eq=False)
class ArtCarliniL0(_Carlini):
    """ART's CarliniL0Method: the L2 attack, after which the least useful pixel is fixed.

    Carlini and Wagner 2017 (arXiv 1608.04644), section VI.B. ART fixes no more pixels than the
    image has channels, plus one, so it ends far from the fewest.
    """

    name = "art/carlini-l0"
    norm = "l0"
    budget = "minimum"
    art = "CarliniL0Method"

    warm_start: bool = flag(True)

    def finished(self, images: Tensor, returned: Tensor) -> Tensor:
        return unmoved(images, returned, _TANH_ROUNDING)


@dataclass(kw_only=True, eq=False)
class ArtCarliniLInf(Wrapped):
    """ART's CarliniLInfMethod: a penalty on every pixel beyond a threshold τ that falls.

    Carlini and Wagner 2017 (arXiv 1608.04644), section VI.C.
    """

    name = "art/carlini-linf"
    norm = "linf"
    budget = "minimum"
    art = "CarliniLInfMethod"

    confidence: float = number(0.0, least=0)
    learning_rate: float = number(0.01, above=0)
    max_iter: int = whole(10)
    decrease_factor: float = number(0.9, above=0, below=1)
    initial_const: float = number(1e-5, above=0)
    largest_const: float = number(20.0, above=0)
    const_factor: float = number(2.0, above=1)
    target: Target | None = classes()


@dataclass(kw_only=True, eq=False)
class ArtElasticNet(Wrapped):
    """ART's ElasticNet (EAD): as Carlini and Wagner's, with an L1 term weighted by `beta`.

    Chen et al. 2018 (arXiv 1709.04114), algorithm 1. `decision_rule` says by which distance ART
    chooses among its iterates: EN, L1 or L2; the nearest in L1 counts here.
    """

    name = "art/elastic-net"
    norm = "l1"
    budget = "minimum"
    art = "ElasticNet"
    one_by_one = False

    confidence: float = number(0.0, least=0)
    learning_rate: float = number(0.01, above=0)
    binary_search_steps: int = whole(9)
    max_iter: int = whole(100)
    beta: float = number(0.001, least=0)
    initial_const: float = number(0.001, above=0)
    decision_rule: str = choice("EN", "EN", "L1", "L2")
    target: Target | None = classes()


@dataclass(kw_only=True, eq=False)
class ArtSaliencyMap(Wrapped):
    """ART's SaliencyMapMethod, after JSMA: pixels of the largest gradient of the target's logit.

    Papernot et al. 2016 (arXiv 1511.07528), algorithm 2, but ART takes the two largest gradients
    of one logit, never looks at pairs, nor at the other classes. It reads `y` as targets: `target`
    None is a random one. `gamma` is the share of features that may change, `theta` what each step
    adds.
    """

    name = "art/saliency-map"
    norm = "l0"
    budget = "minimum"
    art = "SaliencyMapMethod"
    reads = "targets"

    theta: float = number(0.1, least=-1, most=1)
    gamma: float = number(1.0, above=0, most=1)
    target: Target | None = classes()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.theta == 0:
            raise ValueError("theta: got 0, expected another number in [-1, 1]")

    def check_ready(self, images: Tensor, epsilons: Sequence[float]) -> None:
        if images[:1].numel() == 1:
            raise ValueError(f"{self.name}: got images of one value, expected more: it changes two "
                             "at once")

    @property
    def chosen_target(self) -> Target:
        return "random" if self.target is None else self.target
