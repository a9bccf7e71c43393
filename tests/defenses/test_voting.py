"""Votes over noisy copies: randomised smoothing and MedRDF as defenses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robench.defenses.medrdf import medrdf
from robench.defenses.smoothing import smoothing
from robench.defenses.voting import Vote
from robench.freezing import frozen

from .images import linear, pixels, seeded

COPIES = 60


class Recorder(nn.Module):
    """Keeps what it is shown."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.shown = network, []

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append(images.detach())
        return self.network(images)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_logits_are_the_votes(channels: int) -> None:
    images, recorder = pixels(5, channels, 6, 6), Recorder(linear(channels, 6))
    output = seeded(Vote(recorder, sigma=0.3, copies=COPIES), images)
    logits = torch.stack([recorder.network(copy) for copy in recorder.shown]).detach()
    votes = functional.one_hot(logits.argmax(dim=2), 3).sum(dim=0)
    assert int((votes.amax(dim=1) < COPIES).sum()) >= 3
    expected = (votes + logits.softmax(dim=2).mean(dim=0)) / (COPIES + 1)
    assert float(expected.min()) > 1e-3 / (COPIES + 1)
    torch.testing.assert_close(output.exp(), expected)


def test_the_noise_is_gaussian_and_of_each_image() -> None:
    recorder = Recorder(linear(1, 6))
    images = torch.full((40, 1, 6, 6), 0.5)
    seeded(Vote(recorder, sigma=0.3, copies=COPIES), images)
    noise = torch.stack(recorder.shown) - 0.5
    assert noise.shape == (COPIES, 40, 1, 6, 6)
    assert float(noise.std()) == pytest.approx(0.3, rel=0.01)
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.003)
    assert float(noise.std(dim=0).min()) > 0.15
    assert float(noise.std(dim=1).min()) > 0.15


def test_the_gradient_is_that_of_the_mean_log_probabilities() -> None:
    images, recorder = pixels(4, 1, 6, 6).requires_grad_(True), Recorder(linear(1, 6))
    vote = Vote(recorder, sigma=0.3, copies=7)
    weights = pixels(4, 3, seed=5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        output = vote(images)
        state = torch.get_rng_state()
        (gradient,) = torch.autograd.grad((output * weights).sum(), images)
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(output.detach(), seeded(vote, images.detach()))
    noise = [copy - images.detach() for copy in recorder.shown[:7]]
    logs = [recorder.network(images + each).log_softmax(dim=1) for each in noise]
    mean = torch.stack(logs).mean(dim=0)
    (expected,) = torch.autograd.grad((mean * weights).sum(), images)
    torch.testing.assert_close(gradient, expected)


def test_equal_votes_are_decided_by_the_mean_probability() -> None:
    class Turns(nn.Module):
        """Class 0 narrowly and class 1 clearly, in turn."""

        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            row = [0.6, 0.4] if self.calls % 2 else [-3.0, 3.0]
            return torch.tensor([row]).expand(len(images), -1)

    assert Vote(Turns(), sigma=0.1, copies=4)(pixels(2, 1, 4, 4)).argmax(dim=1).tolist() == [1, 1]
    # One vote more outweighs any probability.
    assert Vote(Turns(), sigma=0.1, copies=5)(pixels(2, 1, 4, 4)).argmax(dim=1).tolist() == [0, 0]


def test_an_unanimous_vote_of_a_sure_network_is_finite_and_has_a_gradient() -> None:
    network = linear(1, 6)
    with torch.no_grad():
        network[1].weight.mul_(1000.0)
        network[1].bias.copy_(torch.tensor([5000.0, 0.0, 0.0]))
    images = pixels(2, 1, 6, 6).requires_grad_(True)
    output = seeded(Vote(network, sigma=0.01, copies=5), images)
    assert bool(torch.isfinite(output).all())
    loss = functional.cross_entropy(output, output.argmax(dim=1))
    (gradient,) = torch.autograd.grad(loss, images)
    assert float(gradient.abs().amax()) > 1e-4


def test_one_logit_is_a_choice_of_two() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))
    output = seeded(Vote(network, sigma=0.2, copies=9), pixels(3, 1, 6, 6))
    assert output.shape == (3, 2)


def test_training_mode_and_buffers_are_the_callers() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 3))
    before = network[1].running_mean.clone()
    vote = smoothing(network, copies=3)
    with frozen(vote):
        vote(pixels(2, 1, 6, 6).requires_grad_(True)).sum().backward()
    assert torch.equal(network[1].running_mean, before)
    assert vote.training


@pytest.mark.parametrize("denoiser", ["median", "gaussian-blur", "nl-means"])
def test_medrdf_shows_the_network_denoised_pixels(denoiser: str) -> None:
    recorder = Recorder(linear(3, 12))
    images = torch.full((4, 3, 12, 12), 0.5)
    guarded = medrdf(recorder, sigma=0.2, copies=5, denoiser=denoiser)
    assert seeded(guarded, images).shape == (4, 3)
    shown = torch.stack(recorder.shown)
    assert float(shown.min()) >= 0.0
    assert float(shown.max()) <= 1.0
    assert float((shown - 0.5).std()) < 0.7 * 0.2


def test_medrdf_keeps_more_of_the_signal_than_noise_alone() -> None:
    """Bright upper or lower halves: with strong noise, denoised copies vote more clearly."""
    network = linear(1, 12, classes=2)
    with torch.no_grad():
        half = torch.zeros(1, 12, 12)
        half[:, :6, ::4] = 1.0
        half[:, 6:, ::4] = -1.0
        network[1].weight.copy_(torch.stack([half.flatten(), -half.flatten()]))
        network[1].bias.zero_()
    images = torch.full((1, 1, 12, 12), 0.45)
    images[:, :, :6] = 0.55
    shares = [float(seeded(guarded, images).exp()[0, 0]) for guarded in (
        smoothing(network, sigma=0.5, copies=400), medrdf(network, sigma=0.5, copies=400))]
    assert shares[1] > shares[0] + 0.02
