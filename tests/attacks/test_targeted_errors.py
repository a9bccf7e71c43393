"""Targets that are none, for every attack that takes one."""

import pytest
import torch

from robench.attacks.fab import FAB
from robench.attacks.uap import UAP
from robench.registry import Registry

from .networks import load_digit_images
from .targeted_cases import CASES

every = pytest.mark.parametrize("name", sorted(CASES))


def _made(name, target):
    return Registry.discover().get("attack", name).load()(**CASES[name].settings, target=target)


@every
@pytest.mark.parametrize("target", ["likely", -1, 1.0, True])
def test_an_unknown_target(name, target):
    with pytest.raises(ValueError, match=r"target: got .*, expected least-likely, random, next"):
        _made(name, target)


@every
def test_a_class_the_network_does_not_have(name, cnn, right):
    images, labels = right[0][:4], right[1][:4]
    attack = _made(name, 10)
    runs = attack.fit if attack.learns else attack
    with pytest.raises(ValueError, match=r"target: got class 10, the network has 10"):
        runs(cnn, images, labels, epsilons=[CASES[name].epsilon])


def test_fab_takes_one_target_or_all_in_turn():
    with pytest.raises(ValueError, match=r"target: got 'next' with targeted, .* one of the two"):
        FAB(targeted=True, target="next")


def test_deepfool_has_no_target():
    with pytest.raises(ValueError, match=r"target: got 3 with method deepfool, expected sgd"):
        UAP(method="deepfool", target=3)


def test_nothing_to_lead_to_the_target(cnn):
    images, labels = load_digit_images()
    rows = torch.eq(labels, 3).nonzero()[:20, 0]
    with pytest.raises(ValueError, match=r"target: all images to learn from are of class 3"):
        UAP(target=3).fit(cnn, images[rows], labels[rows], epsilons=[0.1])
