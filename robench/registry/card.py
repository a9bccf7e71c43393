"""Cards: what is known of one thing, without loading it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from robench.errors import UserError, nearest

Kind = Literal["model", "attack", "defense", "dataset", "recipe"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_ATTRIBUTE = "__robench_card__"
_Thing = TypeVar("_Thing")


BUDGET = "budget"
"""A setting of every attack: how many forwards and backwards it may spend on an image."""

_FOR_ALL: dict[str, tuple[str, ...]] = {"attack": (BUDGET,)}


class Card(BaseModel):
    """What the registry knows of one thing.

    `factory` is an import path "module:object". `params` holds every setting with its default;
    `open_params` allows others too (a provider's). A name that ends in `/*` is a provider: it
    opens a catalogue, and its factory takes what stands after the slash as `name`. A model's card
    with `alias_of` stands for another model under a `pruning` of its own: in a matrix it is that
    model, pruned so instead of as the matrix says. `check` holds the settings that the conformance
    checks are run with, instead of defaults that would take long; `check_apart`, by the name of a
    check, those that replace some of them there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.+-]*(/([a-z0-9][A-Za-z0-9_.+-]*|\*))?$")
    kind: Kind
    summary: str
    factory: str
    version: int = Field(default=1, ge=1)
    params: dict[str, Any] = {}
    open_params: bool = False
    traits: dict[str, Any] = {}
    paper: dict[str, Any] | None = None
    published: dict[str, Any] = {}
    alias_of: str | None = None
    pruning: dict[str, Any] | None = None
    check: dict[str, Any] = {}
    check_apart: dict[str, dict[str, Any]] = {}
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _checks_fit(self) -> Self:
        """Raise UserError for settings of the checks that are none."""
        self.settings(self.check, where="check")
        for name, settings in self.check_apart.items():
            self.settings(settings, where=f"check_apart: {name}")
        return self

    @property
    def is_provider(self) -> bool:
        return self.name.endswith("/*")

    def settings(self, given: Mapping[str, Any], *, where: str | None = None) -> dict[str, Any]:
        """All settings: the defaults, overridden by `given`. Raises UserError for unfit ones."""
        known = sorted({*self.params, *_FOR_ALL.get(self.kind, ())})
        for name, value in given.items():
            if name in self.params:
                _check_type(self, name, value, where)
            elif not self.open_params and name not in known:
                raise UserError(
                    f"{self.kind} '{self.name}' has no setting '{name}'", where=where,
                    expected=f"one of {', '.join(known)}" if known else "none: it has no settings",
                    nearest=nearest(name, known),
                )
        settled = {**self.params, **given}
        return {name: _as_default(value, self.params.get(name)) for name, value in settled.items()}


def card(
    *,
    summary: str,
    version: int = 1,
    paper: Mapping[str, Any] | None = None,
    published: Mapping[str, Any] | None = None,
    traits: Mapping[str, Any] | None = None,
    check: Mapping[str, Any] | None = None,
    check_apart: Mapping[str, Mapping[str, Any]] | None = None,
    notes: tuple[str, ...] | list[str] = (),
) -> Callable[[_Thing], _Thing]:
    """Attach a card to a third party's factory or attack class.

    Raise `version` whenever results change: it is part of every key. `check` and `check_apart`
    are the settings for conformance checks, see `Card`.
    """

    def attach(thing: _Thing) -> _Thing:
        setattr(thing, _ATTRIBUTE, {
            "summary": summary, "version": version, "paper": dict(paper) if paper else None,
            "published": dict(published or {}), "traits": dict(traits or {}),
            "check": dict(check or {}),
            "check_apart": {name: dict(each) for name, each in (check_apart or {}).items()},
            "notes": tuple(notes),
        })
        return thing

    return attach


def attached(thing: object) -> dict[str, Any]:
    """What `@card` attached to a thing; empty where nothing was."""
    found = getattr(thing, _ATTRIBUTE, {})
    return dict(found)


# What a matrix may give for a default of a type: YAML writes 1.0 as 1, and has no tuples.
_ALLOWED: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a word"),
    list: ((list, tuple), "a list"),
    tuple: ((list, tuple), "a list"),
    dict: ((dict,), "a mapping"),
}


PRETRAINED = "pretrained"
"""The setting of a model that starts from weights made elsewhere: true, false or a file."""


def _check_type(card: Card, name: str, value: Any, where: str | None) -> None:
    default = card.params[name]
    if default is None or value is None:
        return
    wanted, word = _ALLOWED.get(type(default), ((type(default),), type(default).__name__))
    if name == PRETRAINED and isinstance(value, str):  # a file of weights
        return
    if name == "target" and isinstance(value, int) and not isinstance(value, bool):  # a class
        return
    if not isinstance(value, wanted) or isinstance(value, bool) != isinstance(default, bool):
        file = ", or a file's path" if name == PRETRAINED else ""
        raise UserError(f"{card.kind} '{card.name}', setting '{name}'", where=where, got=value,
                        expected=f"{word}{file} (the default is {default!r})")


def _as_default(value: Any, default: Any) -> Any:
    as_float = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
    return float(value) if as_float else value
