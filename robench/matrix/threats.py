"""The threat axis: what an attack sees of its victim, or on what its images are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from robench.errors import UserError, nearest
from robench.matrix.document import Document
from robench.matrix.items import Item, known_label

Kind = Literal["white-box", "grey-box", "black-box", "transfer"]
PLAIN: tuple[Kind, ...] = ("white-box", "grey-box", "black-box")
ITSELF = "itself"
EVERY = "all"
_KEYS = ("surrogate", "recipe", "pruning_rate")


@dataclass(frozen=True)
class Threat:
    """White-box: the attack sees all of the victim, its defense included. Grey-box: it sees the
    network without the defense, and its images are then shown to the victim. Black-box: it sees
    scores or decisions. Transfer: its images are made on a `surrogate`, a model's label or
    "itself", trained by `recipe` (None: as the victim is) and pruned at `pruning_rate`.
    """

    kind: Kind
    surrogate: str | None = None
    recipe: str | None = None
    pruning_rate: float = 0.0

    @property
    def label(self) -> str:
        """How `exclude` and the record of a run name it."""
        return self.kind if self.surrogate is None else f"transfer from {self.surrogate}"

    def asked(self) -> Any:
        """As a matrix writes it."""
        if self.kind != "transfer":
            return self.kind
        recipe = {} if self.recipe is None else {"recipe": self.recipe}
        rate = {"pruning_rate": self.pruning_rate} if self.pruning_rate else {}
        return {"transfer": {"surrogate": self.surrogate, **recipe, **rate}}


def threats(
    document: Document, asked: Sequence[Any], *, models: Sequence[Item],
    recipes: Sequence[Item], rates: Sequence[float],
) -> tuple[Threat, ...]:
    """The threats of a matrix, `surrogate: all` as one for each model.

    Raises UserError for an unknown word, a surrogate that is none of the models, a recipe or a
    pruning rate that the matrix does not have, and a threat that stands twice.
    """
    found: list[Threat] = []
    for index, entry in enumerate(asked):
        where = document.place("threats", index)
        for threat in _threats(entry, where, models, recipes, rates):
            if threat in found:
                raise UserError(f"'{threat.label}' stands twice on the axis", where=where)
            found.append(threat)
    return tuple(found)


def _threats(
    entry: Any, where: str, models: Sequence[Item], recipes: Sequence[Item],
    rates: Sequence[float],
) -> list[Threat]:
    for kind in PLAIN:
        if entry == kind:
            return [Threat(kind)]
    if not isinstance(entry, Mapping) or set(entry) != {"transfer"}:
        named = entry if isinstance(entry, str) else next(iter(entry), "") if entry else ""
        raise UserError(f"unknown threat {entry!r}", where=where,
                        expected=f"{', '.join(PLAIN)}, or {{transfer: {{surrogate: MODEL}}}}",
                        nearest=nearest(str(named), (*PLAIN, "transfer")))
    settings = entry["transfer"]
    if not isinstance(settings, Mapping) or "surrogate" not in settings:
        raise UserError("a transfer names its surrogate", where=where, got=settings,
                        expected="as in {transfer: {surrogate: resnet34}}")
    for key in settings:
        if key not in _KEYS:
            raise UserError(f"unknown key '{key}' of a transfer", where=where,
                            expected=f"one of {', '.join(_KEYS)}", nearest=nearest(str(key), _KEYS))
    recipe = settings.get("recipe")
    if recipe is not None:
        recipe = known_label(recipe, recipes, "recipe", where)
    rate = settings.get("pruning_rate", 0.0)
    if isinstance(rate, bool) or rate not in (0.0, *rates):
        raise UserError("pruning_rate of the surrogate", where=where, got=rate,
                        expected=f"0, or one of the matrix's: {', '.join(map(str, rates))}")
    surrogate = settings["surrogate"]
    if surrogate == EVERY:
        return [Threat("transfer", model.label, recipe, float(rate)) for model in models]
    if surrogate != ITSELF:
        labels = [item.label for item in models]
        surrogate = next((item.label for item in models if surrogate in (item.label, item.name)),
                         None)
        if surrogate is None:
            raise UserError("the surrogate is none of the models", where=where,
                            got=settings["surrogate"],
                            expected=f"{', '.join(labels)}, {ITSELF} or {EVERY}",
                            nearest=nearest(str(settings["surrogate"]), labels))
    return [Threat("transfer", surrogate, recipe, float(rate))]
