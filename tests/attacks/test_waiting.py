"""Where reading a value makes the host wait, as on a GPU: loops read none, and find the same."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import robench
from robench.attacks import jsma
from robench.attacks.glance import Glance
from robench.attacks.query import Query
from robench.errors import VictimError
from robench.redrawn import Redrawn

from .searches import BOUNDED, DRAWN, SEARCHES
from .waiting import wait_everywhere

again = Query._ask_again
_READS = ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique", "equal")


_LISTED = torch.Tensor.tolist


class RandomNoise(torch.nn.Module):
    def forward(self, images):
        return images + 0.05 * torch.randn_like(images)


class Reads(TorchDispatchMode):
    """Counts what would make the host wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __enter__(self) -> Any:
        def tolist(tensor: torch.Tensor) -> Any:
            self.count += 1
            return _LISTED(tensor)

        self._patched = mock.patch.object(torch.Tensor, "tolist", tolist)  # is not dispatched
        self._patched.start()
        return super().__enter__()

    def __exit__(self, *told: Any) -> None:
        self._patched.stop()
        super().__exit__(*told)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function._schema.name.removeprefix("aten::")
        by_mask = name in ("index", "index_put", "index_put_") and any(
            one is not None and one.dtype == torch.bool for one in args[1]
        )
        self.count += name in _READS or by_mask
        return function(*args, **(kwargs or {}))


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_everywhere(monkeypatch)


def attacked(victim, right, name, epsilons=(0.02, 0.05, 0.2), budget=None, count=48, **settings):
    images, labels = right[0][:count], right[1][:count]
    attack = robench.attack(name, **settings)
    if budget is not None:
        attack = attack.spending(budget)
    return attack(victim, images, labels, epsilons=epsilons)


def equal(one, other):
    for what in ("success", "adversarial", "forwards", "backwards", "first_success"):
        assert torch.equal(getattr(one, what), getattr(other, what)), what


@pytest.fixture
def arranged(cnn, right, monkeypatch):
    victim = robench.Victim(cnn).eval()
    victim.arrange(right[0])
    monkeypatch.setattr(victim._tiling, "candidates", lambda _: [])  # which it tries once each
    return victim


def reads_nothing(victim, right, name, few, many, **more):
    # Nothing breaks in a ball so small, so that what follows the steps is the same.
    minimum = robench.attack(name, **few).budget == "minimum"
    epsilons = None if minimum else [16] if name == "patch" else [1e-5]
    counts = []
    for settings in (few, many):
        with Reads() as reads:
            attacked(victim, right, name, epsilons, **settings, **more)
        counts.append(reads.count)
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("name", "few", "many"), SEARCHES + DRAWN)
@pytest.mark.usefixtures("waiting")
def test_steps_towards_the_boundary_read_nothing(arranged, right, name, few, many):
    reads_nothing(arranged, right, name, few, many)


@pytest.mark.parametrize(("name", "few", "many"), BOUNDED)
@pytest.mark.usefixtures("waiting")
def test_steps_in_a_ball_read_nothing(arranged, right, name, few, many):
    # Of so few images a CPU computes several queries of the Square attack in one pass.
    reads_nothing(arranged, right, name, few, many, count=6)


@pytest.mark.parametrize(("name", "few", "many"), [
    each for each in BOUNDED + SEARCHES + DRAWN
    if each[0] in ("pgd", "apgd", "square", "deepfool", "cw", "boundary", "jsma", "one-pixel")
])
@pytest.mark.usefixtures("waiting")
def test_steps_on_a_budget_read_nothing(arranged, right, name, few, many):
    reads_nothing(arranged, right, name, few, many, budget=10_000)


@pytest.mark.parametrize(("name", "few", "many"), [
    *BOUNDED[:2], SEARCHES[0], ("square", {"queries": 40}, {"queries": 100}),
])
@pytest.mark.usefixtures("waiting")
def test_steps_against_random_networks_read_nothing(cnn, right, name, few, many):
    reads_nothing(Redrawn(cnn, draws=2).eval(), right, name, few, many)


@pytest.mark.parametrize(("name", "settings"), [
    ("fgsm", {}), ("bim", {"steps": 12}), ("pgd", {"steps": 12, "restarts": 2}),
    ("pgd", {"steps": 6, "norm": "l1"}), ("mi-fgsm", {}), ("apgd", {"steps": 20}),
    ("deepfool", {}), ("deepfool", {"norm": "linf"}), ("fmn", {"steps": 20}),
    ("fab", {"steps": 10, "restarts": 2}), ("cw", {"steps": 20}),
    ("cw", {"steps": 200, "binary_search_steps": 3, "count": 12}),
    ("square", {"queries": 60}), ("jsma", {"theta": 1.0}), ("jsma", {"pairs_per_step": 4}),
    ("jsma", {"pairs_per_step": 4, "disjoint": True, "target": "next"}),
    ("lbfgs", {"steps": 8, "binary_search_steps": 3}), ("boundary", {"steps": 60}),
    ("one-pixel", {"generations": 8, "population": 8}),
    ("patch", {"steps": 6, "locations": 2}), ("spsa", {"steps": 4, "samples": 64}),
    ("hop-skip-jump", {"steps": 3}), ("autoattack", {"steps": 4, "targets": 2, "queries": 40}),
    ("autoattack-rand", {"steps": 6, "eot": 3}),
])
def test_what_is_found_is_the_same(cnn, right, name, settings, monkeypatch):
    epsilons = (4, 16, 64) if name in ("jsma", "one-pixel", "patch") else (0.02, 0.05, 0.2)
    here = attacked(cnn, right, name, epsilons, **settings)
    wait_everywhere(monkeypatch)
    there = attacked(cnn, right, name, epsilons, **settings)
    for one, other in zip(here, there, strict=True):
        equal(one, other)


@pytest.mark.parametrize(("name", "settings"), [
    ("deepfool", {}), ("deepfool", {"norm": "linf"}), ("fmn", {"steps": 20}),
    ("fab", {"steps": 10}), ("cw", {"steps": 20}), ("bim", {"steps": 12}),
    ("cw", {"steps": 200, "binary_search_steps": 3, "count": 12}),
    ("jsma", {"theta": 1.0}), ("jsma", {"pairs_per_step": 4}),
    ("lbfgs", {"steps": 8, "binary_search_steps": 3}), ("boundary", {"steps": 60}),
    ("one-pixel", {"generations": 8, "population": 8}),
])
def test_and_so_it_is_where_the_host_knows_it_late(cnn, right, name, settings, monkeypatch):
    epsilons = (0.05,) if name == "bim" else None
    (here,) = attacked(cnn, right, name, epsilons=epsilons, **settings)
    wait_everywhere(monkeypatch)
    monkeypatch.setattr(Glance, "arrived", lambda self: False)
    (there,) = attacked(cnn, right, name, epsilons=epsilons, **settings)
    equal(here, there)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("name", "settings"), [
    ("bim", {"steps": 40, "budget": 21}), ("apgd", {"steps": 40, "budget": 30}),
    ("square", {"queries": 200, "budget": 90}), ("deepfool", {"budget": 90}),
    ("cw", {"steps": 40, "budget": 100}), ("fab", {"steps": 20, "restarts": 2, "budget": 130}),
    ("jsma", {"theta": 1.0, "budget": 60}), ("boundary", {"steps": 60, "budget": 100}),
    ("one-pixel", {"generations": 8, "population": 8, "budget": 40}),
    ("autoattack", {"steps": 20, "budget": 300}),
    ("autoattack-rand", {"steps": 20, "eot": 3, "budget": 50}),
])
def test_and_on_a_budget(cnn, right, name, settings, late, monkeypatch):
    epsilons = (0.05,) if robench.attack(name).budget != "minimum" else None
    (here,) = attacked(cnn, right, name, epsilons=epsilons, **settings)
    wait_everywhere(monkeypatch)
    if late:
        monkeypatch.setattr(Glance, "arrived", lambda self: False)
    (there,) = attacked(cnn, right, name, epsilons=epsilons, **settings)
    assert int((here.forwards + here.backwards).max()) <= settings["budget"] + 2  # is judged
    equal(here, there)


class WakesUp(torch.nn.Module):
    """Has no gradient in its first passes."""

    def __init__(self, network, passes):
        super().__init__()
        self.network = network
        self.left = passes

    def forward(self, images):
        self.left -= 1
        return self.network(images if self.left < 0 else images.detach())


@pytest.mark.parametrize(("budget", "dead"), [(2, True), (4, False)])
@pytest.mark.parametrize("waits", [False, True])
def test_what_is_behind_the_budget_is_not_noted(cnn, right, budget, dead, waits, monkeypatch):
    if waits:
        wait_everywhere(monkeypatch)
    victim = robench.Victim(WakesUp(cnn, 2)).eval()  # the clean images, and the first step
    (found,) = attacked(victim, right, "pgd", [1e-5], budget=budget, count=8, steps=8)
    assert found.gradient_dead.tolist() == [dead] * 8


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("name", "settings"), [
    ("bim", {"steps": 12}), ("pgd", {"steps": 12, "restarts": 2}), ("apgd", {"steps": 20}),
    ("deepfool", {}), ("square", {"queries": 60}), ("pgd", {"steps": 40, "budget": 60}),
    ("autoattack-rand", {"steps": 6, "eot": 2}),
])
def test_and_against_networks_that_draw(cnn, right, name, settings, late, monkeypatch):
    def found():
        # This one does not, so that what is asked again answers the same whenever it is asked.
        victim = Redrawn(cnn, draws=2).eval()
        epsilons = None if name == "deepfool" else (0.02, 0.05, 0.2)
        return attacked(victim, right, name, epsilons, **settings)

    here = found()
    wait_everywhere(monkeypatch)
    if late:
        monkeypatch.setattr(Glance, "arrived", lambda self: False)
    assert bool(here[-1].success.any())
    for one, other in zip(here, found(), strict=True):
        equal(one, other)


@pytest.mark.parametrize(("name", "settings"), [
    ("pgd", {"steps": 30}), ("deepfool", {}), ("pgd", {"steps": 40, "budget": 60}),
])
@pytest.mark.usefixtures("waiting")
def test_what_a_network_draws_does_not_hang_on_when_values_arrive(
    cnn, right, name, settings, monkeypatch
):
    def found():
        torch.manual_seed(0)
        network = torch.nn.Sequential(RandomNoise(), cnn)
        return attacked(Redrawn(network, draws=2).eval(), right, name,
                        None if name == "deepfool" else (0.05, 0.1), **settings)

    early = found()
    monkeypatch.setattr(Glance, "arrived", lambda self: False)
    for one, other in zip(early, found(), strict=True):
        equal(one, other)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("name", "settings"), [
    ("bim", {"steps": 12}), ("pgd", {"steps": 12, "restarts": 2}), ("apgd", {"steps": 20}),
    ("mi-fgsm", {}), ("deepfool", {}), ("pgd", {"steps": 40, "budget": 30}),
    ("deepfool", {"budget": 90}),
])
def test_and_in_low_precision(cnn, right, name, settings, late, monkeypatch):
    epsilons = None if name == "deepfool" else (0.02, 0.05, 0.2)
    here = attacked(robench.Victim(cnn, precision="bfloat16").eval(), right, name, epsilons,
                    **settings)
    wait_everywhere(monkeypatch)
    if late:
        monkeypatch.setattr(Glance, "arrived", lambda self: False)
    there = attacked(robench.Victim(cnn, precision="bfloat16").eval(), right, name, epsilons,
                     **settings)
    assert bool(there[-1].success.any())
    for one, other in zip(here, there, strict=True):
        equal(one, other)


@pytest.mark.parametrize("name", ["bim", "apgd", "mi-fgsm"])
@pytest.mark.usefixtures("waiting")
def test_steps_in_low_precision_read_nothing(cnn, right, name, monkeypatch):
    victim = robench.Victim(cnn, precision="bfloat16").eval()
    monkeypatch.setattr(victim._tiling, "candidates", lambda _: [])
    monkeypatch.setattr("robench.attacks.query.Query._ask_again", lambda *told, **cost: None)
    counts = []
    for steps in (20, 60):
        with Reads() as reads:
            attacked(victim, right, name, epsilons=[1e-5], steps=steps)
        counts.append(reads.count)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("late", [False, True])
def test_a_search_that_is_too_narrow_at_first_finds_the_same(cnn, right, late, monkeypatch):
    settings = {"theta": 0.5, "pairs_per_step": 3, "target": "next"}
    (here,) = attacked(cnn, right, "jsma", epsilons=None, **settings)
    wait_everywhere(monkeypatch)
    monkeypatch.setattr("robench.attacks.jsma._WIDTH", 2)
    stalled = []
    find = jsma.best_pairs_of
    monkeypatch.setattr("robench.attacks.jsma.best_pairs_of", lambda *told, **how: (
        stalled.append(found := find(*told, **how)), found)[1])
    if late:
        monkeypatch.setattr(Glance, "arrived", lambda self: False)
    (there,) = attacked(cnn, right, "jsma", epsilons=None, **settings)
    assert any(bool(many.any()) for _, _, many in stalled)
    equal(here, there)


@pytest.mark.parametrize("name", ["deepfool", "fmn"])
@pytest.mark.usefixtures("waiting")
def test_iterates_in_doubt_are_asked_about_later(cnn, right, name, monkeypatch):
    later = []
    monkeypatch.setattr(Query, "_ask_again", lambda self, *told, **cost: (
        later.append(len(self)), again(self, *told, **cost)))
    (found,) = attacked(cnn, right, name, epsilons=None)
    assert sum(later) > 0
    assert found.success.any()


@pytest.mark.usefixtures("waiting")
def test_what_is_not_finite_is_told_all_the_same(cnn, right):
    class Overflows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = cnn

        def forward(self, images):
            return self.network(images) / (images.amax(dim=(1, 2, 3)) < 1).float()[:, None]

    with pytest.raises(VictimError, match="NaN or infinite logits for"):
        robench.attack("pgd", steps=3)(Overflows(), *right, epsilons=[0.1])
