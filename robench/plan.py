"""What there is to do: cells and the artifacts they need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from robench import versions
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
class Remaking:
    """A trained network that was pruned at `rate` and then made fit again: by more training, or by
    BatchNorm statistics estimated anew. An artifact `checkpoint` of its own.

    `before`: the one it starts from, where rates compound and the network is trained between them.
    """

    key: str
    training: Training
    pruning: Pruning
    rate: float
    before: Remaking | None = None

    @property
    def steps(self) -> tuple[float, ...]:
        """The rates that are still to be applied to what it starts from."""
        return (self.rate,) if self.before else self.pruning.steps(self.rate)

    @property
    def retraining(self) -> Training | None:
        """The training after the pruning: the network's own recipe, for so many epochs."""
        if not self.pruning.retrain:
            return None
        recipe = self.training.recipe
        settings = {**recipe.settings, "epochs": self.pruning.retrain}
        return replace(self.training, key=self.key, recipe=replace(recipe, settings=settings))

    @property
    def label(self) -> str:
        return f"{self.training.label} · pruned {self.rate:g}"


@dataclass(frozen=True)
class Target:
    """A trained network, pruned and defended: what attacks are run on.

    `remaking`: what is done after the pruning, and kept; None where it is pruned alone. `draws`:
    how often a victim that draws random numbers is asked for each answer; 1 for others.
    """

    key: str
    clean_key: str
    training: Training
    pruning: Pruning
    rate: float
    defense: Item
    samples: int
    draws: int = 1
    remaking: Remaking | None = None

    @property
    def checkpoint(self) -> str:
        """The key of the checkpoint whose weights it has, but for pruning alone."""
        return self.remaking.key if self.remaking else self.training.key

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
    """One victim under one attack at one epsilon: the artifact `outcomes`.

    `surrogate` names what a transfer's images are made on.
    """

    key: str
    target: Target
    attack: Item
    norm: str
    epsilon: Epsilon
    threat: str
    seed: int
    surrogate: str | None = None

    @property
    def images_key(self) -> str:
        """Of its adversarial images, where others are shown them: the artifact `adversarial`."""
        return key_of(kind="adversarial", version=versions.CRAFTING, cell=self.key)

    @property
    def label(self) -> str:
        """What a person reads."""
        threat = "" if self.threat == "white-box" else f" · {self.threat}"
        made_on = f" from {self.surrogate}" if self.surrogate else ""
        return (f"{self.target.label} · {self.attack.label} ε {self.epsilon.text}"
                f"{threat}{made_on}")


@dataclass(frozen=True)
class Ladder:
    """The cells of one victim and one attack, epsilons ascending.

    `climbs`: whether a cell takes over what broke in the one before. `minimum`: one run of a
    minimum-norm attack serves all epsilons. `source`: the ladder, on another target, whose
    adversarial images are shown to this one; its cells are in the order of these.
    """

    key: str
    cells: tuple[Cell, ...]
    climbs: bool
    minimum: bool
    source: Ladder | None = None

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
    def checkpoints(self) -> tuple[str, ...]:
        """The keys of all trainings, and of what is made of them after their pruning."""
        found = dict.fromkeys(training.key for training in self.trainings)
        for target in self.targets:
            each = target.remaking
            while each is not None:
                found[each.key] = None
                each = each.before
        return tuple(found)

    @cached_property
    def run_id(self) -> str:
        """The same for the same cells: a run that goes on is the same run."""
        return f"{self.matrix.name}-{key_of(cells=sorted(cell.key for cell in self.cells))[:10]}"
