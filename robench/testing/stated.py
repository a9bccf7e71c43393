"""What a thing says of itself: its settings, and what its card and attributes promise."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from robench.errors import UserError
from robench.registry.card import Kind, attached
from robench.registry.plugins import GIVEN_BY_ROBENCH
from robench.testing.core import Violation, expect, told

_ATTRIBUTES: dict[Kind, tuple[str, ...]] = {
    "attack": ("norm", "budget", "access"),
    "defense": ("differentiable", "stochastic"),
}
_WRITABLE = "null, true or false, a number, a word, a list or a mapping of these"


def traits_of(thing: Any, kind: Kind) -> dict[str, Any]:
    """The attributes that count for its kind, and the traits of an attached card."""
    stated = {name: getattr(thing, name) for name in _ATTRIBUTES.get(kind, ())
              if hasattr(thing, name)}
    return {**stated, **attached(thing).get("traits", {})}


def checked_with(thing: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings to check a thing with: those its attached card states for it, and `given`."""
    return {**attached(thing).get("check", {}), **given}


def written(settings: Mapping[str, Any]) -> str:
    """Settings in one line, as `steps=5, norm=l2`."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def check_settings(
    thing: Any, kind: Kind, given: Mapping[str, Any], *, keyword_only: bool = False
) -> str:
    """The settings have defaults, and those can be written in a matrix; they are named."""
    names = []
    for parameter in inspect.signature(thing).parameters.values():
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.name in GIVEN_BY_ROBENCH[kind] or variadic:
            continue
        names.append(parameter.name)
        by_name = parameter.kind is parameter.KEYWORD_ONLY or (
            not keyword_only and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        )
        expect(by_name, f"setting '{parameter}' that is not keyword-only",
               "(*, setting=default): robench passes settings by name")
        if parameter.name in given:
            continue
        expect(parameter.default is not parameter.empty,
               f"setting '{parameter.name}' without a default", "a default for every setting")
        expect(_is_writable(parameter.default),
               f"setting '{parameter.name}' with default {parameter.default!r}", _WRITABLE)
    return ", ".join(names) or "none"


def refusal(error: UserError) -> str:
    """A UserError as the reason for which a thing declines what it was offered."""
    return told(error).removeprefix(f"{type(error).__name__}: ")


def check_traits(traits: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Raise a Violation where a card's traits are not what the thing is."""
    for name, fact in facts.items():
        if name in traits and traits[name] != fact:
            raise Violation(f"its card says {name}: {traits[name]}, but it is {fact}")


def _is_writable(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_writable(item) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(_is_writable(item) for item in value)
    return value is None or type(value) in (bool, int, float, str)
