"""What exists: the cards that ship with robench, and third parties' entry points."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from robench.errors import UserError, unknown
from robench.registry import plugins
from robench.registry.card import KINDS, Card, Kind
from robench.registry.plugins import Broken, Plugin
from robench.resources import registry_folder

OWN = "robench"


@dataclass(frozen=True)
class Entry:
    """A card and how to get the thing it describes. `origin` is the distribution's name."""

    card: Card
    origin: str
    load: Callable[[], Any]


class Registry:
    """Cards by kind and name.

    `own` are robench's cards, `found` the entry points of third parties. A name that two
    distributions claim belongs to neither.
    """

    def __init__(self, own: Mapping[tuple[Kind, str], Card], found: list[Plugin]) -> None:
        self._own = dict(own)
        self._plugins: dict[tuple[Kind, str], list[Plugin]] = defaultdict(list)
        for plugin in found:
            self._plugins[plugin.kind, plugin.name].append(plugin)

    @classmethod
    def discover(cls) -> Registry:
        """The cards of the registry folder and the entry points of what is installed."""
        return cls(own_cards(registry_folder()), plugins.find())

    def names(self, kind: Kind) -> list[str]:
        """Every name of a kind, providers as `name/*`."""
        return sorted(name for of, name in {*self._own, *self._plugins} if of == kind)

    def plugins(self) -> list[Plugin]:
        """All entry points, also those of contested names."""
        return [plugin for claims in self._plugins.values() for plugin in claims]

    def own(self, kind: Kind) -> list[Card]:
        """robench's own cards of a kind that no plugin contests."""
        cards = [card for (of, _), card in sorted(self._own.items()) if of == kind]
        return [card for card in cards if (kind, card.name) not in self._plugins]

    def contested(self) -> list[Broken]:
        """Names that two distributions claim."""
        return [
            Broken(kind, name, " and ".join(origins), "two distributions claim this name")
            for (kind, name), claims in sorted(self._plugins.items())
            if len(origins := self._origins(kind, name, claims)) > 1
        ]

    def get(self, kind: Kind, name: str, *, where: str | None = None) -> Entry:
        """The entry of a name; UserError where it is unknown, contested or cannot be loaded.

        What a catalogue that is listed whole calls a thing itself is a name of its card too:
        `art/SaliencyMapMethod` is `art/saliency-map`.
        """
        claims = self._plugins.get((kind, name), [])
        origins = self._origins(kind, name, claims)
        if len(origins) > 1:
            raise UserError(
                f"{kind} '{name}' is claimed by two distributions: {' and '.join(origins)}",
                where=where, expected="one of them uninstalled",
            )
        if claims:
            return _plugin_entry(claims[0], where)
        found = self._own.get((kind, name))
        if found is not None:
            return Entry(found, OWN, lambda: _load(found.factory))
        provider = self._own.get((kind, f"{name.partition('/')[0]}/*"))
        if provider is not None and "/" in name and name.partition("/")[2]:
            if "unfit" in provider.traits:  # all there is has a card of its own
                prefix = name.partition("/")[0]
                for card in self.own(kind):
                    if prefix in card.traits and _bare(str(card.traits[prefix])) == _bare(name):
                        return self.get(kind, card.name, where=where)
                raise self._unfit(provider, name, where)
            return _provided(provider, name)
        raise unknown(kind, name, self.names(kind), where=where)

    def _unfit(self, provider: Card, name: str, where: str | None) -> UserError:
        """Why a name of a catalogue that is listed whole is not there."""
        kind, wanted = provider.kind, _bare(name)
        reasons = {_bare(known): reason for known, reason in provider.traits["unfit"].items()}
        reason = reasons.get(wanted) or reasons.get(f"{wanted}attack")
        if reason is not None:
            return UserError(f"{kind} '{name}' does not fit an image classifier: {reason}",
                             where=where)
        return unknown(kind, name, self.names(kind), where=where)

    def _origins(self, kind: Kind, name: str, claims: list[Plugin]) -> list[str]:
        own = [OWN] if (kind, name) in self._own else []
        return own + [plugin.origin for plugin in claims]


@cache
def own_cards(folder: Path) -> Mapping[tuple[Kind, str], Card]:
    """The cards of every YAML file in the kinds' folders below `folder`."""
    cards: dict[tuple[Kind, str], Card] = {}
    for kind in KINDS:
        for path in sorted((folder / f"{kind}s").glob("*.yaml")):
            for number, fields in enumerate(_documents(path), start=1):
                try:
                    card = Card(**fields)
                except UserError as error:
                    raise error.at(f"{path} card {number}") from None
                except (ValidationError, TypeError) as error:
                    raise UserError(f"not a card: {error}", where=f"{path} card {number}") from None
                if card.kind != kind or (kind, card.name) in cards:
                    raise UserError("a card of another kind, or its second one", where=str(path),
                                    got=f"{card.kind} '{card.name}'")
                cards[kind, card.name] = card
    return cards


def _documents(path: Path) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    return loaded if isinstance(loaded, list) else [loaded]


def _plugin_entry(plugin: Plugin, where: str | None) -> Entry:
    try:
        return Entry(plugin.card(), plugin.distribution, plugin.load)
    except (Exception, SystemExit) as error:  # third parties may raise anything at import
        raise UserError(
            f"{plugin.kind} '{plugin.name}' of {plugin.origin} cannot be loaded: "
            f"{type(error).__name__}: {error}",
            where=where,
        ) from error


def _bare(name: str) -> str:
    """A name after its slash, as letters and digits alone."""
    return "".join(letter for letter in name.rpartition("/")[2].lower() if letter.isalnum())


def _provided(provider: Card, name: str) -> Entry:
    card = provider.model_copy(update={"name": name})
    chosen = name.partition("/")[2]

    def load() -> Any:
        factory = _load(provider.factory)
        return lambda *args, **settings: factory(*args, name=chosen, **settings)

    return Entry(card, OWN, load)


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
