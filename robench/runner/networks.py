"""Networks and victims of a plan: built, tried out, trained, pruned, defended."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from functools import partial

import safetensors.torch
import torch
from torch import nn

from robench.attacks.base import Attack
from robench.data import Dataset
from robench.defenses.pruning import prune_l1
from robench.defenses.through import with_stand_in
from robench.errors import UserError, VictimError
from robench.matrix import Item
from robench.models.build import build, try_out
from robench.plan import Ladder, Target, Training
from robench.registry import BUDGET, OWN, Registry
from robench.runner.learning import lessons
from robench.runner.prepare import checkpoint_path
from robench.training.monitor import Monitor, SilentMonitor
from robench.training.state import TrainingState


def new_network(training: Training, dataset: Dataset, registry: Registry) -> nn.Module:
    """The network of a training before it is trained, from pixels to logits, on the CPU."""
    model = training.model
    try:
        return build(
            registry.get("model", model.name).load(), settings=model.settings,
            num_classes=dataset.num_classes, in_channels=dataset.in_channels,
            image_size=dataset.image_size, seed=training.seed,
            checkpoint=checkpoint_path(model),
        )
    except UserError as error:
        raise error.at(f"{model.where} {model.label}") from error


def train(
    training: Training, dataset: Dataset, registry: Registry, *,
    device: torch.device, monitor: Monitor,
) -> bytes:
    """The trained network's weights, as the bytes of a safetensors file."""
    network = new_network(training, dataset, registry).to(device)
    recipe = registry.get("recipe", training.recipe.name).load()
    settings = dict(training.recipe.settings)
    if "monitor" in inspect.signature(recipe).parameters:
        settings["monitor"] = monitor
    trained = recipe(network, dataset, device=device, seed=training.seed, **settings)
    network = trained if isinstance(trained, nn.Module) else network
    weights = {name: tensor.detach().cpu().contiguous()
               for name, tensor in network.state_dict().items()}
    made_by = {"model": training.model.name, "recipe": training.recipe.name, "key": training.key}
    return safetensors.torch.save(weights, metadata={"robench": json.dumps(made_by)})


def target_network(
    target: Target, weights: bytes, dataset: Dataset, registry: Registry
) -> tuple[nn.Module, float]:
    """(the trained, pruned and defended network, the sparsity measured), on the CPU.

    Every pruning rate starts from a fresh copy of the trained network.
    """
    network = new_network(target.training, dataset, registry)
    network.load_state_dict(safetensors.torch.load(weights))
    pruning = target.pruning
    sparsity = prune_l1(network, rate=target.rate, scope=pruning.scope, layers=pruning.layers)
    guarded = defended(target.defense, network, registry, seed=target.training.seed)
    return guarded, sparsity


def defended(
    defense: Item, network: nn.Module, registry: Registry, *, seed: int
) -> nn.Module:
    """A network behind a defense, its random numbers drawn from `seed`.

    A third party's defense that lets no gradient through gets a stand-in for the backward pass: its
    attribute `backward`, pixels to pixels, or the identity.

    Raises UserError where the two do not fit.
    """
    found = registry.get("defense", defense.name)
    factory, traits = found.load(), found.card.traits
    if traits.get("differentiable") is False and not traits.get("backward"):
        stand_in = getattr(factory, "backward", None)
        factory = partial(with_stand_in, factory, stand_in=stand_in)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            guarded = factory(network, **defense.settings)
    except UserError as error:
        raise error.at(f"{defense.where} {defense.label}") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"defense '{defense.label}' cannot be built: {error}",
                        where=defense.where) from error
    if not isinstance(guarded, nn.Module):
        raise VictimError(f"defense '{defense.label}' gives no torch.nn.Module",
                          where=defense.where, got=type(guarded).__name__)
    return guarded


def new_attack(attack: Item, registry: Registry) -> Attack:
    """The attack an axis item names. Raises UserError for settings it refuses."""
    factory = registry.get("attack", attack.name).load()
    settings = dict(attack.settings)
    budget = settings.pop(BUDGET, None)
    try:
        made = factory(**settings)
        if budget is not None and isinstance(made, Attack):
            made.spending(budget)
    except (TypeError, ValueError) as error:
        raise UserError(f"attack '{attack.label}': {error}", where=attack.where) from error
    if not isinstance(made, Attack):
        raise UserError(f"attack '{attack.label}' is no robench.Attack", where=attack.where,
                        got=type(made).__name__, expected="a subclass of robench.Attack")
    made.name = attack.name
    return made


def try_everything(
    ladders: Iterable[Ladder], datasets: Mapping[str, Dataset], registry: Registry
) -> None:
    """Build each network, defense and attack that is needed, and begin each recipe on each data
    set, once, before anything is made.

    Raises UserError for what cannot work: settings that are refused, a checkpoint of another
    shape, a network that gives NaN or the wrong number of logits, a data set without training
    images for a recipe or an attack that learns.
    """
    tried: set[tuple[str, ...]] = set()

    def is_new(*labels: str) -> bool:
        known = labels in tried
        tried.add(labels)
        return not known

    for ladder in ladders:
        target, training = ladder.target, ladder.target.training
        name = training.dataset.label
        dataset = datasets[name]
        if is_new("attack", name, ladder.attack.label):
            attack = new_attack(ladder.attack, registry)
            if attack.learns:
                lessons(dataset, attack.images, attack=ladder.attack, label=name)
        if is_new("victim", name, training.model.label, target.defense.label):
            _try_victim(target, dataset, registry)
        if is_new("recipe", name, training.recipe.label):
            _begin(training, dataset, registry)


def _try_victim(target: Target, dataset: Dataset, registry: Registry) -> None:
    bare = new_network(target.training, dataset, registry)
    network = defended(target.defense, bare, registry, seed=target.training.seed)
    place = target.training.model if target.defense.name == "none" else target.defense
    try:
        try_out(network, num_classes=dataset.num_classes, in_channels=dataset.in_channels,
                image_size=dataset.image_size)
    except UserError as error:
        raise error.at(f"{place.where} {place.label}") from error


class _BegunError(Exception):
    """A training got to its first epoch."""


class _NoFurther(SilentMonitor):
    """Ends a training where it would begin: its recipe has checked what it was given."""

    def load(self) -> TrainingState | None:
        raise _BegunError


def _begin(training: Training, dataset: Dataset, registry: Registry) -> None:
    """Go through a recipe up to its first epoch; not through a third party's, which may go on."""
    recipe = training.recipe
    if recipe.origin != OWN:
        return
    try:
        train(training, dataset, registry, device=torch.device("cpu"), monitor=_NoFurther())
    except _BegunError:
        return
    except UserError as error:
        raise error.at(f"{recipe.where} {recipe.label}") from error
    except Exception:  # whatever else goes wrong is recorded when the network is trained
        return
