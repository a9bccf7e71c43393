"""What there is to do: Matrix × what the data sets hold → cells and the artifacts they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from robench import versions
from robench.errors import UserError
from robench.keys import key_of
from robench.matrix import Epsilon, Item, Matrix, Pruning


@dataclass(frozen=True)
class DataFacts:
    """What a plan needs to know of a data set. `fingerprint` is the hash of all it holds."""

    fingerprint: str
    num_classes: int
    in_channels: int
    image_size: tuple[int, int]
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Training:
    """A network trained on a data set: the artifact `checkpoint`."""

    key: str
    dataset: Item
    model: Item
    recipe: Item
    seed: int

    @property
    def label(self) -> str:
        return f"{self.model.label} · {self.recipe.label} · {self.dataset.label}"


@dataclass(frozen=True)
class Target:
    """A trained network, pruned and defended: what attacks are run on."""

    key: str
    clean_key: str
    training: Training
    pruning: Pruning
    rate: float
    defense: Item
    samples: int

    @property
    def stochastic(self) -> bool:
        """Whether it draws random numbers in every pass, as its cards say."""
        cards = (self.training.model.card, self.defense.card)
        return any(card.traits.get("stochastic") is True for card in cards)

    @property
    def label(self) -> str:
        pruned = f" · pruned {self.rate:g}" if self.rate else ""
        defended = "" if self.defense.name == "none" else f" · {self.defense.label}"
        return f"{self.training.label}{pruned}{defended}"


@dataclass(frozen=True)
class Cell:
    """One victim under one attack at one epsilon: the artifact `outcomes`."""

    key: str
    target: Target
    attack: Item
    norm: str
    epsilon: Epsilon
    threat: str
    seed: int

    @property
    def label(self) -> str:
        return f"{self.target.label} · {self.attack.label} ε {self.epsilon.text}"


@dataclass(frozen=True)
class Ladder:
    """The cells of one victim and one attack, epsilons ascending.

    `climbs`: whether a cell takes over what broke in the one before. `minimum`: one run of a
    minimum-norm attack serves all epsilons.
    """

    key: str
    cells: tuple[Cell, ...]
    climbs: bool
    minimum: bool

    @property
    def target(self) -> Target:
        return self.cells[0].target

    @property
    def attack(self) -> Item:
        return self.cells[0].attack

    @property
    def label(self) -> str:
        return f"{self.target.label} · {self.attack.label}"


@dataclass(frozen=True)
class Plan:
    """All ladders of a matrix, those of one network together."""

    matrix: Matrix
    ladders: tuple[Ladder, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(cell for ladder in self.ladders for cell in ladder.cells)

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        return tuple({ladder.target.key: ladder.target for ladder in self.ladders}.values())

    @cached_property
    def trainings(self) -> tuple[Training, ...]:
        return tuple({target.training.key: target.training for target in self.targets}.values())

    @cached_property
    def run_id(self) -> str:
        """The same for the same cells: a run that goes on is the same run."""
        return f"{self.matrix.name}-{key_of(cells=sorted(cell.key for cell in self.cells))[:10]}"


def make_plan(
    matrix: Matrix, data: Mapping[str, DataFacts], weight_files: Mapping[str, str]
) -> Plan:
    """The plan of a matrix.

    `data` holds the facts of each data set by its label, `weight_files` the sha256 of each file
    that a model or defense names. Raises UserError where a data set has nothing to test on, or
    nothing is left to do.
    """
    ladders = [
        ladder
        for target in _targets(matrix, data, weight_files)
        for attack, threat in product(matrix.attacks, matrix.threats)
        if (ladder := _ladder(matrix, target, attack, threat)) is not None
    ]
    if not ladders:
        raise UserError("nothing is left to run", where=f"{matrix.source} exclude",
                        expected="at least one combination that is not excluded")
    return Plan(matrix, tuple(ladders))


def _targets(
    matrix: Matrix, data: Mapping[str, DataFacts], weight_files: Mapping[str, str]
) -> Iterator[Target]:
    for dataset, seed, model in product(matrix.datasets, matrix.seeds, matrix.models):
        facts = data[dataset.label]
        if not facts.test:
            raise UserError(f"data set '{dataset.label}' has no test images",
                            where=dataset.where)
        samples = min(matrix.samples or facts.test, facts.test)
        for recipe in matrix.recipes_for(model):
            training = _training(dataset, model, recipe, seed, facts, weight_files)
            pruning = matrix.pruning_of(model)
            for rate, defense in product(pruning.rates, matrix.defenses):
                yield _target(training, pruning, rate, defense, samples, weight_files)


def _training(
    dataset: Item, model: Item, recipe: Item, seed: int, facts: DataFacts,
    weight_files: Mapping[str, str],
) -> Training:
    weights = weight_files[model.checkpoint] if model.checkpoint else None
    key = key_of(
        kind="checkpoint", version=versions.TRAINING, data=facts.fingerprint,
        model={**model.meaning(weight_files), "weights": weights}, recipe=recipe.meaning(),
        seed=seed,
    )
    return Training(key, dataset, model, recipe, seed)


def _target(
    training: Training, pruning: Pruning, rate: float, defense: Item, samples: int,
    weight_files: Mapping[str, str],
) -> Target:
    pruned = {"version": versions.PRUNING, **pruning.meaning(rate)} if rate else None
    key = key_of(kind="victim", network=training.key, pruning=pruned,
                 defense=defense.meaning(weight_files))
    clean_key = key_of(kind="clean", version=versions.CRAFTING, victim=key, samples=samples)
    return Target(key, clean_key, training, pruning, rate, defense, samples)


def _ladder(matrix: Matrix, target: Target, attack: Item, threat: str) -> Ladder | None:
    minimum = attack.card.traits.get("budget") == "minimum"
    climbs = matrix.ladder and not minimum
    seed = target.training.seed
    cells: list[Cell] = []
    for epsilon in matrix.epsilons_of(attack):
        if matrix.excluded(
            dataset=target.training.dataset, model=target.training.model,
            recipe=target.training.recipe, pruning_rate=target.rate, defense=target.defense,
            attack=attack, epsilon=epsilon.value, threat=threat, seed=seed,
        ):
            continue
        below = [cell.epsilon.value for cell in cells] if climbs else []
        key = key_of(
            kind="outcomes", version=versions.CRAFTING, victim=target.key,
            samples=target.samples, attack=attack.meaning(), threat=threat, seed=seed,
            epsilon=epsilon.written, below=below,
        )
        cells.append(Cell(key, target, attack, attack.norm, epsilon, threat, seed))
    if not cells:
        return None
    ladder_key = key_of(kind="ladder", cells=[cell.key for cell in cells])
    return Ladder(ladder_key, tuple(cells), climbs, minimum)
