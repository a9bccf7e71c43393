import re

import pytest
import torch
from torch import nn

from robench.attacks.fgsm import FGSM
from robench.attacks.uap import UAP
from robench.errors import VictimError
from robench.victim import Victim

from .networks import BreaksDown, BreaksDownError, Linear

EPSILONS = [0.1]


@pytest.fixture
def fitted(cnn, right):
    return UAP(epochs=1).fit(cnn, *right, epsilons=EPSILONS)


@pytest.mark.parametrize("name", ["images", "epochs", "batch_size"])
@pytest.mark.parametrize("count", [0, -1, 2.0, True, "4", None])
def test_counts_that_are_none(name, count):
    with pytest.raises(ValueError, match=rf"{name}: got .*, expected a whole number ≥ 1"):
        UAP(**{name: count})


@pytest.mark.parametrize(("setting", "said"), [
    ({"method": "gradient"}, "method: got 'gradient', expected sgd or deepfool"),
    ({"norm": "l1"}, "norm: got 'l1', expected linf or l2"),
    ({"optimizer": "sgd"}, "optimizer: got 'sgd', expected sign or adam"),
    ({"step_size": 0}, "step_size: got 0, expected a number > 0"),
    ({"step_size": "0.1"}, "step_size: got '0.1', expected a number > 0"),
    ({"beta": 0.0}, "beta: got 0.0, expected a number > 0"),
    ({"beta": float("inf")}, "beta: got inf, expected a number > 0"),
    ({"delta": 1.5}, "delta: got 1.5, expected a number ≥ 0 and ≤ 1"),
    ({"delta": True}, "delta: got True, expected a number ≥ 0 and ≤ 1"),
])
def test_settings_that_are_none(setting, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        UAP(**setting)


def test_settings_have_names():
    with pytest.raises(TypeError):
        UAP("sgd")


@pytest.mark.parametrize("rows", [0, 4])
def test_it_must_be_fitted_before_it_is_called(cnn, right, rows):
    images, labels = right[0][:rows], right[1][:rows]
    with pytest.raises(ValueError, match=r"uap is not fitted: call fit\(model, images, labels"):
        UAP()(cnn, images, labels, epsilons=EPSILONS)


def test_only_at_epsilons_it_was_fitted_at(cnn, right, fitted):
    said = r"epsilons: got 0\.2, expected one that uap was fitted at \(0\.1\): call fit with it"
    with pytest.raises(ValueError, match=said):
        fitted(cnn, *right, epsilons=[0.1, 0.2])


def test_only_on_images_of_the_size_it_was_fitted_on(cnn, fitted):
    said = "images: got 3×4×4, expected 1×8×8 as those that uap was fitted on"
    with pytest.raises(ValueError, match=said):
        fitted(cnn, torch.zeros(2, 3, 4, 4), torch.zeros(2).long(), epsilons=EPSILONS)


def test_a_climb_of_what_is_not_fitted_is_refused(cnn, right):
    with pytest.raises(ValueError, match="uap is not fitted"):
        UAP().climb(Victim(cnn), *right, epsilons=EPSILONS, image_ids=["a"], seed=0, ladder=True)


def _other(images, labels, **changed):
    return {"images": images, "labels": labels, "epsilons": EPSILONS, **changed}


@pytest.mark.parametrize(("change", "said"), [
    (lambda images, labels: _other(images.double(), labels), "images: got torch.float64"),
    (lambda images, labels: _other(images * 255, labels), "expected [0, 1]"),
    (lambda images, labels: _other(images * torch.nan, labels), "images: got NaN"),
    (lambda images, labels: _other(images[:0], labels[:0]), "images: got none"),
    (lambda images, labels: _other(images, labels[:-1]), "labels: got torch.int64"),
    (lambda images, labels: _other(images, labels.float()), "labels: got torch.float32"),
    (lambda images, labels: _other(images, labels - 1), "expected 0 to 9: the model gives 10"),
    (lambda images, labels: _other(images, labels + 1), "expected 0 to 9: the model gives 10"),
    (lambda images, labels: _other(images, labels, epsilons=[]), "epsilons: got none"),
    (lambda images, labels: _other(images, labels, epsilons=None), "epsilons: got None"),
    (lambda images, labels: _other(images, labels, epsilons=[-0.1]), "epsilons: got -0.1"),
    (lambda images, labels: _other(images, labels, epsilons=[torch.inf]), "epsilons: got inf"),
])
def test_what_it_cannot_be_fitted_on(cnn, digits, change, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        UAP().fit(cnn, **change(*digits))


def test_an_attack_that_does_not_learn_has_nothing_to_fit(cnn, right):
    with pytest.raises(ValueError, match="fgsm learns nothing: call it without fit"):
        FGSM().fit(cnn, *right, epsilons=EPSILONS)


@pytest.mark.parametrize("method", ["sgd", "deepfool"])
@pytest.mark.parametrize("call", [1, 2, 4])
def test_what_the_network_raises_comes_through_and_leaves_it_as_it_was(cnn, right, method, call):
    network = BreaksDown(cnn, call=call).train()
    flags = [weight.requires_grad for weight in network.parameters()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    attack = UAP(method=method, epochs=6).fit(cnn, right[0][:2], right[1][:2], epsilons=EPSILONS)
    with pytest.raises(BreaksDownError):
        attack.fit(network, right[0][:6], right[1][:6], epsilons=EPSILONS)
    assert all(module.training for module in network.modules())
    assert [weight.requires_grad for weight in network.parameters()] == flags
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    with pytest.raises(ValueError, match="uap is not fitted"):
        attack(cnn, *right, epsilons=EPSILONS)


def test_fitting_leaves_the_network_and_the_random_numbers_alone(cnn, right):
    network = nn.Sequential(cnn, nn.Dropout(0.5)).train()
    first = next(network.parameters())
    first.grad = torch.ones_like(first)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.random.get_rng_state()
    UAP(epochs=2, batch_size=16).fit(network, *right, epsilons=EPSILONS)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(module.training for module in network.modules())
    assert all(weight.requires_grad for weight in network.parameters())
    assert torch.equal(first.grad, torch.ones_like(first))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_network_that_gives_no_numbers(right):
    network = Linear(torch.full((10, 64), torch.nan), torch.zeros(10))
    with pytest.raises(VictimError, match="NaN or infinite logits"):
        UAP().fit(network, *right, epsilons=EPSILONS)
