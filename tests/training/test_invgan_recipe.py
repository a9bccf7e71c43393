"""The recipe `invgan`: its losses, what each phase moves, and what it learns on digits."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.models.dcgan import Canvas, Critic, Encoder, Generator
from robench.models.invgan import InvGan, invgan_resnet34
from robench.registry import Registry
from robench.training.batches import to_pixels
from robench.training.gan_losses import gan_loss, held, inversion_loss
from robench.training.invgan import InvGanSettings, Phases, invgan
from robench.training.state import TrainingState

from .stand_ins import (
    InterruptedByTestError,
    Recorder,
    digits_data,
    same_bits,
    small_network,
    striped_data,
)

PARTS = ("generator", "critic", "encoder", "classifier")
RATES = {"gan_learning_rate": 1e-3, "encoder_learning_rate": 1e-3, "learning_rate": 1e-2}
WEIGHTS = {"latent_weight": 1.0, "image_weight": 100.0, "image_margin": 0.02}
train_invgan = partial(invgan, device="cpu", seed=0, batch_size=8, **RATES)
SHORT = partial(train_invgan, gan_epochs=2, encoder_epochs=2, classifier_epochs=3)


def small_invgan(
    *, latent: int = 8, width: int = 4, classes: int = 2, seed: int = 3, dropout: float = 0.3
) -> InvGan:
    """For grey 8×8 images, with a small classifier that has BatchNorm and dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        canvas = Canvas.of((8, 8), resolution=64)
        shape = {"in_channels": 1, "width": width}
        return InvGan(
            generator=Generator(canvas, latent=latent, **shape),
            critic=Critic(canvas, **shape),
            encoder=Encoder(canvas, latent=latent, **shape),
            classifier=small_network(outputs=classes, dropout=dropout),
        )


def tensors(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def moved_parts(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name.partition(".")[0] for name in after if not torch.equal(before[name], after[name])}


def images_and_latents() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.rand(6, 1, 8, 8, generator=random), torch.randn(6, 8, generator=random)


def gradients(network: nn.Module) -> dict[str, Tensor | None]:
    return {name: weight.grad for name, weight in network.named_parameters()}


def test_one_backward_gives_critic_and_generator_each_its_own_gradient() -> None:
    images, latents = images_and_latents()
    network, other = small_invgan().train(), small_invgan().train()
    loss = gan_loss(network, images, latents)
    loss.backward()

    fakes = other.generator(latents)
    scores = other.critic(torch.cat([images, fakes.detach()]))
    of_critic = (1 - scores[:6]).clamp(min=0).mean() + (1 + scores[6:]).clamp(min=0).mean()
    other.critic.eval()  # the same power iterates
    of_generator = -other.critic(fakes).mean()
    expected = {}
    for part, alone in (("critic", of_critic), ("generator", of_generator)):
        named = dict(getattr(other, part).named_parameters(prefix=part))
        found = torch.autograd.grad(alone, [*named.values()], retain_graph=True)
        expected |= dict(zip(named, found, strict=True))

    assert loss.item() == pytest.approx((of_critic + of_generator).item(), abs=1e-6)
    for name, gradient in gradients(network).items():
        if name.startswith(("encoder", "classifier")):
            assert gradient is None, name
        else:
            assert torch.allclose(gradient, expected[name], atol=1e-7), name
            assert bool(gradient.any()), name
    both = torch.autograd.grad(of_critic + of_generator, [*other.critic.parameters()])
    alone = [expected[f"critic.{name}"] for name, _ in other.critic.named_parameters()]
    assert not all(torch.allclose(*pair, atol=1e-5) for pair in zip(both, alone, strict=True))


def test_the_inversion_loss_is_the_encoders_alone() -> None:
    _, latents = images_and_latents()
    network = small_invgan().train()
    before = tensors(network)
    loss = inversion_loss(network, latents, latent_weight=2.0, image_weight=30.0, image_margin=0.01)
    loss.backward()
    assert {name.partition(".")[0] for name, found in gradients(network).items()
            if found is not None} == {"encoder"}
    assert moved_parts(before, tensors(network)) == set(), "no BatchNorm statistic moves"
    assert all(module.training for module in network.modules())
    assert all(weight.requires_grad for weight in network.parameters())

    network.eval()
    images = network.generator(latents).detach()
    found = network.encoder(images)
    columns = (network.generator(found) - images).abs().mean(dim=2, keepdim=True)
    expected = 2.0 * (found - latents).square().mean()
    expected = expected + 30.0 * functional.relu(columns - 0.01).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    again = torch.autograd.grad(expected, [*network.encoder.parameters()])
    for weight, gradient in zip(network.encoder.parameters(), again, strict=True):
        assert torch.allclose(weight.grad, gradient, atol=1e-5)
    wide = inversion_loss(network, latents, latent_weight=0.0, image_weight=1.0, image_margin=1.0)
    assert wide.item() == 0.0


def test_held_parts_are_as_before_afterwards() -> None:
    network = small_invgan().train()
    network.critic.layers[1].bias.requires_grad_(False)
    network.generator.layers[2].eval()
    modes = [module.training for module in network.modules()]
    flags = [weight.requires_grad for weight in network.parameters()]
    with held(network):
        assert not any(module.training for module in network.modules())
        assert not any(weight.requires_grad for weight in network.parameters())
    assert [module.training for module in network.modules()] == modes
    assert [weight.requires_grad for weight in network.parameters()] == flags


class EveryState(Recorder):
    """Keeps the tensors after every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Tensor]] = []

    def save(self, state: TrainingState) -> None:
        self.seen.append(dict(state.network))
        super().save(state)


def test_each_phase_moves_its_parts_and_only_the_last_is_selected() -> None:
    recorder = EveryState()
    network = small_invgan()
    before = tensors(network)
    returned = SHORT(network, striped_data(), monitor=recorder, weight_decay=0.1)
    assert returned is network
    epochs = [before, *recorder.seen]
    moved = [moved_parts(*pair) for pair in pairwise(epochs)]
    gan = {"generator", "critic"}
    assert moved == [gan, gan, {"encoder"}, {"encoder"}, *[{"classifier"}] * 3]
    for name, last in epochs[2].items():
        if name.startswith("generator"):
            assert torch.equal(last, network.state_dict()[name]), "weight decay moves nothing"
    assert [report.selected for report in recorder.reports][:5] == [False] * 4 + [True]
    assert [report.learning_rate for report in recorder.reports] == pytest.approx(
        [1e-3] * 4 + [1e-2, 0.75e-2, 0.25e-2]
    )
    assert recorder.reports[0].train_accuracy == pytest.approx(0.5)


@pytest.mark.parametrize("stop", [
    {"stop_after_epoch": 1}, {"stop_after_epoch": 2}, {"stop_after_epoch": 3},
    {"stop_after_epoch": 5}, {"stop_at_batch": (2, 3)}, {"stop_at_batch": (4, 1)},
    {"stop_at_batch": (6, 2)},
])  # fmt: skip
def test_taken_up_again_it_ends_in_the_same_bits(stop: dict[str, Any]) -> None:
    data = striped_data(33)
    undisturbed = Recorder()
    expected = SHORT(small_invgan(), data, monitor=undisturbed)
    recorder = Recorder(**stop)
    with pytest.raises(InterruptedByTestError):
        SHORT(small_invgan(), data, monitor=recorder)
    torch.rand(5)
    again = Recorder(stored=recorder.stored)
    resumed = SHORT(small_invgan(), data, monitor=again)
    assert same_bits(resumed, expected)
    timeless = [replace(report, seconds=0.0, seconds_left=0.0)
                for report in [*recorder.reports, *again.reports]]
    assert timeless == [replace(report, seconds=0.0, seconds_left=0.0)
                        for report in undisturbed.reports]


def test_the_seed_decides() -> None:
    data = striped_data(24)
    one, same, other = (
        invgan(small_invgan(), data, device="cpu", seed=seed, batch_size=8, gan_epochs=1,
               encoder_epochs=1, classifier_epochs=1)
        for seed in (0, 0, 1)
    )
    assert same_bits(one, same)
    assert not same_bits(one, other)


def test_the_optimizer_knows_the_classifier() -> None:
    network = small_invgan()
    settings = InvGanSettings(
        network=network, phases=Phases(gan=1, encoder=1, classifier=1), epochs=3, batch_size=8,
        gan_learning_rate=1e-4, encoder_learning_rate=2e-4, optimizer="adam", learning_rate=1e-2,
        weight_decay=0.3, momentum=0.0, schedule="cosine", class_weights="none", patience=None,
    )
    gan, classifier = settings.make_optimizer(network.parameters()).param_groups
    assert (gan["betas"], gan["weight_decay"]) == ((0.5, 0.999), 0.0)
    assert (classifier["betas"], classifier["weight_decay"]) == ((0.9, 0.999), 0.3)
    assert {id(weight) for weight in classifier["params"]} == {
        id(weight) for weight in network.classifier.parameters()
    }
    assert len(gan["params"]) + len(classifier["params"]) == len([*network.parameters()])
    (only,) = settings.make_optimizer(network.classifier.parameters()).param_groups
    assert only["weight_decay"] == 0.3


def test_parts_from_a_checkpoint_are_kept() -> None:
    network = small_invgan()
    before = tensors(network)
    train_invgan(network, striped_data(24), gan_epochs=0, encoder_epochs=0, classifier_epochs=1)
    assert moved_parts(before, tensors(network)) == {"classifier"}


@pytest.mark.parametrize("seen", ["projected", "original"])
def test_what_the_classifier_sees(seen: str) -> None:
    network, given = small_invgan(), []
    data = striped_data(16, validation=False)
    network.classifier.register_forward_pre_hook(
        lambda module, arguments: given.append(arguments[0]) if module.training else None
    )
    train_invgan(network, data, gan_epochs=1, encoder_epochs=1, classifier_epochs=1,
                 classifier_images=seen, class_weights="none")
    pixels = to_pixels(data.train.images, torch.device("cpu"))
    with torch.no_grad():
        expected = network.project(pixels) if seen == "projected" else pixels
    given_once = torch.cat(given)
    assert given_once.shape == expected.shape, "in training mode in the last phase only"
    distances = torch.cdist(given_once.flatten(1), expected.flatten(1)).min(dim=1).values
    assert float(distances.max()) < 1e-3


def latent_error(network: InvGan) -> float:
    latents = torch.randn(256, network.latent, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        found = network.encoder(network.generator(latents))
    return float(functional.mse_loss(found, latents))


def test_it_learns_to_invert_and_to_classify_digits() -> None:
    data = digits_data()
    gan = small_invgan(latent=16, width=24, classes=10, dropout=0.1)
    invgan(gan, data, device="cpu", seed=0, gan_epochs=20, encoder_epochs=1, classifier_epochs=1,
           **RATES)
    before = latent_error(gan)
    network = copy.deepcopy(gan)
    invgan(network, data, device="cpu", seed=0, gan_epochs=0, encoder_epochs=15,
           classifier_epochs=8, **RATES)
    assert latent_error(network) < 0.8 * before
    assert before < 1.5
    images = to_pixels(data.test.images, torch.device("cpu"))
    labels = torch.from_numpy(data.test.labels)
    with torch.no_grad():
        accuracy = float((network(images).argmax(dim=1) == labels).double().mean())
        spread = network.generator(torch.randn(64, 16)).std(dim=0).mean()
    assert accuracy > 0.7
    assert float(spread) > 0.1, "the generator has not collapsed"


@pytest.mark.slow
def test_resnet34_learns_digits_behind_its_projection() -> None:
    data = digits_data()
    torch.manual_seed(0)
    network = invgan_resnet34(
        num_classes=10, in_channels=1, image_size=(8, 8), latent=16, width=24
    )
    recorder = Recorder()
    invgan(network, data, device="cpu", seed=0, gan_epochs=20, encoder_epochs=20,
           classifier_epochs=4, gan_learning_rate=1e-3, encoder_learning_rate=1e-3,
           monitor=recorder)
    assert max(report.validation_accuracy for report in recorder.reports) > 0.7


def test_the_card_states_the_signature() -> None:
    card = Registry.discover().get("recipe", "invgan").card
    defaults = invgan.__kwdefaults__
    assert card.params == {name: value for name, value in defaults.items() if name != "monitor"}
    for name in ("latent_weight", "image_weight", "image_margin", "encoder_learning_rate"):
        assert card.params[name] == card.published[name]
