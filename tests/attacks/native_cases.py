"""Every native attack that has a card, with settings that take a moment on small images."""

from __future__ import annotations

from typing import Any

from torch import nn

import robench
from robench.attacks.base import Attack
from robench.registry import Registry

from .networks import load_digit_images

_FEW: dict[str, Any] = {
    "steps": 2, "queries": 6, "targets": 1, "eot": 2, "samples": 4, "population": 5,
    "generations": 2, "binary_search_steps": 1, "epochs": 1, "draws": 2,
}
_OWN: dict[str, dict[str, Any]] = {
    "deepfool": {"steps": 6}, "fmn": {"steps": 6}, "pgd": {"restarts": 2},
    "cw": {"steps": 6, "learning_rate": 0.2, "initial_const": 2.0},
    "lbfgs": {"steps": 4, "binary_search_steps": 2}, "di-fgsm": {"diversity": 1.0},
    "ti-fgsm": {"kernel_size": 3}, "jsma": {"theta": 1.0, "target": "next"},
}
NAMES = sorted(card.name for card in Registry.discover().own("attack")
               if not card.is_provider and not card.name.startswith("art/"))

# One at which images begin to break, by norm.
UNIT = {"linf": 0.1, "l2": 0.5, "l1": 3.0, "l0": 10.0}


def made(name: str) -> Attack:
    """The attack of that name, in little; `_FEW` holds what it has of these settings."""
    params = Registry.discover().get("attack", name).card.params
    few = {key: value for key, value in _FEW.items() if key in params}
    return robench.attack(name, **{**few, **_OWN.get(name, {})})


def ready(attack: Attack, network: nn.Module, epsilons: list[float]) -> Attack:
    """The attack itself; one that learns is fitted before, on the digits' first images."""
    if attack.learns:
        images, labels = load_digit_images()
        attack.fit(network, images[:32], labels[:32], epsilons=epsilons)
    return attack
