"""What holds for every attack that ships with robench, by its card."""

import contextlib
import functools
import inspect

import pytest
import torch

from robench.attacks.balls import NORMS, PROJECTED, distances, project
from robench.attacks.base import Attack
from robench.registry import Card, Registry

from .art_cases import LEARNED, QUICK
from .networks import load_digit_images

EPSILONS = {"linf": [0.0, 0.1, 0.3], "l2": [0.0, 0.5, 1.0], "l1": [0.0, 4.0, 8.0],
            "l0": [0.0, 4.0, 8.0]}
FEW_STEPS = {"steps": 2, "queries": 40, "targets": 2, "eot": 2, "samples": 8, "population": 12,
             "generations": 3, "learning_rate": 0.3}
# Two steps find no boundary.
MORE_STEPS = {
    "deepfool": {"steps": 10}, "fmn": {"steps": 10},
    "cw": {"steps": 20, "binary_search_steps": 3, "learning_rate": 0.1, "initial_const": 1.0},
    "lbfgs": {"steps": 15, "binary_search_steps": 4},
    "uap": {"epochs": 3, "batch_size": 16},
}


@functools.cache
def _cards() -> dict[str, Card]:
    return {
        card.name: card for card in Registry.discover().own("attack")
        if not card.is_provider and card.name not in QUICK | LEARNED  # tests/attacks/test_art_*.py
    }


def _make(name: str, **settings: object) -> Attack:
    entry = Registry.discover().get("attack", name)
    few = {key: value for key, value in FEW_STEPS.items() if key in entry.card.params}
    few |= MORE_STEPS.get(name, {})
    return entry.load()(**entry.card.settings({**few, **settings}))


def _made_in_each_norm(name: str) -> list[Attack]:
    if "norm" not in _cards()[name].params:
        return [_make(name)]
    made = []
    for norm in NORMS:
        with contextlib.suppress(ValueError):
            made.append(_make(name, norm=norm))
    assert made
    return made


def _attack(attack, network, images, labels, *, epsilons, seed=0):
    """Its results; an attack that learns is fitted before, on the digits' first images."""
    if attack.learns:
        others, theirs = load_digit_images()
        with torch.no_grad():
            classes = network(images[:1]).shape[1]
        theirs = theirs if classes > 2 else theirs % 2
        attack.fit(network, others[:64], theirs[:64], epsilons=epsilons, seed=seed)
    return attack(network, images, labels, epsilons=epsilons, seed=seed)


every = pytest.mark.parametrize("name", sorted(_cards()))


def test_the_attacks_that_must_be_there():
    assert {"fgsm", "bim", "pgd", "noise", "art/fgsm", "art/bim", "art/pgd"} <= set(_cards())


@every
def test_a_card_says_what_the_constructor_takes(name):
    factory = Registry.discover().get("attack", name).load()
    parameters = inspect.signature(factory).parameters.values()
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)
    assert {each.name: each.default for each in parameters} == _cards()[name].params


@every
def test_the_traits_are_the_attacks_attributes(name):
    attack, card = _make(name), _cards()[name]
    assert isinstance(attack, Attack)
    assert attack.name == name
    for trait in ("norm", "budget", "access"):
        assert card.traits[trait] == getattr(attack, trait), trait
    assert attack.norm in NORMS
    assert card.version == type(attack).version


@every
def test_a_card_cites_its_paper_or_says_what_it_does(name):
    card = _cards()[name]
    assert card.summary
    assert card.paper is None or {"key", "cite", "where"} <= set(card.paper)
    assert card.paper or card.notes


@every
def test_results_are_inside_the_ball_and_the_box(name, cnn_and_8):
    cnn, images, labels = cnn_and_8
    for attack in _made_in_each_norm(name):
        for result in _attack(attack, cnn, images, labels, epsilons=EPSILONS[attack.norm]):
            found = result.adversarial
            assert found.dtype == torch.float32
            assert float(found.min()) >= 0.0
            assert float(found.max()) <= 1.0
            assert bool((distances(images, found, attack.norm) <= result.epsilon).all())
            if attack.budget == "fixed" and attack.norm in PROJECTED:
                assert torch.equal(project(images, found, result.epsilon, attack.norm), found)
                delta = (found.double() - images.double()).flatten(1)
                order = {"linf": torch.inf, "l2": 2, "l1": 1}[attack.norm]
                assert bool((torch.linalg.vector_norm(delta, order, dim=1)
                             <= result.epsilon).all())


@every
def test_epsilon_zero_changes_nothing(name, cnn_and_8):
    cnn, images, labels = cnn_and_8
    for attack in _made_in_each_norm(name):
        result = _attack(attack, cnn, images, labels, epsilons=[0.0])[0]
        assert torch.equal(result.adversarial, images)
        assert torch.equal(result.prediction, labels)
        assert not bool(result.success.any())


@every
def test_the_same_seed_gives_the_same_and_another_seed_another(name, cnn_and_8):
    cnn, images, labels = cnn_and_8
    for attack in _made_in_each_norm(name):
        far = {"linf": 1.0, "l2": 8.0}.get(attack.norm, 64.0)  # where any search finds something
        epsilon = far if attack.budget == "minimum" else EPSILONS[attack.norm][1]
        first, again, other = (
            _attack(attack, cnn, images, labels, epsilons=[epsilon], seed=seed)[0]
            for seed in (5, 5, 6)
        )
        for key in ("adversarial", "success", "forwards", "backwards", "first_success"):
            assert torch.equal(getattr(first, key), getattr(again, key)), key
        same = torch.equal(first.adversarial, other.adversarial)
        assert same != _cards()[name].traits["random"]


@every
def test_more_than_nothing_is_broken(name, cnn_and_8):
    """An attack that breaks nothing on an undefended network is none."""
    cnn, images, labels = cnn_and_8
    for attack in _made_in_each_norm(name):
        largest = {"linf": 1.0, "l2": 8.0, "l1": 40.0, "l0": 48.0}[attack.norm]
        result = _attack(attack, cnn, images, labels, epsilons=[largest])[0]
        assert int(result.success.sum()) > 0
        with torch.no_grad():
            assert torch.equal(cnn(result.adversarial).argmax(dim=1) != labels, result.success)


@every
def test_an_attack_works_on_two_classes_and_on_one_logit(name, cnn_and_8):
    cnn, images, labels = cnn_and_8

    class Even(torch.nn.Module):
        def __init__(self, *, one_logit):
            super().__init__()
            self.cnn, self.one_logit = cnn, one_logit

        def forward(self, pixels):
            logits = self.cnn(pixels)
            two = torch.stack([logits[:, ::2].mean(1), logits[:, 1::2].mean(1)], dim=1)
            return two.diff(dim=1) if self.one_logit else two

    attack = _make(name)
    size = 2.0 if attack.norm == "l0" else 0.2
    two, one = (
        _attack(attack, Even(one_logit=one_logit), images, labels % 2, epsilons=[size])[0]
        for one_logit in (False, True)
    )
    assert float((two.success == one.success).float().mean()) > 0.9
