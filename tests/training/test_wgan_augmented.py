"""The recipe `wgan-augmented`: what each phase sees and moves, resumption, and what it gains."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robench
from robench.data import Dataset
from robench.errors import UserError
from robench.training import wgan_augmented as module
from robench.training.standard import standard
from robench.training.state import TrainingState
from robench.training.wgan_augmented import WithGan, wgan_augmented

from .stand_ins import InterruptedByTestError, Recorder, same_bits, small_network
from .test_recipes import EPSILON, accuracies

SHORT = partial(
    wgan_augmented, device="cpu", seed=0, batch_size=16, classifier_epochs=1, gan_epochs=2,
    augmented_epochs=2, latent=4, width=4, steps=2, validation_steps=2, critic_steps=3,
)  # fmt: skip


def data(train: int = 40) -> Dataset:
    return robench.dataset("digits", limit={"train": train, "validation": 20, "test": 200})


def network() -> nn.Module:
    return small_network(outputs=10)


class EveryState(Recorder):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.seen: list[dict[str, Tensor]] = []

    def save(self, state: TrainingState) -> None:
        self.seen.append(dict(state.network))
        super().save(state)


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    names = {name for name in after if not torch.equal(before[name], after[name])}
    return {".".join(name.split(".")[: 2 if name.startswith("gan") else 1]) for name in names}


@pytest.mark.parametrize("generator", ["wgan", "dcgan", "gan"])
def test_each_phase_moves_its_parts_and_only_the_last_is_selected(generator: str) -> None:
    recorder, trained = EveryState(), network()
    before = {f"classifier.{name}": value.clone() for name, value in trained.state_dict().items()}
    returned = SHORT(trained, data(), generator=generator, monitor=recorder, weight_decay=0.1)
    assert returned is trained
    first = {name: value for name, value in recorder.seen[0].items() if name in before}
    assert moved(before, first) == {"classifier"}
    gan = {"gan.generator", "gan.critic", "gan.updates"}
    assert [moved(*pair) for pair in pairwise(recorder.seen)] == [
        gan, gan, {"classifier"}, {"classifier"},
    ]  # fmt: skip
    assert [report.selected for report in recorder.reports][:4] == [False, False, False, True]
    robust = [report.robust_accuracy for report in recorder.reports]
    assert robust[:3] == [None] * 3
    assert None not in robust[3:]
    updates = [int(seen["gan.updates"]) for seen in recorder.seen]
    assert updates == [0, 3, 6, 6, 6]


@pytest.mark.parametrize("stop", [
    {"stop_after_epoch": 1}, {"stop_after_epoch": 2}, {"stop_after_epoch": 4},
    {"stop_at_batch": (3, 2)}, {"stop_at_batch": (5, 1)},
])  # fmt: skip
def test_taken_up_again_it_ends_in_the_same_bits(stop: dict[str, Any]) -> None:
    undisturbed = Recorder()
    expected = SHORT(network(), data(), monitor=undisturbed)
    recorder = Recorder(**stop)
    with pytest.raises(InterruptedByTestError):
        SHORT(network(), data(), monitor=recorder)
    again = Recorder(stored=recorder.stored)
    resumed = SHORT(network(), data(), monitor=again)
    assert same_bits(resumed, expected)
    last = undisturbed.load().network
    assert all(torch.equal(value, last[name]) for name, value in again.load().network.items())
    for one, other in zip([*recorder.reports, *again.reports], undisturbed.reports, strict=True):
        assert replace(one, seconds=0.0, seconds_left=0.0) == replace(
            other, seconds=0.0, seconds_left=0.0
        )


def test_the_gan_sees_attacked_images_and_the_classifier_all_five(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real: list[Tensor] = []
    crafted: list[tuple[Tensor, ...]] = []
    trained_on: list[Tensor] = []
    gan_loss, attacks = module.attack_gan_loss, module.Augmented.attacks

    def spied_loss(gan: Any, images: Tensor, labels: Tensor, **settings: Any) -> Tensor:
        real.append(images)
        return gan_loss(gan, images, labels, **settings)

    def spied_attacks(self: Any, classifier: nn.Module, images: Tensor, *rest: Any) -> Any:
        assert classifier.training
        crafted.append((images, *attacks(self, classifier, images, *rest)))
        assert classifier.training
        return crafted[-1][1:]

    monkeypatch.setattr(module, "attack_gan_loss", spied_loss)
    monkeypatch.setattr(module.Augmented, "attacks", spied_attacks)
    classifier = network()
    classifier.register_forward_pre_hook(
        lambda whole, given: trained_on.append(given[0]) if whole.training else None
    )
    SHORT(classifier, data(), gan_epochs=1, augmented_epochs=1, epsilon=0.05, batch_size=40)
    clean, fgsm, pgd, noisy = crafted[0]
    expected = [(fgsm, pgd, noisy)[row % 3][row] for row in range(40)]
    assert torch.equal(real[0], torch.stack(expected))
    for attacked in (fgsm, pgd):
        assert 0 < float((attacked - clean).abs().max()) <= 0.05 + 1e-6
    assert (noisy - clean).std().item() < 0.1
    whole = trained_on[-1]
    assert len(whole) == 5 * 40
    for part, wanted in zip(whole.split(40), crafted[1], strict=False):
        assert torch.equal(part, wanted)
    generated = whole[160:]
    assert 0 <= float(generated.min()) <= float(generated.max()) <= 1
    assert not generated.requires_grad


def test_it_is_more_robust_than_a_standard_training() -> None:
    digits = robench.dataset("digits", limit={"train": 300, "validation": 80, "test": 300})
    shared: dict[str, Any] = {"device": "cpu", "seed": 0, "learning_rate": 0.01,
                              "batch_size": 32}  # fmt: skip
    plain = standard(network(), digits, **shared, epochs=6)
    augmented = wgan_augmented(
        network(), digits, **shared, classifier_epochs=3, gan_epochs=2, augmented_epochs=4,
        latent=8, width=8, epsilon=EPSILON, step_size=0.05, steps=4, validation_steps=4,
    )  # fmt: skip
    clean, robust = accuracies(augmented, digits.test)
    assert clean > 0.8
    assert robust > accuracies(plain, digits.test)[1] + 0.1


def test_another_generator_is_another_training() -> None:
    found = [SHORT(network(), data(), generator=kind) for kind in ("wgan", "dcgan", "gan")]
    assert not same_bits(found[0], found[1])
    assert not same_bits(found[0], found[2])
    assert not same_bits(found[1], found[2])


def test_the_classifier_is_what_is_validated() -> None:
    pair = WithGan(network(), nn.Linear(1, 1)).eval()  # type: ignore[arg-type]
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(pair(images), pair.classifier(images))


@pytest.mark.parametrize(("settings", "told"), [
    ({"generator": "wgam"}, "did you mean 'wgan'"),
    ({"gan_epochs": 0}, "parameter 'gan_epochs'"),
    ({"classifier_epochs": 0}, "parameter 'classifier_epochs'"),
    ({"augmented_epochs": 0}, "parameter 'augmented_epochs'"),
    ({"critic_steps": 0}, "parameter 'critic_steps'"),
    ({"gan_learning_rate": 0.0}, "parameter 'gan_learning_rate'"),
    ({"epsilon": 1.5}, "parameter 'epsilon'"),
    ({"steps": 0}, "parameter 'steps'"),
    ({"sigma": -1.0}, "parameter 'sigma'"),
    ({"latent": 0}, "parameter 'latent'"),
    ({"resolution": 4}, "resolution"),
])  # fmt: skip
def test_unfit_settings(settings: dict[str, Any], told: str) -> None:
    trained = network()
    with pytest.raises(UserError) as caught:
        SHORT(trained, data(), **settings)
    assert told in str(caught.value)
    assert same_bits(trained, network())
