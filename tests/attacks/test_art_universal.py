"""ART's attacks that learn one perturbation for all images: through `fit`, as ART computes it."""

from __future__ import annotations

import copy
import random
import sys

import numpy as np
import pytest
import torch

import robench
from robench.attacks.art_names import NAMES
from robench.attacks.art_universal import ArtUniversal
from robench.attacks.checks import content_ids
from robench.attacks.draws import Draws
from robench.attacks.learning import LearnedAttack
from robench.errors import UserError
from robench.registry import Registry
from robench.testing.networks import ordinary

from .art_cases import LEARNED
from .networks import Linear, load_digit_images

EPSILON = 0.3
every = pytest.mark.parametrize("name", LEARNED)


def _made(name, **settings) -> LearnedAttack:
    return robench.attack(name, **{**LEARNED[name], **settings})


def _lessons(count=24):
    images, labels = load_digit_images()
    return images[:count], labels[:count]


def _raw(name, network, images, *, seed, norm) -> torch.Tensor:
    """ART without any of robench but the order of the images and the seed."""
    from art.attacks import evasion
    from art.estimators.classification import PyTorchClassifier

    names = content_ids(images)
    order = sorted(range(len(names)), key=names.__getitem__)
    draws = Draws.keyed([names[row] for row in order], seed=seed, attack=name, device=images.device)
    classifier = PyTorchClassifier(
        model=network, loss=torch.nn.CrossEntropyLoss(reduction="sum"), input_shape=(1, 8, 8),
        nb_classes=10, clip_values=(0.0, 1.0), device_type="cpu",
    )
    given = {"eps": EPSILON, "norm": norm}
    common = {"delta": 0.2, "max_iter": 2, "eps": EPSILON, "norm": norm}
    if "targeted" in name:
        made = evasion.TargetedUniversalPerturbation(
            classifier, attacker="fgsm", attacker_params={**given, "targeted": True}, **common)
        aims = torch.where(_lessons(len(images))[1][order] == 3, 4, 3)
        y = np.eye(10, dtype=np.float32)[aims.numpy()]
    else:
        made = evasion.UniversalPerturbation(
            classifier, attacker="fgsm", attacker_params=given, verbose=False, **common)
        y = None
    state = random.getstate()
    random.seed(draws.seeds()[0])
    made.generate(images[order].numpy(), y)
    random.setstate(state)
    return torch.from_numpy(np.array(made.noise)).float().reshape(1, 8, 8)


@every
@pytest.mark.parametrize(("norm", "order"), [("linf", np.inf), ("l2", 2)])
def test_what_is_learned_is_arts(name, norm, order, cnn) -> None:
    images, labels = _lessons()
    attack = _made(name, norm=norm).fit(cnn, images, labels, epsilons=[EPSILON], seed=5)
    expected = _raw(name, copy.deepcopy(cnn), images, seed=5, norm=order)
    assert float(expected.abs().max()) > 0
    assert torch.allclose(attack.learned(EPSILON), expected, rtol=0, atol=1e-6)


@every
def test_it_is_added_to_every_image_and_costs_one_pass(name, cnn, right) -> None:
    attack = _made(name).fit(cnn, *_lessons(), epsilons=[EPSILON, 0.0])
    images, labels = right[0][:20], right[1][:20]
    nothing, result = attack(cnn, images, labels, epsilons=[0.0, EPSILON], ladder=False)
    assert torch.equal(nothing.adversarial, images)
    shown = (images + attack.learned(EPSILON)).clamp(0, 1)
    assert torch.allclose(result.adversarial, shown, rtol=0, atol=1e-6)
    assert set(result.forwards.tolist()) == {1}
    part = attack(cnn, images[5:8], labels[5:8], epsilons=[EPSILON])[0]
    assert torch.equal(part.adversarial, result.adversarial[5:8])


@every
def test_learning_is_quiet_and_leaves_the_generators_alone(
    name, cnn, capfd, caplog, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = _lessons(8)
    states = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    first = _made(name).fit(cnn, images, labels, epsilons=[EPSILON]).learned(EPSILON)
    assert states == (random.getstate(), np.random.get_state()[1].tolist(),
                      torch.get_rng_state().tolist())
    rows = torch.arange(7, -1, -1)
    again = _made(name).fit(cnn, images[rows], labels[rows], epsilons=[EPSILON]).learned(EPSILON)
    assert torch.equal(first, again)
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert [record for record in caplog.records if record.name.startswith("art")] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [{"outputs": 2}, {"outputs": 1}, {"in_channels": 3}], ids=str)
@every
def test_it_takes_few_classes_and_colours(name, kind) -> None:
    task = ordinary("linf", **kind)
    settings = {"target": 1} if "targeted" in name else {}
    attack = _made(name, **settings).fit(task.network, task.images, task.labels, epsilons=[0.5])
    result = attack(task.network, task.images, task.labels, epsilons=[0.5])[0]
    assert bool((result.distance <= 0.5).all())
    wrong = result.prediction != task.labels
    assert torch.equal(result.success[task.right], wrong[task.right])


def test_on_a_linear_network_it_goes_to_its_target() -> None:
    """Of three classes by the mean of a third of the pixels each, the target's third turns white,
    and the third of the class that is left turns black."""
    weights = 10.0 * torch.eye(3).repeat_interleave(4, dim=1)
    network = Linear(weights, torch.zeros(3))
    images = torch.full((6, 1, 3, 4), 0.4)
    images[:, 0, 0] += torch.linspace(0.1, 0.2, 6)[:, None]
    attack = robench.attack("art/targeted-universal-perturbation", target=2, max_iter=3)
    attack.fit(network, images, torch.zeros(6).long(), epsilons=[0.2])
    found = attack.learned(0.2)[0]
    assert torch.allclose(found[2], torch.tensor(0.2))
    assert torch.allclose(found[0], torch.tensor(-0.2))
    result = attack(network, images, torch.zeros(6).long(), epsilons=[0.2])[0]
    assert result.prediction.tolist() == [2] * 6


def _ticking(monkeypatch) -> None:
    """A clock that goes on by a second at every look."""
    looks = iter(range(10**6))
    bridge = sys.modules[ArtUniversal.__module__]
    monkeypatch.setattr(bridge.time, "monotonic", lambda: float(next(looks)))


@every
def test_learning_ends_at_its_limit_and_what_it_has_counts(name, cnn, monkeypatch) -> None:
    """As each pass of ART takes a second, it has made all but the last of them."""
    images, labels = _lessons(12)
    _ticking(monkeypatch)
    whole = _made(name).fit(cnn, images, labels, epsilons=[EPSILON]).learned(EPSILON)
    attack = _made(name, time_limit_s=20 / 12)
    with pytest.warns(RuntimeWarning, match=f"{name}: ended early by its time limit as it learned "
                                            "from 12 images at epsilon 0.3; its perturbation so"):
        attack.fit(cnn, images, labels, epsilons=[EPSILON])
    found = attack.learned(EPSILON)
    assert float(found.abs().max()) > 0
    assert float(found.abs().max()) <= EPSILON + 1e-6
    assert not torch.equal(found, whole)


@every
def test_every_epsilon_has_the_time_of_its_images_and_one_pass(name, cnn) -> None:
    images, labels = _lessons(4)
    attack = _made(name, time_limit_s=1e-9)
    with pytest.warns(RuntimeWarning, match="at epsilon") as told:
        attack.fit(cnn, images, labels, epsilons=[0.1, EPSILON])
    assert len([each for each in told if "time limit" in str(each.message)]) == 2
    assert float(attack.learned(EPSILON).abs().max()) == 0.0


@every
def test_a_long_limit_changes_nothing(name, cnn, recwarn) -> None:
    images, labels = _lessons(8)
    plain, limited = (
        _made(name, **settings).fit(cnn, images, labels, epsilons=[EPSILON]).learned(EPSILON)
        for settings in ({}, {"time_limit_s": 60.0})
    )
    assert torch.equal(plain, limited)
    assert [each for each in recwarn if issubclass(each.category, RuntimeWarning)] == []


def test_nan_of_arts_own_making_ends_learning(cnn, monkeypatch) -> None:
    images, labels = _lessons(4)
    attack = _made("art/universal-perturbation")
    real = attack._made

    def spoilt(classifier, epsilon):
        made = real(classifier, epsilon)
        predict, calls = classifier.predict, iter(range(10**6))
        classifier.predict = lambda x, **given: predict(
            x * float("nan") if next(calls) == 3 else x, **given)
        return made

    monkeypatch.setattr(attack, "_made", spoilt)
    with pytest.warns(RuntimeWarning, match="ended early by NaN or infinite pixels in ART's own"):
        attack.fit(cnn, images, labels, epsilons=[EPSILON])
    assert bool(torch.isfinite(attack.learned(EPSILON)).all())


@every
def test_its_card_says_what_it_is(name) -> None:
    card = Registry.discover().get("attack", name).card
    attack = _made(name)
    assert f"art/{NAMES[card.traits['art']]}" == name
    assert card.traits["art"] == type(attack).art
    assert card.traits["batched"] is True
    assert "time_limit_s" in card.params
    assert card.traits["y"] == ("targets" if "target" in card.params else "none")


@pytest.mark.parametrize(("name", "settings", "said"), [
    ("universal-perturbation", {"attacker": "jsma"}, "attacker: got 'jsma'"),
    ("universal-perturbation", {"delta": 1.5}, "delta: got 1.5"),
    ("universal-perturbation", {"attacker_params": 3}, "attacker_params: got 3"),
    ("targeted-universal-perturbation", {"target": -1}, "target: got -1"),
    ("targeted-universal-perturbation", {"max_iter": 0}, "max_iter: got 0"),
    ("universal-perturbation", {"time_limit_s": 0}, "time_limit_s: got 0, expected a number > 0"),
])
def test_a_setting_that_does_not_fit_is_named(name, settings, said) -> None:
    with pytest.raises(UserError) as raised:
        robench.attack(f"art/{name}", **settings)
    assert said in str(raised.value)


@pytest.mark.parametrize("given", [{"max_iters": 3}, {"targeted": True}])
def test_a_setting_that_its_attacker_has_not(given, cnn) -> None:
    attack = robench.attack("art/universal-perturbation", attacker_params=given)
    with pytest.raises(ValueError, match=f"attacker_params: got {next(iter(given))}, expected"):
        attack.fit(cnn, *_lessons(4), epsilons=[0.1])
