"""The conformance of a recipe: it trains a network in place, and the same way every time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robench.data import Dataset
from robench.data.digits import digits
from robench.freezing import frozen
from robench.logits import checked
from robench.normalisation import with_normalisation
from robench.testing.core import Check, NotApplicable, expect, run, run_first
from robench.testing.networks import SIDE, small_network
from robench.testing.randomness import seeded, unnoticed
from robench.testing.stated import check_settings, checked_with, traits_of

_LIMIT = {"train": 64, "validation": 24, "test": 16}
_DEVICE = torch.device("cpu")
_FITTING_SIDE = 32

Train = Callable[[nn.Module, Dataset, int], Any]


@dataclass(frozen=True)
class Trained:
    """A network and the data set it was trained on; `returned` is what the recipe gave."""

    network: nn.Module
    dataset: Dataset
    returned: Any


@dataclass(frozen=True)
class Subject:
    """A recipe as `train(network, dataset, seed)`, networks it fits for images of `side` pixels;
    `trains` is what its card promises."""

    train: Train
    fresh: Callable[[], nn.Module]
    side: int
    trains: bool

    def dataset(self) -> Dataset:
        return digits(image_size=self.side, limit=_LIMIT)

    @cached_property
    def first(self) -> Trained:
        return self.again(global_seed=0)

    def again(self, *, global_seed: int) -> Trained:
        """A training from the start, always with the same seed."""
        network, dataset = self.fresh(), self.dataset()
        with seeded(global_seed):
            returned = self.train(network, dataset, 0)
        kept = returned if isinstance(returned, nn.Module) else network
        return Trained(kept, dataset, returned)


def check_recipe(factory: Callable[..., Any], **params: Any) -> list[Check]:
    """Check `factory(network, dataset, *, device, seed, **params)` on 64 digits of 8×8 pixels.

    A recipe with a setting `epochs` that `params` do not hold is run for one epoch. One whose
    card says `trains: false` may leave the weights as they are.
    """
    return list(recipe_checks(
        factory, checked_with(factory, params), traits_of(factory, "recipe")
    ))


def recipe_checks(
    factory: Callable[..., Any], params: Mapping[str, Any], traits: Mapping[str, Any], *,
    network: Callable[..., nn.Module] | None = None,
) -> Iterator[Check]:
    """As `check_recipe`, each check as it ends, with the traits of a card that is not attached to
    the factory.

    `network`, for a recipe that fits certain models only, is a factory of one of these; it is
    then trained on digits of 32×32 pixels.
    """
    short = {"epochs": 1} if "epochs" in inspect.signature(factory).parameters else {}
    settings = {**short, **params}

    def train(network: nn.Module, dataset: Dataset, seed: int) -> Any:
        return factory(network, dataset, device=_DEVICE, seed=seed, **settings)

    subject = Subject(
        train, fresh=_small if network is None else partial(_built, network),
        side=SIDE if network is None else _FITTING_SIDE,
        trains=traits.get("trains", True) is not False,
    )
    whole = yield from run_first({
        "settings": lambda: check_settings(factory, "recipe", params),
        "trains": lambda: _trains(subject),
    }, harmless=("settings",))
    if whole:
        yield from run(_CHECKS, subject)


def _small() -> nn.Module:
    return small_network(in_channels=1, outputs=10, dropout=0.1)


def _built(factory: Callable[..., nn.Module]) -> nn.Module:
    with seeded(0):
        side = (_FITTING_SIDE, _FITTING_SIDE)
        return with_normalisation(factory(num_classes=10, in_channels=1, image_size=side), 1)


def _trains(subject: Subject) -> str:
    returned = subject.first.returned
    expect(returned is None or isinstance(returned, nn.Module), type(returned).__name__,
           "the trained network")
    return f"{_LIMIT['train']} digits of {subject.side}×{subject.side} pixels"


def _weights_change(subject: Subject) -> str:
    if not subject.trains:
        raise NotApplicable("its card says trains: false")
    before, after = ([weight.detach().cpu() for weight in network.parameters()]
                     for network in (subject.fresh(), subject.first.network))
    moved = [new for new in after if not any(torch.equal(new, old) for old in before)]
    expect(bool(moved), "the weights as they were", "trained ones, in the network that was given")
    return f"{len(moved)} of {len(after)} tensors"


def _fits_a_fresh_network(subject: Subject) -> str:
    wanted = subject.fresh().state_dict()
    found = subject.first.network.state_dict()
    strange = sorted({*wanted} ^ {*found})
    expect(not strange, f"'{strange[0] if strange else ''}' on one side only",
           "the tensors of the network that was given: they are loaded into a fresh one")
    other = [name for name in wanted if wanted[name].shape != found[name].shape]
    expect(not other, f"another shape of {', '.join(other[:3])}", "the shapes that were given")
    return f"{len(wanted)} tensors"


def _finite(subject: Subject) -> str:
    for name, tensor in subject.first.network.state_dict().items():
        expect(bool(torch.isfinite(tensor).all()), f"NaN or infinite values in '{name}'",
               "finite ones")
    return ""


def _works(subject: Subject) -> str:
    network = subject.first.network
    mode = "training" if network.training else "eval"
    split = subject.first.dataset.splits["test"]
    images = torch.from_numpy(np.asarray(split.images[:8])).permute(0, 3, 1, 2).float() / 255
    with frozen(network), torch.no_grad():
        logits: Tensor = network(images.to(next(network.parameters()).device))
    checked(logits, rows=len(images), num_classes=subject.first.dataset.num_classes)
    return f"left in {mode} mode"


def _on_the_device(subject: Subject) -> str:
    places = {str(tensor.device) for tensor in subject.first.network.state_dict().values()}
    expect(places == {str(_DEVICE)}, f"weights on {', '.join(sorted(places))}", f"on {_DEVICE}")
    return ", ".join(places)


def _repeatable(subject: Subject) -> str:
    again = subject.again(global_seed=1).network.state_dict()
    first = subject.first.network.state_dict()
    moved = [name for name in first if not torch.equal(first[name], again[name])]
    expect(not moved, f"other bits in {len(moved)} of {len(first)} tensors in a second training "
           "with the same seed, in another global random state", "the same bits")
    return ""


def _leaves_randomness_alone(subject: Subject) -> str:
    network, dataset = subject.fresh(), subject.dataset()
    unnoticed(lambda: subject.train(network, dataset, 0))
    return ""


def _leaves_the_data_alone(subject: Subject) -> str:
    fresh = subject.dataset()
    for name, split in subject.first.dataset.splits.items():
        before = fresh.splits[name]
        same = (np.array_equal(np.asarray(split.images[:]), np.asarray(before.images[:]))
                and np.array_equal(split.labels, before.labels))
        expect(same, f"other images or labels in {name} after training", "them as they were")
    return ""


_CHECKS: dict[str, Callable[[Subject], str]] = {
    "weights change": _weights_change,
    "fits a fresh network": _fits_a_fresh_network,
    "finite": _finite,
    "works afterwards": _works,
    "stays on the device": _on_the_device,
    "repeatable under a seed": _repeatable,
    "leaves the global random state": _leaves_randomness_alone,
    "leaves the data alone": _leaves_the_data_alone,
}
