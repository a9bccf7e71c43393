"""Where reading a value makes the host wait, as on a GPU: loops read none, and find the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import robench
from robench.attacks import jsma
from robench.attacks.glance import Glance
from robench.attacks.query import Query
from robench.errors import VictimError

from .searches import DRAWN, SEARCHES

again = Query._ask_again
_READS = ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique", "equal")


class Reads(TorchDispatchMode):
    """Counts what would make the host wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function._schema.name.removeprefix("aten::")
        by_mask = name in ("index", "index_put", "index_put_") and any(
            one is not None and one.dtype == torch.bool for one in args[1]
        )
        self.count += name in _READS or by_mask
        return function(*args, **(kwargs or {}))


def wait_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("robench.attacks.query", "robench.attacks.glance", "robench.attacks.keeping",
                   "robench.attacks.losses", "robench.attacks.jsma", "robench.victim"):
        monkeypatch.setattr(f"{module}.reading_waits", lambda _: True)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_everywhere(monkeypatch)


def attacked(cnn, right, name, epsilons=(0.02, 0.05, 0.2), **settings):
    images, labels = right[0][:48], right[1][:48]
    return robench.attack(name, **settings)(cnn, images, labels, epsilons=epsilons)


@pytest.mark.parametrize(("name", "settings"), [
    ("bim", {}), ("pgd", {}), ("pgd", {"norm": "l2"}), ("pgd", {"loss": "dlr"}), ("mi-fgsm", {}),
    ("di-fgsm", {}), ("ti-fgsm", {}), ("apgd", {}), ("apgd", {"norm": "l2", "loss": "dlr"}),
])
@pytest.mark.usefixtures("waiting")
def test_steps_read_nothing(cnn, right, name, settings):
    counts = []
    for steps in (20, 60):  # after the victim has looked, once, whether smaller tiles do
        with Reads() as reads:  # nothing breaks, so that what follows the steps is the same
            attacked(cnn, right, name, epsilons=[1e-5], steps=steps, **settings)
        counts.append(reads.count)
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("name", "few", "many"), SEARCHES + DRAWN)
@pytest.mark.usefixtures("waiting")
def test_steps_towards_the_boundary_read_nothing(cnn, right, name, few, many, monkeypatch):
    victim = robench.Victim(cnn).eval()
    victim.arrange(right[0])
    monkeypatch.setattr(victim._tiling, "candidates", lambda _: [])  # which it tries once each
    counts = []
    for settings in (few, many):
        with Reads() as reads:
            attacked(victim, right, name, epsilons=None, **settings)
        counts.append(reads.count)
    assert counts[0] == counts[1]


@pytest.mark.parametrize(("name", "settings"), [
    ("fgsm", {}), ("bim", {"steps": 12}), ("pgd", {"steps": 12, "restarts": 2}),
    ("pgd", {"steps": 6, "norm": "l1"}), ("mi-fgsm", {}), ("apgd", {"steps": 20}),
    ("deepfool", {}), ("deepfool", {"norm": "linf"}), ("fmn", {"steps": 20}),
    ("fab", {"steps": 10, "restarts": 2}), ("cw", {"steps": 20}), ("cw", {"steps": 200}),
    ("square", {"queries": 60}), ("jsma", {"theta": 1.0}), ("jsma", {"pairs_per_step": 4}),
    ("jsma", {"pairs_per_step": 4, "disjoint": True, "target": "next"}),
    ("lbfgs", {"steps": 8, "binary_search_steps": 3}), ("boundary", {"steps": 60}),
    ("one-pixel", {"generations": 8, "population": 8}),
])
def test_what_is_found_is_the_same(cnn, right, name, settings, monkeypatch):
    epsilons = (4, 16, 64) if name in ("jsma", "one-pixel") else (0.02, 0.05, 0.2)
    here = attacked(cnn, right, name, epsilons, **settings)
    wait_everywhere(monkeypatch)
    there = attacked(cnn, right, name, epsilons, **settings)
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.success, other.success)
        assert torch.equal(one.adversarial, other.adversarial)
        assert torch.equal(one.forwards, other.forwards)
        assert torch.equal(one.backwards, other.backwards)
        assert torch.equal(one.first_success, other.first_success)


@pytest.mark.parametrize(("name", "settings"), [
    ("deepfool", {}), ("deepfool", {"norm": "linf"}), ("fmn", {"steps": 20}),
    ("fab", {"steps": 10}), ("cw", {"steps": 20}), ("bim", {"steps": 12}), ("cw", {"steps": 200}),
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
    for what in ("success", "adversarial", "forwards", "backwards", "first_success"):
        assert torch.equal(getattr(here, what), getattr(there, what)), what


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("name", "settings"), [
    ("bim", {"steps": 12}), ("pgd", {"steps": 12, "restarts": 2}), ("apgd", {"steps": 20}),
    ("mi-fgsm", {}), ("deepfool", {}),
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
        for what in ("success", "adversarial", "forwards", "backwards", "first_success"):
            assert torch.equal(getattr(one, what), getattr(other, what)), what


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
    for what in ("success", "adversarial", "forwards", "backwards", "first_success"):
        assert torch.equal(getattr(here, what), getattr(there, what)), what


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
