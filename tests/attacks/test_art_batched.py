"""Each card of ART's attacks that says `batched` is held to it: the images of a batch run
together, and fare in it as alone. Of the others some image would not, which is why they do not."""

from __future__ import annotations

import functools

import pytest
import torch

import robench
from robench.attacks.art import ArtAttack
from robench.registry import Registry

from .art_cases import ALL, FAR, at
from .networks import load_digit_images, trained_cnn

EPSILONS = {"linf": 0.1, "l2": 0.5, "l1": 4.0}
CARDS = {card.name: card for card in Registry.discover().own("attack")
         if card.name in ALL}
FAST = {"art/pgd", "art/saliency-map", "art/boundary", "art/square", "art/zoo"}
# From a larger ball its first step breaks every image, in a batch as alone.
ROOM = {"art/wasserstein": {"regularization": 100.0, "max_iter": 4, "eps": 0.01}}


@functools.cache
def _task():
    """The small CNN, and twelve digits that it gets right."""
    network = trained_cnn()
    images, labels = (values[1400:1430] for values in load_digit_images())
    with torch.no_grad():
        rows = torch.eq(network(images).argmax(dim=1), labels)
    return network, images[rows][:12], labels[rows][:12]


def _made(name, **settings) -> ArtAttack:
    return robench.attack(name, **{**ALL[name], **ROOM.get(name, {}), **settings})


def _found(attack, size, *, count=12):
    """Of the first images in batches of `size`: all that is found of each, by name."""
    network, images, labels = _task()
    epsilon = FAR[attack.norm] if attack.budget == "minimum" else EPSILONS[attack.norm]
    parts = [attack(network, images[rows], labels[rows], epsilons=at(attack, epsilon))[0]
             for rows in torch.arange(count).split(size)]
    return {key: torch.cat([getattr(part, key) for part in parts])
            for key in ("success", "distance", "adversarial", "margin", "prediction",
                        "first_success", "forwards", "backwards")}


def _same(one, other):
    return all(torch.equal(values, other[key]) for key, values in one.items())


def _sizes(attack, monkeypatch):
    """How many images each of ART's runs has."""
    seen = []
    real = type(attack).build

    def build(self, classifier, *, epsilon, batch_size):
        seen.append(batch_size)
        return real(self, classifier, epsilon=epsilon, batch_size=batch_size)

    monkeypatch.setattr(type(attack), "build", build)
    return seen


@pytest.mark.parametrize(("name", "settings"), [
    *((name, {}) for name in CARDS if CARDS[name].traits["batched"]),
    ("art/pgd", {"steps": 4, "random_start": False}),
    pytest.param("art/elastic-net", {"target": "next"}, marks=pytest.mark.slow),
    pytest.param("art/momentum-iterative", {"norm": "l2", "target": "random"},
                 marks=pytest.mark.slow),
    ("art/fgsm", {"target": "least-likely"}),
], ids=str)
def test_in_any_batch_an_image_fares_as_alone(name, settings, monkeypatch) -> None:
    attack = _made(name, **settings)
    sizes = _sizes(attack, monkeypatch)
    whole = _found(attack, 12)
    assert sizes == [12]
    assert bool(whole["success"].any())
    assert _same(_found(attack, 5), whole)
    some = {key: values[:3] for key, values in whole.items()}
    assert _same(_found(attack, 1, count=3), some)


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow])
    for name in CARDS if not CARDS[name].traits["batched"]
])
def test_what_runs_one_by_one_would_depend_on_the_batch(name, monkeypatch) -> None:
    attack = _made(name)
    sizes = _sizes(attack, monkeypatch)
    alone = _found(attack, 6, count=6)
    assert set(sizes) == {1}
    attack.one_by_one = False
    if not getattr(attack, "takes_batches", True):
        with pytest.raises(ValueError, match="one image at a time"):
            _found(attack, 6, count=6)
        return
    assert not _same(_found(attack, 6, count=6), alone)
    assert sizes[-1] == 6


@pytest.mark.parametrize("name", CARDS)
def test_a_card_says_why_it_runs_one_by_one(name) -> None:
    card = CARDS[name]
    told = [note for note in card.notes if note.startswith("one image at a time")]
    assert len(told) == (0 if card.traits["batched"] else 1)
