"""How an attack behaves: repeatable, the same in any batch, and tidy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from robench.testing.attack_case import Case, check_same, fitted
from robench.testing.core import Violation, expect, told
from robench.testing.networks import Raises, RaisesError, ordinary
from robench.testing.randomness import seeded, unnoticed

_PARTS = (35, 4, 1)


def _deterministic(case: Case) -> str:
    task = case.task
    with seeded(1):
        attack = fitted(case.make(), task)
        once, again = (attack(task.network, task.images, task.labels, epsilons=case.epsilons)
                       for _ in range(2))
    check_same(case.results, once, "in a second run")
    check_same(once, again, "in a second call of the same instance")
    return ""


def _any_batch(case: Case) -> str:
    # More than the 32 rows that a network computes at once.
    task = ordinary(case.norm, count=sum(_PARTS))
    together = case.on(task)
    order = torch.randperm(len(task.images), generator=torch.Generator().manual_seed(1))
    for rows in torch.split(order, list(_PARTS)):
        part = case.on(task, rows=rows.tolist())
        whole = [result.select(rows) for result in together]
        check_same(whole, part, f"for {len(rows)} of {len(order)} images in another order")
    return f"batches of {', '.join(map(str, sorted(_PARTS)))} and {len(order)}, in other orders"


def _leaves_the_model_alone(case: Case) -> str:
    task = ordinary(case.norm)
    network = task.network.train()
    first, *others = network.parameters()
    first.requires_grad_(False)
    others[0].grad = torch.ones_like(others[0])
    before = _state(network)
    case.on(task)
    after = _state(network)
    changed = [name for name in before if not _equal(before[name], after[name])]
    expect(not changed, f"another {changed[0] if changed else ''} after the attack",
           "the model as it was")
    return "modes, weights, buffers, flags and gradients"


def _leaves_randomness_alone(case: Case) -> str:
    attack, task = case.make(), case.task
    unnoticed(lambda: fitted(attack, task)(
        task.network, task.images, task.labels, epsilons=case.epsilons
    ))
    return ""


def _leaves_images_alone(case: Case) -> str:
    images, labels = case.task.images.clone(), case.task.labels.clone()
    with seeded(0):
        fitted(case.make(), case.task)(case.task.network, images, labels, epsilons=case.epsilons)
    expect(torch.equal(images, case.task.images) and torch.equal(labels, case.task.labels),
           "images or labels changed in place", "them as they were")
    return ""


def _raises(case: Case) -> str:
    counting = Raises(case.task.network, call=0)
    case.on(case.task, network=counting)
    # The first call is the clean prediction, which is not the attack's.
    calls = np.unique(np.linspace(2, counting.calls, num=5).astype(int)).tolist()
    for call in calls:
        breaking = Raises(case.task.network, call=call)
        try:
            case.on(case.task, network=breaking)
        except Exception as error:  # an attack may wrap what the network raised
            if not _stems_from_network(error):
                raise Violation(f"raised {told(error)}, expected what the network raised"
                                ) from error
            continue
        expect(breaking.calls < call, f"results, although call {call} of the network raised",
               "its exception")
    return f"at call {', '.join(map(str, calls))} of the network"


def _stems_from_network(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, RaisesError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _state(network: nn.Module) -> dict[str, Any]:
    tensors = {f"value of {name}": tensor.detach().clone()
               for name, tensor in network.state_dict().items()}
    weights = dict(network.named_parameters())
    return {
        **tensors,
        "training mode": [module.training for module in network.modules()],
        "requires_grad": [weight.requires_grad for weight in weights.values()],
        **{f".grad of {name}": None if weight.grad is None else weight.grad.clone()
           for name, weight in weights.items()},
    }


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return not isinstance(other, torch.Tensor) and bool(one == other)


CONDUCT: dict[str, Callable[[Case], str]] = {
    "deterministic under a seed": _deterministic,
    "independent of batch and order": _any_batch,
    "leaves the model as it was": _leaves_the_model_alone,
    "leaves the global random state": _leaves_randomness_alone,
    "leaves images and labels": _leaves_images_alone,
    "raises what the model raises": _raises,
}
