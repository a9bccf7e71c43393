"""An attack that may spend a number of propagations and no more (F4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import robench
from robench.errors import MaskingWarning, UserError
from robench.testing.networks import ordinary


def attacked(name: str, **settings: Any) -> robench.AttackResult:
    attack = robench.attack(name, **settings)
    task = ordinary(attack.norm)
    epsilons = [1.0] if attack.norm == "l0" else [1e-4]
    return attack(task.network, task.images, task.labels, epsilons=epsilons)[0]


# Settings that would spend much more, by the attack's name; `uap` learns first, `noise` spends one.
SPENDING: dict[str, dict[str, Any]] = {
    "apgd": {}, "apgd-t": {}, "autoattack": {}, "autoattack-rand": {}, "bim": {"steps": 50},
    "boundary": {}, "cw": {}, "deepfool": {}, "di-fgsm": {"steps": 50}, "fab": {}, "fmn": {},
    "hop-skip-jump": {}, "jsma": {"gamma": 0.2}, "lbfgs": {}, "mi-fgsm": {"steps": 50},
    "one-pixel": {}, "patch": {}, "pgd": {"steps": 50}, "spsa": {}, "square": {},
    "ti-fgsm": {"steps": 50}, "art/boundary": {}, "art/zoo": {},
}


ASKS_MUCH_AT_ONCE = ("art/zoo", "autoattack-rand", "boundary", "fab", "hop-skip-jump", "one-pixel",
                     "spsa")


@pytest.mark.parametrize(("name", "budget"), [
    *((name, 7) for name in sorted(SPENDING) if name not in ASKS_MUCH_AT_ONCE),
    *((name, 400 if name in ASKS_MUCH_AT_ONCE else 40) for name in sorted(SPENDING)),
])
def test_no_image_is_paid_for_beyond_the_budget(name: str, budget: int) -> None:
    attack = robench.attack(name, **SPENDING[name], budget=budget)
    task = ordinary(attack.norm)
    small = 1.0 if attack.norm == "l0" else 1e-3 * task.epsilon
    epsilons = None if attack.budget == "minimum" else [small]
    (result,) = attack(task.network, task.images, task.labels, epsilons=epsilons)
    spent = (result.forwards + result.backwards)[result.forwards > 0]
    # What is returned is judged once, which is not the attack's to pay, and is counted.
    assert int(spent.max()) <= budget + 1


@pytest.mark.parametrize(("name", "budget"), [
    ("fgsm", 1), ("deepfool", 2), *((name, 7) for name in ASKS_MUCH_AT_ONCE),
])
def test_a_budget_that_pays_for_nothing_is_told(name: str, budget: int) -> None:
    told = f"budget: got {budget}, expected more: {name} could try nothing but the images"
    with pytest.raises(ValueError, match=told):
        attacked(name, budget=budget)


@pytest.mark.parametrize("budget", [6, 7, 20])
def test_a_budget_is_spent(budget: int) -> None:
    whole, ended = attacked("pgd", steps=30), attacked("pgd", steps=30, budget=budget)
    tried = whole.forwards > 0
    assert bool((whole.forwards[tried] >= 30).all())
    # A step costs a forward and a backward: of an odd number one is left.
    spent = (ended.forwards + ended.backwards)[tried]
    assert bool((spent >= budget - 1).all())


def test_a_large_budget_changes_nothing() -> None:
    whole, ended = attacked("pgd", steps=5), attacked("pgd", steps=5, budget=1000)
    assert torch.equal(whole.adversarial, ended.adversarial)
    assert torch.equal(whole.forwards, ended.forwards)


def test_what_was_found_before_the_end_counts() -> None:
    task = ordinary("linf")
    attack = robench.attack("pgd", steps=40, budget=8)
    result = attack(task.network, task.images, task.labels, epsilons=[2 * task.epsilon])[0]
    assert bool(result.success.any())


@pytest.mark.parametrize("budget", [0, -3, 2.5, True, "many"])
def test_what_is_no_budget(budget: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="budget: got"):
        robench.attack("fgsm", budget=budget)
    with pytest.raises(UserError, match="budget"):
        robench.run({"name": "m", "datasets": ["digits"], "models": ["small-cnn"],
                     "attacks": [{"fgsm": {"budget": budget}}]}, store=tmp_path / "s")


def test_a_budget_is_part_of_the_key(tmp_path: Path) -> None:
    from robench.matrix import load
    from robench.registry import Registry

    items = load({"name": "m", "datasets": ["digits"], "models": ["small-cnn"],
                  "attacks": ["fgsm", {"fgsm": {"budget": 9}}]}, Registry.discover()).attacks
    assert items[0].meaning() != items[1].meaning()
    assert "budget" not in items[0].meaning()["settings"]


def test_an_attack_of_a_ball_needs_epsilons_and_a_search_does_not() -> None:
    task = ordinary("l0")
    with pytest.raises(ValueError, match="epsilons: got None"):
        robench.attack("fgsm")(task.network, task.images, task.labels, epsilons=None)
    search = robench.attack("jsma", theta=1.0, gamma=0.25)
    (free,) = search(task.network, task.images, task.labels, epsilons=None)
    (bound,) = search(task.network, task.images, task.labels, epsilons=[64.0])
    assert free.epsilon == float("inf")
    assert torch.equal(free.success, bound.success)
    assert torch.equal(free.distance, bound.distance)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("pgd", {"steps": 30}), ("deepfool", {}), ("boundary", {}), ("hop-skip-jump", {}),
     ("square", {"queries": 200}), ("jsma", {"gamma": 0.2})],
)
def test_a_spent_image_does_not_end_the_others(name: str, settings: dict[str, Any]) -> None:
    attack = robench.attack(name, budget=60, **settings)
    task = ordinary(attack.norm)
    epsilons = None if attack.budget == "minimum" else [0.5 * task.epsilon]
    whole = attack(task.network, task.images, task.labels, epsilons=epsilons)[0]
    for row in range(len(task.images)):
        alone = attack(task.network, task.images[row : row + 1], task.labels[row : row + 1],
                       epsilons=epsilons)[0]
        for key in ("success", "forwards", "backwards", "first_success"):
            assert torch.equal(getattr(whole, key)[row : row + 1], getattr(alone, key)), (row, key)
        assert torch.equal(whole.adversarial[row : row + 1], alone.adversarial), row


def test_a_masked_network_is_told_on_a_budget_too() -> None:
    class Steps(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = ordinary("linf").network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network((images * 4).round() / 4)

    task = ordinary("linf")
    network = Steps().eval()
    labels = network(task.images).argmax(dim=1)
    with pytest.warns(MaskingWarning, match="gradient is zero for every image"):
        robench.attack("pgd", random_start=False, budget=5)(
            network, task.images, labels, epsilons=[0.1])
