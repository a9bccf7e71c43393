"""Networks and victims of a plan: built, tried out, trained, pruned, defended."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping

import safetensors.torch
import torch
from torch import nn

from robench.attacks.base import Attack
from robench.data import Dataset
from robench.defenses.pruning import prune_l1
from robench.errors import UserError, VictimError
from robench.matrix import Item
from robench.models.build import build, try_out
from robench.plan import Ladder, Target, Training
from robench.registry import Registry
from robench.runner.prepare import checkpoint_path
from robench.training.monitor import Monitor


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
    sparsity = prune_l1(network, rate=target.rate, scope=target.pruning.scope)
    return defended(target.defense, network, registry), sparsity


def defended(defense: Item, network: nn.Module, registry: Registry) -> nn.Module:
    """A network behind a defense. Raises UserError where the two do not fit."""
    try:
        guarded = registry.get("defense", defense.name).load()(network, **defense.settings)
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
    try:
        made = factory(**attack.settings)
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
    """Build each network, defense and attack that is needed, once, before anything is made.

    Raises UserError for what cannot work: settings that are refused, a checkpoint of another
    shape, a network that gives NaN or the wrong number of logits.
    """
    tried: set[str] = set()
    for ladder in ladders:
        target, training = ladder.target, ladder.target.training
        if ladder.attack.label not in tried:
            new_attack(ladder.attack, registry)
            tried.add(ladder.attack.label)
        combination = "\0".join(
            (training.dataset.label, training.model.label, target.defense.label)
        )
        if combination in tried:
            continue
        tried.add(combination)
        dataset = datasets[training.dataset.label]
        network = defended(target.defense, new_network(training, dataset, registry), registry)
        place = training.model if target.defense.name == "none" else target.defense
        try:
            try_out(network, num_classes=dataset.num_classes, in_channels=dataset.in_channels,
                    image_size=dataset.image_size)
        except UserError as error:
            raise error.at(f"{place.where} {place.label}") from error
