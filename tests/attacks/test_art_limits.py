"""The time limit and the budget of propagations of ART's attacks, and NaN in its arithmetic."""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import pytest
import torch

import robench
from robench.attacks.art import ArtAttack
from robench.testing.networks import Task, ordinary

from .art_cases import ALL, FAR


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
    assert set(spent.tolist()) <= {9, 10}


# With these settings they would spend much more than any budget below.
LONG: dict[str, dict[str, Any]] = {
    name: settings | {key: 300 for key in ("steps", "max_iter", "nb_steps") if key in settings}
    for name, settings in ALL.items()
} | {"art/bim": {"steps": 300}, "art/pgd": {"steps": 300}}


@pytest.mark.parametrize("budget", [7, 20, 41])
@pytest.mark.parametrize("name", LONG)
def test_no_image_is_paid_for_beyond_the_budget(name, budget) -> None:
    attack = robench.attack(name, **LONG[name], budget=budget)
    task = ordinary(attack.norm)
    epsilons = None if attack.budget == "minimum" else [1e-3 * task.epsilon]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = attack(task.network, task.images, task.labels, epsilons=epsilons)[0]
        except ValueError as error:
            assert str(error).startswith(f"budget: got {budget}, expected more")  # noqa: PT017
            return
    # Not the attack's to pay: what is returned is judged once, and of a ball, what ART's rounding
    # left outside is moved inside and judged again.
    judging = 1 if attack.budget == "minimum" else 2
    spent = (result.forwards + result.backwards)[task.right]
    assert int(spent.max()) <= budget + judging


@pytest.mark.parametrize(("budget", "spent"), [(20, 15), (25, 26), (26, 27), (37, 38)])
def test_the_gradients_of_all_classes_are_paid_for_before_the_first(budget, spent, task) -> None:
    """Two passes of robench's and ART's, then one there and ten back each time, with one between
    them; what it cannot pay for it does not begin. One pass more judges what it returned."""
    attack = robench.attack("art/deepfool", budget=budget)
    result = attack(task.network, task.images, task.labels, epsilons=[1e-4])[0]
    assert int((result.forwards + result.backwards)[task.right].max()) == spent


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
