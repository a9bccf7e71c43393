"""Networks and victims of a plan: built, tried out, trained, pruned, defended."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import safetensors.torch
import torch
from torch import nn

from robench.attacks.base import Attack
from robench.data import Dataset
from robench.defenses.pruning import Size, prune_network, size, targets
from robench.defenses.through import with_stand_in
from robench.errors import UserError, VictimError
from robench.matrix import Item, Pruning
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
    network = new_network(training, dataset, registry)
    network = run_recipe(network, training, dataset, registry, device=device, monitor=monitor)
    return saved(network, training)


def run_recipe(
    network: nn.Module, training: Training, dataset: Dataset, registry: Registry, *,
    device: torch.device, monitor: Monitor,
) -> nn.Module:
    """A network that a training's recipe has trained."""
    network = network.to(device)
    recipe = registry.get("recipe", training.recipe.name).load()
    settings = dict(training.recipe.settings)
    if "monitor" in inspect.signature(recipe).parameters:
        settings["monitor"] = monitor
    trained = recipe(network, dataset, device=device, seed=training.seed, **settings)
    return trained if isinstance(trained, nn.Module) else network


def saved(network: nn.Module, training: Training) -> bytes:
    """A network's weights, as the bytes of a safetensors file."""
    weights = {name: tensor.detach().cpu().contiguous()
               for name, tensor in network.state_dict().items()}
    made_by = {"model": training.model.name, "recipe": training.recipe.name, "key": training.key}
    return safetensors.torch.save(weights, metadata={"robench": json.dumps(made_by)})


def target_network(
    target: Target, weights: bytes, dataset: Dataset, registry: Registry
) -> tuple[nn.Module, Size]:
    """(the trained, pruned and defended network, what pruning has left of it), on the CPU.

    `weights` are those of the target's checkpoint: of the trained network, which is pruned here, or
    of one that was remade after its pruning.
    """
    network = new_network(target.training, dataset, registry)
    network.load_state_dict(safetensors.torch.load(weights))
    if target.remaking is None:
        prune_at(network, target.pruning, target.pruning.steps(target.rate))
    left = size(network)
    return defended(target.defense, network, registry, seed=target.training.seed), left


def prune_at(
    network: nn.Module, pruning: Pruning, rates: Sequence[float], *, pruned_before: bool = False
) -> Size:
    """Prune a network in place, as a matrix says, at rates that follow one another."""
    return prune_network(
        network, rates, method=pruning.method, scope=pruning.scope, layers=pruning.layers,
        pruned_before=pruned_before,
    )


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


def try_attacks(ladders: Iterable[Ladder], registry: Registry) -> None:
    """Make each attack that is named, once. Raises UserError for settings that one refuses."""
    for attack in {ladder.attack.label: ladder.attack for ladder in ladders}.values():
        new_attack(attack, registry)


def try_everything(
    ladders: Iterable[Ladder], datasets: Mapping[str, Dataset], registry: Registry
) -> None:
    """Build each network, defense and attack that is needed, and begin each recipe on each data
    set, once, before anything is made.

    Raises UserError for what cannot work: settings that are refused, a checkpoint of another
    shape, a network that gives NaN or the wrong number of logits or has nothing to prune, a data
    set without training images for a recipe or an attack that learns.
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
        if target.rate and is_new("pruning", name, training.model.label):
            _try_pruning(target, dataset, registry)
        if is_new("recipe", name, training.recipe.label):
            _begin(training, dataset, registry)
        again = target.remaking and target.remaking.retraining
        if again and is_new("retraining", name, training.recipe.label, str(target.pruning.retrain)):
            _begin(again, dataset, registry)


def _try_victim(target: Target, dataset: Dataset, registry: Registry) -> None:
    bare = new_network(target.training, dataset, registry)
    network = defended(target.defense, bare, registry, seed=target.training.seed)
    place = target.training.model if target.defense.name == "none" else target.defense
    try:
        try_out(network, num_classes=dataset.num_classes, in_channels=dataset.in_channels,
                image_size=dataset.image_size)
    except UserError as error:
        raise error.at(f"{place.where} {place.label}") from error


def _try_pruning(target: Target, dataset: Dataset, registry: Registry) -> None:
    pruning, model = target.pruning, target.training.model
    try:
        targets(new_network(target.training, dataset, registry), method=pruning.method,
                layers=pruning.layers)
    except UserError as error:
        raise error.at(f"{model.where} {model.label}") from error


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
