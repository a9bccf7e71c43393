"""The recipe `mixed-at`: attacks in turns, each the one its name says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import robench
from robench.attacks.jsma import JSMA
from robench.errors import UserError
from robench.training.mixed_at import ATTACKS, Attackers, CleanAndMixed, mixed_at

from .stand_ins import Recorder, digits_data, same_bits, small_network, striped_data
from .test_craft import adversary, batch, seeded
from .test_recipes import EPSILON, accuracies
from .test_tvl import EPOCH

SHORT: dict[str, Any] = {"device": "cpu", "seed": 0, "epochs": 1, "steps": 2, "jsma_steps": 2}


def attackers(*turns: Any) -> Attackers:
    return Attackers(
        turns=turns or ATTACKS,
        fgsm=adversary(steps=1, step_size=0.1, random_start=False),
        pgd=adversary(), bim=adversary(random_start=False),
        jsma=JSMA(theta=0.5, gamma=0.3, max_steps=20, pairs_per_step=2, target="likeliest"),
    )


def objective(**changes: Any) -> CleanAndMixed:
    settings = {"validation": adversary(), "attackers": attackers(), "weight": 0.3, **changes}
    return CleanAndMixed(**settings)


def right_batch(count: int = 13) -> tuple[Tensor, Tensor]:
    """Images and what the network makes of them."""
    images, _ = batch(count)
    return images, small_network().eval()(images).argmax(dim=1)


@pytest.mark.parametrize("count", [13, 3])
def test_each_image_is_attacked_by_the_attack_whose_turn_it_is(count: int) -> None:
    network, (images, labels) = small_network().train(), right_batch(count)
    found = attackers().images(network, images, labels, seeded())
    inside = (found - images).flatten(1).abs().amax(dim=1) <= 0.1 + 1e-6
    parts = [torch.arange(turn, count, 4) for turn in range(4)]
    fgsm, pgd, bim, jsma = parts
    single = attackers()
    assert torch.equal(
        found[fgsm], single.fgsm.images(network, images[fgsm], labels[fgsm], seeded())
    )
    assert torch.equal(found[pgd], single.pgd.images(network, images[pgd], labels[pgd], seeded()))
    assert torch.equal(found[bim], single.bim.images(network, images[bim], labels[bim], seeded()))
    assert bool(inside[torch.cat([fgsm, pgd, bim])].all())
    if len(jsma):
        alone = robench.attack("jsma", theta=0.5, gamma=0.3, max_steps=20, pairs_per_step=2,
                               target="likeliest")
        (expected,) = alone(network.eval(), images[jsma], labels[jsma], epsilons=None)
        assert torch.equal(found[jsma], expected.adversarial)
        assert bool(expected.success.any())
        changed = (found[jsma] != images[jsma]).flatten(1).sum(dim=1)
        assert int(changed.max()) <= 0.3 * 64
    else:
        assert count == 3


def test_one_attack_alone_has_all_turns() -> None:
    network, (images, labels) = small_network(), right_batch()
    found = attackers("bim").images(network, images, labels, seeded())
    assert torch.equal(found, attackers().bim.images(network, images, labels, seeded()))


def test_the_loss_is_over_both_sets() -> None:
    network, (images, labels) = small_network(dropout=0.0).eval(), right_batch()
    epoch = replace(EPOCH, generator=seeded())
    crafted = objective().crafted(network, images, labels, epoch)
    loss, logits = objective().loss_on(network, images, crafted, labels, epoch)
    clean, attacked = (functional.cross_entropy(network(each), labels).item()
                       for each in (images, crafted))
    assert loss.item() == pytest.approx(0.7 * clean + 0.3 * attacked, rel=1e-5)
    assert torch.equal(logits, network(crafted))


def test_it_trains_on_all_four() -> None:
    recorder = Recorder()
    network = mixed_at(
        small_network(outputs=10, dropout=0.1), digits_data(), device="cpu", seed=0, epochs=2,
        learning_rate=0.02, epsilon=EPSILON, steps=2, step_size=0.1, jsma_steps=1,
        jsma_pairs_per_step=4, validation_steps=2, batch_size=128, monitor=recorder,
    )  # fmt: skip
    clean, robust = accuracies(network, digits_data().test)
    assert clean > 0.7
    assert robust > 0.3
    assert recorder.reports[-1].robust_accuracy > recorder.reports[0].robust_accuracy


@pytest.mark.parametrize(("settings", "told"), [
    ({"attacks": []}, "parameter 'attacks'"),
    ({"attacks": "fgsm"}, "parameter 'attacks'"),
    ({"attacks": ["fgsm", "pdg"]}, "did you mean 'pgd'"),
    ({"adversarial_weight": 0.0}, "parameter 'adversarial_weight'"),
    ({"adversarial_weight": 1.5}, "parameter 'adversarial_weight'"),
    ({"epsilon": 3.0}, "parameter 'epsilon'"),
    ({"steps": 0}, "parameter 'steps'"),
    ({"jsma_theta": 0.0}, "theta: got 0.0"),
    ({"jsma_gamma": 0.01}, "two of the 64 features"),
    ({"jsma_steps": 0}, "max_steps: got 0"),
    ({"validation_steps": 0}, "parameter 'validation_steps'"),
])  # fmt: skip
def test_unfit_settings(settings: dict[str, Any], told: str) -> None:
    network = small_network()
    with pytest.raises(UserError) as caught:
        mixed_at(network, striped_data(), **{**SHORT, **settings})
    assert told in str(caught.value)
    assert same_bits(network, small_network())


def test_without_jsma_its_budget_does_not_matter() -> None:
    mixed_at(small_network(), striped_data(), **SHORT, attacks=["fgsm", "pgd"], jsma_gamma=0.01)
