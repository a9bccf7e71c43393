"""The checks of what is registered: by a distribution's name, or a thing's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING, Any

from robench.errors import UserError, unknown
from robench.registry import KINDS, Card, Kind, Registry
from robench.registry.registry import OWN
from robench.testing.attack import attack_checks
from robench.testing.core import Check, NotApplicable, Violation, attempt
from robench.testing.dataset import dataset_checks
from robench.testing.defense import defense_checks
from robench.testing.model import model_checks
from robench.testing.recipe import recipe_checks
from robench.testing.stated import refusal, written

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Thing:
    """Something the registry knows by name; it need not load."""

    kind: Kind
    name: str
    origin: str


def find(registry: Registry, asked: str | None) -> list[Thing]:
    """What `asked` means: all things of a distribution, or of a name, as `attack/NAME` of a kind.

    None means everything of third parties. Raises UserError for what is not known.
    """
    plugins = registry.plugins()
    if asked is None:
        return _things(_plugin_names(registry), registry)
    of_distribution = [(plugin.kind, plugin.name) for plugin in plugins
                       if _canonical(plugin.distribution) == _canonical(asked)]
    named = of_distribution or _named(registry, asked)
    if not named:
        raise _unknown(registry, asked)
    return _things(named, registry)


def check_registered(
    registry: Registry, thing: Thing, *, defaults: bool = False
) -> Iterator[Check]:
    """Load one thing and check it, each check as it ends: with the settings that its card states
    for the checks, or with its `defaults`."""
    loaded: list[tuple[Card, Any]] = []

    def load() -> str:
        try:
            entry = registry.get(thing.kind, thing.name)
        except UserError as error:
            raise Violation(refusal(error)) from error
        loaded.append((entry.card, entry.load()))
        with_settings = settings_of(entry.card, defaults)
        return entry.card.factory + (f" with {written(with_settings)}" if with_settings else "")

    first = attempt("loads", load)
    yield first
    if not loaded:
        return
    card, made = loaded[0]
    params = settings_of(card, defaults)
    if card.traits.get("task") == "segmentation":
        yield attempt("logits", _gives_masks)
    elif card.kind == "recipe":
        yield from recipe_checks(made, params, card.traits, network=fitting(registry, card))
    elif card.kind == "attack":
        apart = {} if defaults else card.check_apart
        yield from attack_checks(made, params, card.traits, apart=apart)
    else:
        yield from _CHECKS[thing.kind](made, params, card.traits)


def settings_of(card: Card, defaults: bool) -> dict[str, Any]:
    """What a card's thing is checked with; what is left out is its default."""
    return {} if defaults else card.check


def _gives_masks() -> str:
    raise NotApplicable("it gives masks: this suite is for classifiers")


def fitting(
    registry: Registry, recipe: Card, **settings: Any
) -> Callable[..., nn.Module] | None:
    """A factory of the first model that a recipe's trait `fits` names, None where it fits all."""
    names = recipe.traits.get("fits")
    if not names:
        return None
    entry = registry.get("model", names[0])
    return partial(entry.load(), **entry.card.settings(settings))


_CHECKS: dict[Kind, Callable[[Any, Mapping[str, Any], Mapping[str, Any]], Iterator[Check]]] = {
    "model": model_checks,
    "defense": defense_checks,
    "dataset": lambda made, params, traits: dataset_checks(made, params),
}


def _plugin_names(registry: Registry) -> list[tuple[Kind, str]]:
    """Kind and name of every entry point, contested ones once."""
    return list(dict.fromkeys((plugin.kind, plugin.name) for plugin in registry.plugins()))


def _named(registry: Registry, asked: str) -> list[tuple[Kind, str]]:
    first, _, rest = asked.partition("/")
    kinds = [kind for kind in KINDS if kind == first and rest]
    name = rest if kinds else asked
    return [(kind, name) for kind in kinds or KINDS if _is_known(registry, kind, name)]


def _is_known(registry: Registry, kind: Kind, name: str) -> bool:
    names = registry.names(kind)
    provider, _, chosen = name.partition("/")
    return not name.endswith("/*") and (
        name in names or bool(chosen and f"{provider}/*" in names)
    )


def _things(named: list[tuple[Kind, str]], registry: Registry) -> list[Thing]:
    origins = {(plugin.kind, plugin.name): plugin.origin for plugin in registry.plugins()}
    origins |= {(broken.kind, broken.name): broken.origin for broken in registry.contested()}
    return [Thing(kind, name, origins.get((kind, name), OWN)) for kind, name in named]


def _unknown(registry: Registry, asked: str) -> UserError:
    try:
        installed = distribution(asked).name
    except (PackageNotFoundError, ValueError):
        distributions = {plugin.distribution for plugin in registry.plugins()}
        names = {name for kind in KINDS for name in registry.names(kind)}
        kinds = {f"{kind}/{name}" for kind in KINDS for name in registry.names(kind)}
        return unknown("plugin", asked, distributions | (kinds if "/" in asked else names))
    groups = ", ".join(f"robench.{kind}s" for kind in KINDS)
    return UserError(f"'{installed}' is installed, but is no plugin of robench",
                     expected=f"entry points in one of the groups {groups}")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
