"""The time limit and the budget of propagations of ART's attacks, and NaN in its arithmetic."""

from __future__ import annotations

import sys
import time

import pytest
import torch

import robench
from robench.attacks.art import ArtAttack
from robench.testing.networks import Task, ordinary

from .art_cases import FAR


class Sleepy(torch.nn.Module):
    """A network that takes its time."""

    def __init__(self, network: torch.nn.Module, seconds: float) -> None:
        super().__init__()
        self.network, self.seconds = network, seconds

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return self.network(images)


@pytest.fixture
def task() -> Task:
    return ordinary("l2")


def test_a_search_ends_at_its_limit_and_what_it_found_counts(task) -> None:
    """Deep in its steps the image is broken; the rest of a thousand is not waited for."""
    attack = robench.attack("art/newtonfool", max_iter=1000, eta=0.05, time_limit_s=1.0)
    image = (task.images[4:5], task.labels[4:5])
    started = time.monotonic()
    with pytest.warns(RuntimeWarning, match=r"art/newtonfool: ended early by its time limit on 1 "
                                            r"of 1 images; their best iterates so far count"):
        result = attack(Sleepy(task.network, 0.002), *image, epsilons=[FAR["l2"]])[0]
    assert time.monotonic() - started < 20
    assert result.success.tolist() == [True]
    assert 2 < int(result.forwards) < 2000
    with torch.no_grad():
        assert task.network.eval()(result.adversarial).argmax(1) != image[1]


@pytest.mark.parametrize(("name", "passes"), [
    ("art/deepfool", 3),  # one tells the number of classes, one is ART's, one judges what stands
    ("art/bim", 2), ("art/pgd", 2),
])
def test_each_image_gets_its_time_and_at_least_one_pass(name, passes, task) -> None:
    attack = robench.attack(name, time_limit_s=1e-9)
    with pytest.warns(RuntimeWarning, match="on 6 of 6 images"):
        result = attack(task.network, task.images, task.labels, epsilons=[1e-4])[0]
    assert set(result.forwards[task.right].tolist()) == {passes}
    assert not bool(result.success.any())


def test_the_one_pass_of_fgsm_is_always_made(task, recwarn) -> None:
    robench.attack("art/fgsm", time_limit_s=1e-9)(
        task.network, task.images, task.labels, epsilons=[0.1]
    )
    assert [each for each in recwarn if issubclass(each.category, RuntimeWarning)] == []


def test_a_batch_has_the_time_of_its_images(task, monkeypatch) -> None:
    deadlines = []
    bridge = sys.modules[ArtAttack.__module__]
    real = bridge.art_classifier
    monkeypatch.setattr(bridge.time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(bridge, "art_classifier", lambda *view, **settings: (
        deadlines.append(settings["deadline"]), real(*view, **settings))[1])
    attack = robench.attack("art/momentum-iterative", max_iter=1, time_limit_s=50.0)
    attack(task.network, task.images, task.labels, epsilons=[0.1])
    alone = robench.attack("art/deepfool", max_iter=1, time_limit_s=50.0)
    alone(task.network, task.images, task.labels, epsilons=[0.1])
    assert deadlines == [100.0 + 6 * 50.0, *[100.0 + 50.0] * 6]


def test_no_limit_no_warning(task, recwarn) -> None:
    robench.attack("art/deepfool", max_iter=2)(
        task.network, task.images, task.labels, epsilons=[1.0]
    )
    assert [each for each in recwarn if issubclass(each.category, RuntimeWarning)] == []


def test_the_budget_of_one_image_is_not_anothers(task) -> None:
    attack = robench.attack("art/newtonfool", max_iter=50, budget=9)
    result = attack(task.network, task.images, task.labels, epsilons=[1.0])[0]
    spent = (result.forwards + result.backwards)[task.right]
    assert int(spent.min()) >= 9
    assert int(spent.max()) <= 12


class Numberless(ArtAttack):
    """An attack of ART's kind whose arithmetic breaks down."""

    name, norm, budget = "art/numberless", "l2", "minimum"

    def __init__(self, *, returns: bool) -> None:
        self.returns = returns

    def build(self, classifier, *, epsilon, batch_size):
        returns = self.returns

        class Attack:
            def generate(self, x, y):
                broken = x * float("nan")
                return broken if returns else classifier.predict(broken)

        return Attack()


@pytest.mark.parametrize("returns", [True, False])
def test_nan_of_arts_own_making_is_no_fault_of_the_network(returns, task) -> None:
    with pytest.warns(RuntimeWarning, match=r"NaN or infinite pixels in ART's own arithmetic on 6"):
        result = Numberless(returns=returns)(
            task.network, task.images, task.labels, epsilons=[1.0]
        )[0]
    assert not bool(result.success.any())
    assert torch.equal(result.adversarial, task.images)
