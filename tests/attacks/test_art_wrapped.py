"""Every attack of ART that has a card: it runs, says what is true, and breaks what it should."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

import robench
from robench.attacks.art import ArtAttack
from robench.attacks.art_names import EXCLUDED, NAMES
from robench.attacks.art_wrapped import Wrapped
from robench.registry import Card, Registry
from robench.testing.attack_case import check_inside, check_same, check_true
from robench.testing.breakable import breakable
from robench.testing.networks import Raises, RaisesError, Task, ordinary
from robench.victim import Victim

from .art_cases import ALL, AS_NATIVE, FAR, LEARNED, QUICK, at, far
from .networks import MatesMatter

CHEAP = {"art/fgsm", "art/bim", "art/pgd", "art/momentum-iterative", "art/deepfool",
         "art/auto-projected-gradient-descent", "art/newtonfool", "art/boundary", "art/square",
         "art/zoo", "art/spatial-transformation", "art/wasserstein"}
SLOW = {"art/geo-da", "art/sign-opt", "art/carlini-l0"}  # hundreds of passes an image at least
every = pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in QUICK
])
# Those that break this linear network wherever it can be broken (F8 of the evaluation rules).
FINDS = ["art/momentum-iterative", "art/auto-projected-gradient-descent",
         "art/auto-conjugate-gradient", "art/auto-attack", "art/deepfool", "art/newtonfool",
         "art/carlini-l2", "art/carlini-linf", "art/elastic-net"]
LONGER = {"art/newtonfool": {"max_iter": 100, "eta": 0.01},
          "art/elastic-net": {"max_iter": 40, "initial_const": 10.0}}


@functools.cache
def _cards() -> dict[str, Card]:
    return {card.name: card for card in Registry.discover().own("attack")
            if card.name.startswith("art/")}


def _made(name: str, **settings: object) -> ArtAttack:
    made = robench.attack(name, **{**ALL[name], **settings})
    assert isinstance(made, ArtAttack)
    return made


def _three(norm: str, **kind: int) -> Task:
    """Three of the images, one of them wrong before the attack."""
    task = ordinary(norm, **kind)
    return Task(task.network, task.images[:3], task.labels[:3], task.right[:3], task.epsilon)


def _epsilons(attack: ArtAttack, task: Task) -> list[float] | None:
    """One that decides something, and one at which the attack should break some images."""
    most = FAR[attack.norm] if attack.budget == "minimum" else 4 * task.epsilon
    return at(attack, task.epsilon, most)


@every
def test_it_runs_stays_inside_says_what_is_true_and_breaks_something(
    name, capfd, caplog, tmp_path, monkeypatch
) -> None:
    """And nothing is printed, logged or left behind, and the generators are as before."""
    monkeypatch.chdir(tmp_path)
    attack = _made(name)
    task = _three(attack.norm)
    epsilons = _epsilons(attack, task)
    numpy_state, torch_state = np.random.get_state(), torch.random.get_rng_state()
    results = attack(task.network, task.images, task.labels, epsilons=epsilons)
    check_inside(task, results, attack.norm)
    check_true(task, results, attack.norm)
    assert bool(results[-1].success.any())
    forwards = results[0].forwards
    assert bool((forwards[task.right] >= 2).all())
    assert int(forwards[~task.right].sum()) == 0
    assert attack.access == "gradient" or int(results[0].backwards.sum()) == 0
    assert all(np.array_equal(one, other) for one, other in
               zip(numpy_state[1:3], np.random.get_state()[1:3], strict=True))
    assert torch.equal(torch_state, torch.random.get_rng_state())
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert [record for record in caplog.records if record.name.startswith("art")] == []
    assert list(Path().iterdir()) == []
    alone = attack(task.network, task.images[1:2], task.labels[1:2], epsilons=epsilons)
    check_same([result.select(torch.tensor([1])) for result in results], alone, "alone")


@pytest.mark.parametrize("name", FINDS)
def test_it_finds_what_is_there(name) -> None:
    attack = _made(name, **LONGER.get(name, {}))
    task = breakable(attack.norm, classes=2)
    result = attack(task.network, task.images, task.labels, epsilons=[task.epsilon])[0]
    assert bool(result.success.all())
    if attack.budget == "minimum" and attack.norm == "l2":
        assert bool((result.distance >= task.epsilon / 2 - 1e-5).all())


@every
def test_what_the_network_raises_comes_through(name) -> None:
    """At its fourth call: the clean prediction, the classes and one pass of ART come before."""
    attack = _made(name)
    task = _three(attack.norm)
    with pytest.raises(RaisesError):
        attack(Raises(task.network, call=4), task.images, task.labels,
               epsilons=at(attack, task.epsilon), ladder=False)


@pytest.mark.parametrize("kind", [{"outputs": 2}, {"outputs": 1}, {"in_channels": 3}], ids=str)
@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name in CHEAP else [pytest.mark.slow]) for name in ALL
])
def test_it_takes_few_classes_and_colours(name, kind) -> None:
    attack = _made(name)
    task = _three(attack.norm, **kind)
    results = attack(task.network, task.images, task.labels, epsilons=far(attack))
    check_inside(task, results, attack.norm)
    check_true(task, results, attack.norm)


@every
@pytest.mark.slow
def test_a_network_whose_rows_depend_on_their_mates_is_attacked_whole_or_refused(name) -> None:
    attack = _made(name)
    task = _three(attack.norm)
    victim = Victim(MatesMatter(task.network).eval(), rowwise=False)
    labels = victim.logits(task.images).argmax(dim=1)
    if not getattr(attack, "takes_batches", True):
        with pytest.raises(ValueError, match="rows depend on their batch"):
            attack(victim, task.images, labels, epsilons=far(attack))
        return
    result = attack(victim, task.images, labels, epsilons=far(attack))[0]
    check_inside(task, [result], attack.norm)
    assert bool((result.forwards >= 2).all())


@pytest.mark.parametrize("name", [
    "art/boundary", "art/hop-skip-jump", "art/square", "art/zoo", "art/shadow", "art/simba",
    "art/pixel-attack", "art/auto-projected-gradient-descent",
    pytest.param("art/composite-adversarial", marks=pytest.mark.slow),
])
def test_draws_are_repeated_under_a_seed_and_keyed_by_the_image(name) -> None:
    attack = _made(name)
    task = _three(attack.norm)
    epsilons = far(attack)
    first, again, other = (
        attack(task.network, task.images[:1], task.labels[:1], epsilons=epsilons, seed=seed)[0]
        for seed in (0, 0, 1)
    )
    check_same([first], [again], "under the same seed")
    assert _cards()[name].traits["random"] is True
    changed = [not torch.equal(getattr(first, key), getattr(other, key))
               for key in ("adversarial", "forwards", "margin")]
    assert any(changed) or not bool(first.success.any())


def test_every_evasion_attack_of_art_has_a_name_or_a_reason() -> None:
    from art.attacks import EvasionAttack, evasion

    found = {name for name, each in vars(evasion).items()
             if inspect.isclass(each) and issubclass(each, EvasionAttack)}
    assert found <= {*NAMES, *EXCLUDED}
    assert {*NAMES, *EXCLUDED} - found <= {"BrendelBethgeAttack"}
    assert not {*NAMES} & {*EXCLUDED}
    assert _cards()["art/*"].traits["unfit"] == EXCLUDED
    assert {f"art/{own}" for own in NAMES.values()} == {*_cards()} - {"art/*"}
    assert set(ALL | LEARNED) == {*_cards()} - {"art/*"}


@pytest.mark.parametrize("name", ALL)
def test_a_card_says_what_its_attack_is(name) -> None:
    card, factory = _cards()[name], Registry.discover().get("attack", name).load()
    assert issubclass(factory, ArtAttack)
    assert issubclass(factory, Wrapped) == (name not in AS_NATIVE)
    traits, attack = card.traits, _made(name)
    assert f"art/{NAMES[traits['art']]}" == name
    assert traits["art"] == factory.art
    assert (traits["norm"], traits["budget"], traits["access"]) == (
        factory().norm, factory.budget, factory.access)
    reads = "labels" if name in AS_NATIVE else factory.reads
    target = " or targets" if "target" in card.params and reads != "targets" else ""
    assert traits["y"] == {"nothing": "none"}.get(reads, reads) + target
    assert traits["output"] == ("probabilities" if factory.probabilities else "logits")
    assert traits["batched"] == (not attack.one_by_one)
    assert traits.get("targeted", False) == ("target" in card.params)
    assert "time_limit_s" in card.params
    assert traits.get("bounded", True) == factory.bounded


@pytest.mark.parametrize("name", ALL)
def test_a_card_says_why_its_attack_is_confined(name) -> None:
    card = _cards()[name]
    told = [note for note in card.notes if note.startswith("confined: ")]
    assert len(told) == (1 if card.traits.get("confined") is True else 0)


def test_pixels_that_only_the_way_to_255_levels_moved_are_not_counted() -> None:
    """Of 1,024 pixels, that way moves some hundred by their last bit."""
    task = breakable("l0", classes=10)
    attack = _made("art/pixel-attack", th=2, max_iter=100)
    result = attack(task.network, task.images[:1], task.labels[:1], epsilons=[task.epsilon])[0]
    assert result.distance.tolist() == [2.0]


@pytest.mark.parametrize(("name", "settings", "given"), [
    ("art/carlini-l2", {}, "labels"), ("art/carlini-l2", {"target": "next"}, "targets"),
    ("art/saliency-map", {"target": "next"}, "targets"), ("art/shadow", {}, None),
    ("art/shadow", {"target": "next"}, "targets"), ("art/deepfool", {}, None),
    ("art/square", {}, "labels"), ("art/boundary", {"target": "next"}, "targets"),
])
def test_what_art_is_given_as_y(name, settings, given, monkeypatch) -> None:
    seen = []

    class Recorded:
        def __init__(self, classifier, *, verbose, targeted=False, **others) -> None:
            assert verbose is False
            self.targeted, self.classes = targeted, classifier.nb_classes

        def generate(self, *, x, y):
            seen.append((self.targeted, None if y is None else y.argmax(axis=1).tolist()))
            assert y is None or y.shape == (len(x), self.classes)
            return x

    monkeypatch.setattr(Wrapped, "made_by", lambda _: Recorded)
    monkeypatch.setattr(type(_made("art/boundary")), "made_by", lambda _: Recorded)
    task = ordinary("l2")
    attack = _made(name, **settings)
    attack(task.network, task.images, task.labels, epsilons=at(attack, 1.0))
    labels = task.labels[task.right]
    expected = {"labels": labels, "targets": (labels + 1) % 10, None: None}[given]
    wanted = [None if expected is None else [int(row)] for row in
              (labels if expected is None else expected)]
    assert [y for _, y in seen] == wanted
