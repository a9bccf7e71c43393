"""What is noted of a network's passes, against the same by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robench.attacks.pgd import PGD
from robench.redrawn import Redrawn
from robench.runner.tracing import Path, Recorded
from robench.victim import Victim

IMAGE = torch.full((1, 1, 2, 2), 0.5)
LABEL = torch.tensor([0])


def path(epsilon: float = 0.1, draws: int = 1) -> Path:
    return Path(IMAGE, LABEL, epsilon=epsilon, norm="linf", draws=draws)


def at(*levels: float) -> Tensor:
    return torch.stack([torch.full((1, 2, 2), level) for level in levels])


def logits(*leads: float) -> Tensor:
    return torch.tensor([[lead, 0.0] for lead in leads])


def entropy(lead: float) -> float:
    return math.log1p(math.exp(-lead))


def test_losses_of_the_iterates_in_their_order() -> None:
    noted = path()
    for level, lead in ((0.5, 3.0), (0.55, 2.0), (0.6, 1.0)):
        noted.note(at(level), logits(lead))
    losses, outside, wrong = noted.ended()
    assert losses[0] == pytest.approx([-entropy(lead) for lead in (3, 2, 1)])
    assert losses[1] == pytest.approx([3, 2, 1])
    assert (outside, wrong) == (0, None)


def test_an_iterate_that_stands_still_is_one_at_every_step() -> None:
    noted = path()
    for _ in range(3):
        noted.note(at(0.52), logits(1.0))
    assert noted.ended()[0][1] == pytest.approx([1, 1, 1])


def test_the_draws_of_a_candidate_are_one_pass_of_the_mean() -> None:
    noted = path(draws=2)
    for level, lead in ((0.5, 3.0), (0.5, 3.0), (0.52, 1.0), (0.52, 2.0), (0.52, 4.0), (0.52, 4.0)):
        noted.note(at(level), logits(lead))
    losses, _, _ = noted.ended()
    assert losses[1] == pytest.approx([3, 1.5, 4])
    logs = [-np.array([entropy(lead), entropy(-lead)]) for lead in (1.0, 2.0)]
    mean = np.mean(logs, axis=0)
    assert losses[0][1] == pytest.approx(mean[0] - np.log(np.exp(mean).sum()))


@pytest.mark.parametrize(("shown", "leads", "wrong"), [
    ([0.55], [-1.0], 0.55),
    ([0.55], [1.0], None),
    ([0.65], [-1.0], None),  # outside of the ball
    ([0.51, 0.55], [1.0, -1.0], 0.55),  # one of two candidates of a pass
    ([0.55, 0.52, 0.65], [-1.0, -2.0, -3.0], 0.52),  # the one that is wrong by most
    ([0.6 + 1e-7], [-1.0], 0.6),  # of rounding, projected
])
def test_a_wrong_answer_inside_the_ball_is_kept(
    shown: list[float], leads: list[float], wrong: float | None
) -> None:
    noted = path()
    noted.note(at(*shown), logits(*leads))
    kept = noted.ended()[2]
    if wrong is None or kept is None:
        assert kept is wrong
    else:
        torch.testing.assert_close(kept, at(wrong), rtol=0, atol=1e-6)
        assert float((kept - IMAGE).abs().max()) <= 0.1


def test_outside_of_the_box_counts_for_nothing() -> None:
    noted = path(epsilon=0.6)
    noted.note(at(1.05), logits(-1.0))
    losses, outside, wrong = noted.ended()
    assert (losses.shape, outside, wrong) == ((2, 0), 1, None)


class Sum(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        score = 4 * images.flatten(1).mean(dim=1)
        return torch.stack([3 - score, torch.zeros_like(score)], dim=1)


def test_every_iterate_of_an_attack_is_noted() -> None:
    recorded = Recorded(Sum())
    victim = Victim(recorded).eval()
    noted = path()
    with recorded.on(noted):
        PGD(steps=4, step_size=0.02, random_start=False)(victim, IMAGE, LABEL, epsilons=[0.1])
    victim.logits(IMAGE)  # not any more
    # The score falls by four steps of .08 from 1, at last in the pass that judges what is returned.
    losses, _, _ = noted.ended()
    assert sorted(set(losses[1].round(4)), reverse=True) == pytest.approx(
        [1.0, 0.92, 0.84, 0.76, 0.68])


class Tossed(nn.Module):
    """The lead is 1 or 3, by turns."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        return logits(*[1.0 + 2 * (self.passes % 2)] * len(images))


def test_draws_are_averaged() -> None:
    recorded = Recorded(Tossed())
    victim = Redrawn(recorded, draws=6).eval()
    while victim.tile(IMAGE.device, 1) > 1:
        victim.halve_tiles(IMAGE.device)
    noted = path(draws=6)
    with recorded.on(noted):
        victim.logits(IMAGE)
        victim.logits(at(0.55))
    assert noted.ended()[0][1] == pytest.approx([2, 2])
