"""Axis items: how a matrix names a thing, with its settings and its label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from robench.errors import UserError, nearest
from robench.keys import canonical
from robench.matrix.document import Document
from robench.matrix.numbers import UNBOUNDED, Epsilon, epsilons
from robench.registry import OWN, PRETRAINED, Card, Kind, Registry

WORST_CASE = "worst-case"


@dataclass(frozen=True)
class Item:
    """One thing on an axis.

    `name` is the thing's own, also where the matrix uses an alias of it. `settings` are all its
    settings, `given` those the matrix names. `checkpoint` is the file of a model's own weights;
    `epsilons` are those of an attack that does not take the matrix's.
    """

    kind: Kind
    name: str
    label: str
    card: Card
    origin: str
    settings: Mapping[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    epsilons: tuple[Epsilon, ...] | None = None
    where: str = ""

    @property
    def norm(self) -> str:
        """Of an attack: the norm its epsilons are measured in."""
        return str(self.settings.get("norm") or self.card.traits.get("norm") or "linf")

    @property
    def files(self) -> dict[str, str]:
        """The files of weights it starts from, by the setting that names them."""
        own = self.settings if self.origin == OWN else {}
        named = {"checkpoint": own.get("checkpoint") if self.kind == "defense" else self.checkpoint,
                 PRETRAINED: own.get(PRETRAINED) if self.kind == "model" else None}
        return {name: path for name, path in named.items() if isinstance(path, str)}

    def meaning(self, digests: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What of it belongs into a key: never its label, nor any path.

        `digests` holds the sha256 of each of its `files`, which stands for the path.
        """
        files = {name: (digests or {})[path] for name, path in self.files.items()
                 if name in self.settings}
        return {"name": self.name, "origin": self.origin, "version": self.card.version,
                "settings": {**self.settings, **files}}


def axis(document: Document, key: str, kind: Kind, registry: Registry,
         entries: Sequence[Any]) -> tuple[Item, ...]:
    """The items of one axis, each with a label of its own."""
    items = [
        _item(entry, kind, registry, document.place(key, index))
        for index, entry in enumerate(entries)
    ]
    if kind == "attack":
        items = [
            _with_epsilons(item, entry, document, (key, index, "epsilons"))
            for index, (item, entry) in enumerate(zip(items, entries, strict=True))
        ]
    return _labelled(items)


def _with_epsilons(
    item: Item, entry: Any, document: Document, place: tuple[str | int, ...]
) -> Item:
    """An attack with the epsilons it runs at, where these are not the matrix's.

    Pixels are counted in other units than the matrix's epsilons: a search for the fewest of them
    runs once, and any other L0 attack needs epsilons of its own.
    """
    asked = entry.get("epsilons") if isinstance(entry, Mapping) else None
    if asked is not None:
        if item.card.traits.get("bounded") is False:
            raise UserError(f"attack '{item.name}' keeps to no ball", where=item.where,
                            got=f"epsilons: {asked}",
                            expected="no epsilons: it runs once, and its settings are its limits")
        if not isinstance(asked, list) or not asked:
            raise UserError("epsilons", where=item.where, got=asked,
                            expected="a list of at least one")
        return replace(item, epsilons=epsilons(document, asked, place=place, norm=item.norm))
    if item.norm != "l0":
        return item
    if item.card.traits.get("budget") == "minimum":
        return replace(item, epsilons=(UNBOUNDED,))
    raise UserError(f"attack '{item.name}' counts pixels (norm l0)", where=item.where,
                    expected=f"epsilons of its own, as in {{{item.name}: {{}}, epsilons: [1, 5]}}")


def _item(entry: Any, kind: Kind, registry: Registry, where: str) -> Item:
    name, given, label = _parts(entry, kind, where)
    found = registry.get(kind, name, where=where)
    name = found.card.name
    checkpoint = None
    if kind == "model" and "checkpoint" in given:
        given = dict(given)
        checkpoint = given.pop("checkpoint")
        if not isinstance(checkpoint, str):
            raise UserError("checkpoint", where=where, got=checkpoint, expected="a file's path")
    settings = found.card.settings(given, where=where)
    try:
        canonical(settings)
    except TypeError as error:
        raise UserError(f"a setting of {kind} '{name}': {error}", where=where,
                        expected="words, finite numbers, true, false, null, or lists and "
                                 "mappings of them") from None
    if found.card.is_provider:
        provider = name.partition("/")[0]
        raise UserError(f"'{name}' opens a catalogue and is no {kind}", where=where,
                        expected=f"a name after the slash, as in {provider}/NAME")
    if kind == "model" and found.card.traits.get("task") == "segmentation":
        raise UserError(f"model '{name}' gives masks, and a matrix holds classifiers", where=where,
                        expected="robench.segmentation, from Python")
    if label == WORST_CASE:
        raise UserError(f"the label '{WORST_CASE}' is taken by the row over all attacks",
                        where=where)
    alias = found.card.alias_of
    return Item(kind=kind, name=alias or name, label=label or (name if alias else ""),
                card=found.card, origin=found.origin, settings=settings, given=given,
                checkpoint=checkpoint, where=where)


def _parts(entry: Any, kind: Kind, where: str) -> tuple[str, dict[str, Any], str | None]:
    if isinstance(entry, str):
        return entry, {}, None
    shape = f"a name, or {{name: {{setting: value}}}}, with an optional label ({kind})"
    if not isinstance(entry, Mapping):
        raise UserError("not an axis item", where=where, got=entry, expected=shape)
    rest = dict(entry)
    label = rest.pop("label", None)
    if kind == "attack":
        rest.pop("epsilons", None)
    if label is not None and (not isinstance(label, str) or not label.strip()):
        raise UserError("label", where=where, got=label, expected="a word")
    if len(rest) != 1:
        raise UserError("not an axis item", where=where, got=dict(entry), expected=shape)
    ((name, given),) = rest.items()
    given = {} if given is None else given
    if not isinstance(name, str) or not isinstance(given, Mapping):
        raise UserError("not an axis item", where=where, got=dict(entry), expected=shape)
    return name, dict(given), label


def _labelled(items: list[Item]) -> tuple[Item, ...]:
    """Label by name where that says it, else by name and the settings given."""
    names = Counter(item.name for item in items if not item.label)
    labelled = [
        item if item.label else replace(
            item, label=item.name if names[item.name] == 1 else _detailed(item)
        )
        for item in items
    ]
    seen: dict[str, Item] = {}
    for item in labelled:
        sizes = None if item.epsilons is None else [each.text for each in item.epsilons]
        same = canonical([item.name, item.settings, item.checkpoint, item.card.pruning, sizes])
        for sign in (f"label {item.label}", same):
            first = seen.setdefault(sign, item)
            if first is not item:
                raise UserError(f"'{item.label}' stands twice on the axis", where=item.where,
                                expected=f"each item once (first at {first.where})")
    return tuple(labelled)


def _detailed(item: Item) -> str:
    given = {**item.given, **({"checkpoint": item.checkpoint} if item.checkpoint else {})}
    inside = ", ".join(f"{name}={value}" for name, value in given.items())
    return f"{item.name}({inside})" if inside else item.name


def known_label(value: Any, items: Sequence[Item], axis_name: str, where: str) -> str:
    """`value` where it is the label or name of an item, else the error that names the nearest."""
    names = {name for item in items for name in (item.label, item.name)}
    if isinstance(value, str) and value in names:
        return value
    raise UserError(f"no {axis_name} of this matrix is called '{value}'", where=where,
                    nearest=nearest(str(value), names),
                    expected=f"one of {', '.join(sorted(names))}")
