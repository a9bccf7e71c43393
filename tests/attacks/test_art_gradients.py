"""Gradients that ART is given: zero where the network has none, and paid for before they are."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

import robench
from robench.attacks.art_classifier import art_classifier, known_to_give_logits, tied
from robench.errors import MaskingWarning
from robench.testing.networks import ordinary
from robench.victim import Victim

from .art_cases import ALL, LEARNED, at
from .networks import whole_view

GRADIENT = [name for name in ALL if robench.attack(name, **ALL[name]).access == "gradient"]
RATIO = {"loss_type": "difference_logits_ratio"}
APGD = ["art/auto-projected-gradient-descent", "art/auto-conjugate-gradient",
        "art/rescaling-auto-conjugate-gradient", "art/auto-attack"]


class Apart(nn.Module):
    """A network whose decisions, as one-hot logits, are made without a graph."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            logits = self.network(images)
            return nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).float()


class FromElsewhere(Apart):
    """A network whose graph leads to a copy of the pixels, as one's that computes gradients."""

    def forward(self, images: Tensor) -> Tensor:
        with torch.enable_grad():
            return self.network(images.detach().clone().requires_grad_(True))


class Constant(nn.Module):
    """The same class for all images, with a graph or without; it leads the others, or is as far."""

    def __init__(self, *, graph: bool, lead: float) -> None:
        super().__init__()
        self.graph, self.lead = graph, lead

    def forward(self, images: Tensor) -> Tensor:
        nothing = (images if self.graph else images.detach()).flatten(1).sum(dim=1) * 0
        return torch.stack([nothing + self.lead, nothing, nothing, nothing], dim=1)


class Softmax(nn.Module):
    """A network that gives probabilities for its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return torch.softmax(self.network(images), dim=1)


@pytest.mark.parametrize("kind", [Apart, FromElsewhere])
@pytest.mark.parametrize("name", GRADIENT)
def test_where_there_is_no_gradient_it_is_zero_and_a_warning(name, kind) -> None:
    attack = robench.attack(name, **ALL[name])
    task = ordinary(attack.norm)
    with pytest.warns(MaskingWarning, match="the network's gradient is zero for every image"):
        result = attack(kind(task.network), task.images, task.labels,
                        epsilons=at(attack, task.epsilon))[0]
    assert torch.equal(result.gradient_dead, task.right)
    assert bool((result.backwards[task.right] > 0).all())


@pytest.mark.parametrize(("graph", "lead"), [(True, 1.0), (False, 1.0), (True, 0.0)])
@pytest.mark.parametrize(("name", "settings"), [
    *((name, {}) for name in GRADIENT), *((name, RATIO) for name in APGD[:3]),
])
def test_a_network_that_always_says_the_same(name, settings, graph, lead) -> None:
    """Of equal logits, ART's ratio has no gradient, which is no fault of the network."""
    attack = robench.attack(name, **{**ALL[name], **settings})
    images = ordinary(attack.norm).images[:2]
    with pytest.warns(MaskingWarning):
        result = attack(Constant(graph=graph, lead=lead), images, torch.zeros(2).long(),
                        epsilons=at(attack, 2.0))[0]
    assert not bool(result.success.any())


def test_a_pass_without_a_graph_counts_as_with_the_native_attack() -> None:
    task = ordinary("linf")
    with pytest.warns(MaskingWarning):
        ours, arts = (
            robench.attack(name, steps=3, random_start=False)(
                Apart(task.network), task.images, task.labels, epsilons=[1e-4])[0]
            for name in ("pgd", "art/pgd")
        )
    assert torch.equal(arts.backwards, ours.backwards)
    assert torch.equal(arts.gradient_dead, ours.gradient_dead)
    spent = robench.attack("art/pgd", steps=30, budget=9)
    with pytest.warns(MaskingWarning):
        result = spent(Apart(task.network), task.images, task.labels, epsilons=[0.01])[0]
    assert int((result.forwards + result.backwards).max()) <= 9 + 1


@pytest.mark.parametrize("name", LEARNED)
def test_what_learns_from_a_network_without_a_gradient_says_so(name) -> None:
    task = ordinary("linf")
    attack = robench.attack(name, **LEARNED[name])
    attack.fit(Apart(task.network), task.images, task.labels, epsilons=[0.1])
    with pytest.warns(MaskingWarning):
        attack(Apart(task.network), task.images, task.labels, epsilons=[0.1])


def test_logits_keep_their_bits_and_a_gradient_stays_what_it_is() -> None:
    task = ordinary("linf")
    negative_zero = torch.tensor([[-0.0, 1.0]])

    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return negative_zero.expand(len(images), 2)

    pixels = task.images.clone().requires_grad_(True)
    with tied(victim := Victim(Fixed())):
        logits = victim(pixels)
        (zero,) = torch.autograd.grad((logits / 0.0).sum(), pixels)
    assert torch.equal(logits.signbit(), negative_zero.signbit().expand(len(pixels), 2))
    assert torch.equal(zero, torch.zeros_like(pixels))
    assert not victim(pixels).requires_grad
    plain = Victim(task.network.eval().requires_grad_(False))
    (expected,) = torch.autograd.grad(plain(pixels)[:, 3].sum(), pixels)
    with tied(plain):
        (gradient,) = torch.autograd.grad(plain(pixels)[:, 3].sum(), pixels)
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize(("name", "settings"), [
    *((name, {}) for name in APGD), *((name, RATIO) for name in APGD[:3]),
])
def test_logits_that_look_like_probabilities_are_logits(name, settings) -> None:
    attack = robench.attack(name, **{**ALL[name], **settings})
    task = ordinary(attack.norm)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = attack(Softmax(task.network), task.images, task.labels, epsilons=[0.3])[0]
    assert bool(result.success.any())


def test_the_answer_to_whether_it_gives_logits_is_theirs_but_for_a_constant() -> None:
    task = ordinary("linf")
    view, _ = whole_view(Softmax(task.network.eval()), task.images, task.labels, epsilon=0.1)
    classifier = art_classifier(view, num_classes=10)
    plain = torch.from_numpy(classifier.predict(task.images.numpy()))
    with known_to_give_logits(classifier):
        answer = torch.from_numpy(classifier.predict(task.images.numpy()))
    assert float(answer.max()) == -1.0
    assert torch.allclose(answer.log_softmax(dim=1), plain.log_softmax(dim=1), atol=1e-6)
    assert torch.equal(torch.from_numpy(classifier.predict(task.images.numpy())), plain)


@pytest.mark.parametrize("probabilities", [False, True])
def test_gradients_of_all_classes_are_arts_and_counted(probabilities) -> None:
    task = ordinary("l2")
    view, log = whole_view(task.network.eval(), task.images, task.labels, epsilon=1.0, norm="l2")
    classifier = art_classifier(view, num_classes=10, probabilities=probabilities)
    found = torch.from_numpy(classifier.class_gradient(task.images.numpy()))
    assert found.shape == (len(task.images), 10, *task.images.shape[1:])
    assert set(log.forwards.tolist()) == {1}
    assert set(log.backwards.tolist()) == {10}
    pixels = task.images.clone().requires_grad_(True)
    logits = task.network(pixels)
    outputs = torch.softmax(logits, dim=1) if probabilities else logits
    for column in range(10):
        (one,) = torch.autograd.grad(outputs[:, column].sum(), pixels, retain_graph=True)
        assert torch.allclose(found[:, column], one, rtol=1e-5, atol=1e-7)
