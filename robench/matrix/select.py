"""`exclude`: combinations that a matrix leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robench.errors import UserError, nearest
from robench.matrix.document import Document
from robench.matrix.items import known_label

_AXES = {"dataset": "datasets", "model": "models", "recipe": "recipes", "defense": "defenses",
         "attack": "attacks"}
_NUMBERS = {"pruning_rate": "pruning_rates", "epsilon": "epsilons", "seed": "seeds"}
_KEYS = (*_AXES, *_NUMBERS, "threat")


@dataclass(frozen=True)
class Exclusion:
    """A cell is left out where it has all of `wanted`: labels or names, numbers, a threat."""

    wanted: Mapping[str, Any]

    def matches(self, cell: Mapping[str, Any]) -> bool:
        return all(self._matches(key, value, cell[key]) for key, value in self.wanted.items())

    @staticmethod
    def _matches(key: str, value: Any, has: Any) -> bool:
        if key in _AXES:
            return value in (has.label, has.name)
        return value in has if key == "threat" else bool(value == has)


def exclusions(
    document: Document, asked: Sequence[Any], axes: Mapping[str, Any]
) -> tuple[Exclusion, ...]:
    """The entries of `exclude`. Raises UserError for one that can match nothing."""
    return tuple(
        _exclusion(document, index, entry, axes) for index, entry in enumerate(asked)
    )


def _exclusion(document: Document, index: int, entry: Any, axes: Mapping[str, Any]) -> Exclusion:
    where = document.place("exclude", index)
    if not isinstance(entry, Mapping) or not entry:
        raise UserError("not an exclusion", where=where, got=entry,
                        expected="{axis: name, …}, as in {model: resnet18, attack: pgd}")
    wanted: dict[str, Any] = {}
    for key, value in entry.items():
        place = document.place("exclude", index, str(key))
        if key in _AXES:
            wanted[key] = known_label(value, axes[_AXES[key]], key, place)
        elif key in (*_NUMBERS, "threat"):
            wanted[key] = _known_value(key, value, axes, place)
        else:
            raise UserError(f"unknown axis '{key}'", where=place,
                            nearest=nearest(str(key), _KEYS),
                            expected=f"one of {', '.join(_KEYS)}")
    return Exclusion(wanted)


def _known_value(key: str, value: Any, axes: Mapping[str, Any], where: str) -> Any:
    if key == "epsilon":
        for epsilon in axes["epsilons"]:
            if value == epsilon.value or str(value).strip() == epsilon.text:
                return epsilon.value
        known = [epsilon.text for epsilon in axes["epsilons"]]
    else:
        known = (list(axes[_NUMBERS[key]]) if key in _NUMBERS else
                 [name for threat in axes["threats"] for name in {threat.kind, threat.label}])
        if value in known and not isinstance(value, bool):
            return value
    raise UserError(f"no {key} of this matrix is {value!r}", where=where,
                    expected=f"one of {', '.join(str(item) for item in known)}")
