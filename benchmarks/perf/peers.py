"""The same attacks in the libraries they are measured beside, as each of them is meant to be used.

A peer takes a network, in the wrapper that its library wants, made once: what it gives is called
with images, labels and epsilons → one tensor of adversarial images per epsilon. Those that are not
installed are left out.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Attacking = Callable[[Tensor, Tensor, Sequence[float]], list[Tensor]]
Peer = Callable[[nn.Module, Tensor], Attacking]
"""(network, images of the kind it will be shown) → the attack on it."""


def peers(attack: str, **settings: Any) -> Mapping[str, Peer]:
    """The peers that have `attack`, by the library's name."""
    known = {"ART": _art, "torchattacks": _torchattacks, "Foolbox": _foolbox}
    modules = {"ART": "art", "torchattacks": "torchattacks", "Foolbox": "foolbox"}
    found = {name: make(attack, settings) for name, make in known.items()
             if find_spec(modules[name])}
    return {name: peer for name, peer in found.items() if peer is not None}


def _art(attack: str, settings: Mapping[str, Any]) -> Peer | None:
    import art.attacks.evasion as evasion
    from art.estimators.classification import PyTorchClassifier

    def make(classifier: Any, epsilon: float) -> Any:
        if attack == "fgsm":
            return evasion.FastGradientMethod(classifier, eps=epsilon, batch_size=256)
        if attack == "pgd":
            return evasion.ProjectedGradientDescentPyTorch(
                classifier, eps=epsilon, eps_step=settings["step_size"], batch_size=256,
                max_iter=settings["steps"], num_random_init=0, verbose=False,
            )
        if attack == "deepfool":
            return evasion.DeepFool(classifier, max_iter=settings["steps"], batch_size=256,
                                    verbose=False)
        if attack == "cw":
            return evasion.CarliniL2Method(
                classifier, max_iter=settings["steps"], batch_size=256, verbose=False,
                binary_search_steps=settings["binary_search_steps"],
                learning_rate=settings["learning_rate"],
                initial_const=settings["initial_const"],
            )
        if attack == "jsma":  # one image at a time is its fastest setting
            return evasion.SaliencyMapMethod(classifier, theta=settings["theta"],
                                             gamma=settings["gamma"], batch_size=1, verbose=False)
        if attack == "apgd":
            return evasion.AutoProjectedGradientDescent(
                classifier, eps=epsilon, eps_step=2 * epsilon, max_iter=settings["steps"],
                nb_random_init=1, batch_size=256, loss_type="cross_entropy", verbose=False,
            )
        return None

    def prepared(network: nn.Module, like: Tensor) -> Attacking:
        classifier = PyTorchClassifier(
            network, loss=nn.CrossEntropyLoss(), input_shape=tuple(like.shape[1:]),
            nb_classes=int(network(like[:1]).shape[1]), clip_values=(0.0, 1.0),
            device_type="gpu" if like.is_cuda else "cpu",
        )

        def run(images: Tensor, labels: Tensor, epsilons: Sequence[float]) -> list[Tensor]:
            pixels = images.cpu().numpy()
            aims = labels.cpu().numpy()
            if attack == "jsma":  # ART reads targets here
                aims = np.eye(classifier.nb_classes)[(aims + 1) % classifier.nb_classes]
            with contextlib.redirect_stdout(io.StringIO()):
                return [
                    torch.from_numpy(make(classifier, epsilon).generate(pixels, aims))
                    .to(images.device) for epsilon in epsilons
                ]

        return run

    return prepared if attack in ("fgsm", "pgd", "deepfool", "cw", "apgd", "jsma") else None


def _torchattacks(attack: str, settings: Mapping[str, Any]) -> Peer | None:
    import torchattacks

    makers: dict[str, Callable[[nn.Module, float], Any]] = {
        "fgsm": lambda network, epsilon: torchattacks.FGSM(network, eps=epsilon),
        "pgd": lambda network, epsilon: torchattacks.PGD(
            network, eps=epsilon, alpha=settings["step_size"], steps=settings["steps"],
            random_start=False),
        "deepfool": lambda network, epsilon: torchattacks.DeepFool(
            network, steps=settings["steps"]),
        "cw": lambda network, epsilon: torchattacks.CW(
            network, c=1, steps=settings["steps"], lr=settings["learning_rate"]),
        "apgd": lambda network, epsilon: torchattacks.APGD(
            network, eps=epsilon, steps=settings["steps"], loss="ce"),
        "square": lambda network, epsilon: torchattacks.Square(
            network, eps=epsilon, n_queries=settings["queries"]),
    }
    if attack == "autoattack":
        return _torchattacks_ensemble
    if attack not in makers:
        return None

    def prepared(network: nn.Module, like: Tensor) -> Attacking:
        return lambda images, labels, epsilons: [
            makers[attack](network, epsilon)(images, labels) for epsilon in epsilons
        ]

    return prepared


def _torchattacks_ensemble(network: nn.Module, like: Tensor) -> Attacking:
    """AutoAttack's members on the survivors of those before."""
    import torchattacks

    classes = int(network(like[:1]).shape[1])
    return lambda images, labels, epsilons: [
        torchattacks.MultiAttack(_members(network, epsilon, classes))(images, labels)
        for epsilon in epsilons
    ]


def torchattacks_one_by_one(network: nn.Module, like: Tensor) -> Attacking:
    """The same members, each on all images; per image the first that broke it."""
    classes = int(network(like[:1]).shape[1])

    def run(images: Tensor, labels: Tensor, epsilons: Sequence[float]) -> list[Tensor]:
        worst = []
        for epsilon in epsilons:
            kept, broken = images.clone(), torch.zeros_like(labels, dtype=torch.bool)
            for member in _members(network, epsilon, classes):
                shown = member(images, labels)
                with torch.no_grad():
                    new = (network(shown).argmax(dim=1) != labels) & ~broken
                kept[new] = shown[new]
                broken |= new
            worst.append(kept)
        return worst

    return run


def _members(network: nn.Module, epsilon: float, classes: int) -> list[Any]:
    """With the published numbers of steps: the library's own AutoAttack takes 10."""
    import torchattacks

    return [
        torchattacks.APGD(network, eps=epsilon, steps=100, loss="ce"),
        torchattacks.APGDT(network, eps=epsilon, steps=100, n_classes=classes),
        torchattacks.FAB(network, eps=epsilon, steps=100, multi_targeted=True, n_classes=classes),
        torchattacks.Square(network, eps=epsilon, n_queries=5000),
    ]


def _foolbox(attack: str, settings: Mapping[str, Any]) -> Peer | None:
    import foolbox

    makers: dict[str, Callable[[], Any]] = {
        "fgsm": lambda: foolbox.attacks.LinfFastGradientAttack(random_start=False),
        "pgd": lambda: foolbox.attacks.LinfPGD(
            abs_stepsize=settings["step_size"], steps=settings["steps"], random_start=False),
        "deepfool": lambda: foolbox.attacks.L2DeepFoolAttack(steps=settings["steps"]),
        "cw": lambda: foolbox.attacks.L2CarliniWagnerAttack(
            binary_search_steps=settings["binary_search_steps"], steps=settings["steps"],
            stepsize=settings["learning_rate"], initial_const=settings["initial_const"]),
    }
    if attack not in makers:
        return None

    def prepared(network: nn.Module, like: Tensor) -> Attacking:
        model = foolbox.PyTorchModel(network, bounds=(0, 1), device=like.device)

        def run(images: Tensor, labels: Tensor, epsilons: Sequence[float]) -> list[Tensor]:
            asked: Any = list(epsilons) if attack in ("fgsm", "pgd") else [None]
            _, clipped, _ = makers[attack]()(model, images, labels, epsilons=asked)
            return [_left_alone(shown, images) if attack == "cw" else shown for shown in clipped]

        return run

    return prepared


def _left_alone(shown: Tensor, images: Tensor) -> Tensor:
    """Foolbox's C&W gives a black image where it found nothing, which is no adversarial one."""
    black = (shown == 0).flatten(1).all(dim=1)
    return torch.where(black[:, None, None, None], images, shown)
