"""What was asked: a matrix, read strictly, with every default written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robench.errors import UserError, nearest
from robench.matrix.document import Document
from robench.matrix.items import Item, axis
from robench.matrix.numbers import Epsilon, epsilons, seeds
from robench.matrix.pruning import Pruning, pruning
from robench.matrix.select import Exclusion, exclusions
from robench.matrix.threats import Threat, threats
from robench.registry import Kind, Registry
from robench.resources import matrices_folder


class _Pruning(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    method: str = "l1"
    scope: str = "global"
    schedule: str = "one-shot"
    layers: str | None = None
    retrain: int = Field(default=0, ge=0)
    reestimate_batchnorm: bool = False
    rates: list[Any] = Field(default=[0], min_length=1)


class _Asked(BaseModel):
    """The keys of a matrix file and the rough shape of their values."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    datasets: list[Any] = Field(min_length=1)
    models: list[Any] = Field(min_length=1)
    recipes: list[Any] | None = Field(default=None, min_length=1)
    pruning: _Pruning = _Pruning()
    defenses: list[Any] = Field(default=["none"], min_length=1)
    attacks: list[Any] = Field(min_length=1)
    epsilons: list[Any] = Field(default=["8/255"], min_length=1)
    threats: list[Any] = Field(default=["white-box"], min_length=1)
    seeds: list[Any] = Field(default=[0], min_length=1)
    samples: int | None = Field(default=None, ge=1)
    ladder: bool = True
    draws: int = Field(default=10, ge=1)
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    exclude: list[Any] = []


@dataclass(frozen=True)
class Matrix:
    """A matrix whose names exist and whose values are in range.

    `recipes` is None where the matrix names none: networks are then trained by `standard`, and
    those with a checkpoint of their own are taken as they are. `draws`: how often a victim that
    draws random numbers is asked for each answer.
    """

    name: str
    datasets: tuple[Item, ...]
    models: tuple[Item, ...]
    recipes: tuple[Item, ...] | None
    default_recipes: tuple[Item, Item]
    no_defense: Item
    pruning: Pruning
    defenses: tuple[Item, ...]
    attacks: tuple[Item, ...]
    epsilons: tuple[Epsilon, ...]
    threats: tuple[Threat, ...]
    seeds: tuple[int, ...]
    samples: int | None
    ladder: bool
    draws: int
    precision: str
    exclude: tuple[Exclusion, ...]
    source: str

    def recipes_for(self, model: Item) -> tuple[Item, ...]:
        """The recipes a model is run with."""
        if self.recipes is not None:
            return self.recipes
        standard, none = self.default_recipes
        return (none if model.checkpoint else standard,)

    def pruning_of(self, model: Item) -> Pruning:
        """How a model is pruned: as the matrix says, or as the model's alias does."""
        return pruned(model, self.pruning)

    def epsilons_of(self, attack: Item) -> tuple[Epsilon, ...]:
        """What an attack is run at: its own epsilons, or the matrix's."""
        return attack.epsilons or self.epsilons

    def excluded(self, **cell: Any) -> bool:
        """Whether an `exclude` entry names this combination (labels, names or numbers)."""
        return any(exclusion.matches(cell) for exclusion in self.exclude)


def load(matrix: str | Path | Mapping[str, Any], registry: Registry) -> Matrix:
    """A matrix from a file, the name of a shipped one, or a mapping made in Python."""
    if isinstance(matrix, Mapping):
        return parse(Document.of(dict(matrix)), registry)
    return parse(Document.read(find(matrix)), registry)


def find(matrix: str | Path) -> Path:
    """The file that `matrix` names: a path, or a shipped matrix without its ending."""
    path = Path(matrix).expanduser()
    if path.is_file():
        return path
    shipped = {file.stem: file for file in sorted(matrices_folder().glob("*.yaml"))}
    if str(matrix) in shipped:
        return shipped[str(matrix)]
    if path.is_dir():
        raise UserError("the matrix is a folder", where=str(path), expected="a YAML file")
    beside = nearest(path.name, [file.name for file in path.parent.glob("*.y*ml")])
    raise UserError(
        "no such matrix file, nor a shipped matrix of that name", got=str(matrix),
        expected=f"a file, or one of {', '.join(shipped)}",
        nearest=str(path.with_name(beside)) if beside else nearest(str(matrix), shipped),
    )


def parse(document: Document, registry: Registry) -> Matrix:
    """Check a document against the registry. Raises UserError with the place in it."""
    asked = _shape(document)

    def items(key: str, kind: Kind, entries: Sequence[Any]) -> tuple[Item, ...]:
        return axis(document, key, kind, registry, entries)

    axes: dict[str, Any] = {
        "datasets": items("datasets", "dataset", asked.datasets),
        "models": items("models", "model", asked.models),
        "recipes": items("recipes", "recipe", asked.recipes) if asked.recipes else None,
        "defenses": items("defenses", "defense", asked.defenses),
        "attacks": items("attacks", "attack", asked.attacks),
        "epsilons": epsilons(document, asked.epsilons),
        "seeds": seeds(document, asked.seeds),
    }
    standard, none = items("recipes", "recipe", ["standard", "none"])
    asked_pruning = pruning(document, asked.pruning.model_dump())
    every_epsilon = {
        epsilon.value: epsilon for attack in axes["attacks"]
        for epsilon in (*axes["epsilons"], *(attack.epsilons or ()))
    }
    every_rate = sorted({rate for model in axes["models"]
                         for rate in pruned(model, asked_pruning).rates})
    implied = axes["recipes"] or (standard, none)
    axes["threats"] = threats(document, asked.threats, models=axes["models"], recipes=implied,
                              rates=every_rate)
    return Matrix(
        name=asked.name, **axes, default_recipes=(standard, none),
        no_defense=items("defenses", "defense", ["none"])[0], draws=asked.draws,
        pruning=asked_pruning,
        samples=asked.samples, ladder=asked.ladder, precision=asked.precision,
        source=document.source,
        exclude=exclusions(document, asked.exclude,
                           {**axes, "recipes": implied, "pruning_rates": every_rate,
                            "epsilons": tuple(every_epsilon.values())}),
    )


def _shape(document: Document) -> _Asked:
    data = document.data
    if not isinstance(data, Mapping):
        raise UserError("not a matrix", where=document.source, got=data,
                        expected="keys such as name, datasets, models, attacks")
    if "include" in data:
        raise UserError("several matrices in one: it includes others",
                        where=document.place("include"),
                        expected="one of them; from Python, robench.run_all runs them all")
    try:
        return _Asked(**{str(key): value for key, value in data.items()})
    except ValidationError as error:
        # A key that is unknown is often the reason why another one is missing.
        first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        path = tuple(part for part in first["loc"] if isinstance(part, (str, int)))
        raise _explained(document, first, path) from None


def _explained(document: Document, fault: Any, path: tuple[str | int, ...]) -> UserError:
    key = str(path[-1])
    known = _Pruning.model_fields if path[0] == "pruning" else _Asked.model_fields
    if fault["type"] == "extra_forbidden":
        return UserError(f"unknown key '{key}'", where=document.place(*path),
                         nearest=nearest(key, known), expected=f"one of {', '.join(known)}")
    if fault["type"] == "missing":
        return UserError(f"the key '{key}' is missing", where=document.source)
    if fault["type"] == "too_short":
        return UserError("an empty axis", where=document.place(*path),
                         expected="at least one item")
    if fault["type"] == "string_pattern_mismatch":
        return UserError("the name", where=document.place(*path), got=fault["input"],
                         expected="letters, digits, '-', '_' and '.'")
    if fault["type"] == "greater_than_equal":
        return UserError(f"the {key}", where=document.place(*path), got=fault["input"],
                         expected=f"a whole number ≥ {fault['ctx']['ge']}")
    if fault["type"] == "literal_error":
        return UserError(f"the {key}", where=document.place(*path), got=fault["input"],
                         expected=fault["ctx"]["expected"].replace("'", ""))
    if fault["type"] == "list_type":
        return UserError("not a list", where=document.place(*path), got=fault["input"],
                         expected=f"a list, as in {key}: [ … ]")
    if fault["type"] == "model_type":
        return UserError("not a mapping", where=document.place(*path), got=fault["input"],
                         expected="a mapping, as in pruning: {rates: [0, 0.5]}")
    return UserError(f"unfit value: {fault['msg'].lower()}", where=document.place(*path),
                     got=fault["input"])


def pruned(model: Item, otherwise: Pruning) -> Pruning:
    """The pruning that a model's alias stands for, or what the matrix asks for."""
    stated = model.card.pruning
    if stated is None:
        return otherwise
    return Pruning.of(stated)
