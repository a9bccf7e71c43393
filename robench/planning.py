"""Matrix × what the data sets hold → the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from robench import versions
from robench.errors import UserError
from robench.keys import key_of
from robench.matrix import Epsilon, Item, Matrix, Pruning, Threat
from robench.matrix.threats import ITSELF
from robench.plan import Cell, DataFacts, Ladder, Plan, Remaking, Target, Training

_QUERIES = ("scores", "decision")


def make_plan(
    matrix: Matrix, data: Mapping[str, DataFacts], weight_files: Mapping[str, str]
) -> Plan:
    """The plan of a matrix.

    `data` holds the facts of each data set by its label, `weight_files` the sha256 of each file
    that a model or defense names. Raises UserError where a data set has nothing to test on, where
    a threat has nothing to be run on, where an attack aims at a class that is not there, where a
    pruned network cannot be trained again or estimated anew, or where nothing is left to do.
    """
    planner = _Planner(matrix, data, weight_files)
    ladders = list(planner.ladders())
    if not ladders:
        raise UserError("nothing is left to run", where=f"{matrix.source} exclude",
                        expected="at least one combination that is not excluded")
    return Plan(matrix, tuple(ladders))


class _Planner:
    def __init__(
        self, matrix: Matrix, data: Mapping[str, DataFacts], weight_files: Mapping[str, str]
    ) -> None:
        self._matrix = matrix
        self._data = data
        self._weight_files = weight_files

    def ladders(self) -> Iterator[Ladder]:
        matrix = self._matrix
        idle = set(matrix.threats)
        for target in self._targets():
            for attack, threat in product(matrix.attacks, matrix.threats):
                if self._applies(target, attack, threat):
                    idle.discard(threat)
                    epsilons = self._epsilons(target, attack, threat)
                    if epsilons:
                        yield self._ladder(target, attack, threat, epsilons)
        for threat in matrix.threats:
            if threat in idle:
                raise UserError(f"nothing to run under the threat '{threat.label}'",
                                where=f"{matrix.source} threats", expected=_NEEDS[threat.kind])

    def _targets(self) -> Iterator[Target]:
        matrix = self._matrix
        for dataset, seed, model in product(matrix.datasets, matrix.seeds, matrix.models):
            for recipe in matrix.recipes_for(model):
                training = self._training(dataset, model, recipe, seed)
                pruning = matrix.pruning_of(model)
                for rate, defense in product(pruning.rates, matrix.defenses):
                    yield self._target(training, pruning, rate, defense)

    def _training(self, dataset: Item, model: Item, recipe: Item, seed: int) -> Training:
        weights = self._weight_files[model.checkpoint] if model.checkpoint else None
        key = key_of(
            kind="checkpoint", version=versions.TRAINING,
            data=self._data[dataset.label].fingerprint,
            model={**model.meaning(self._weight_files), "weights": weights},
            recipe=recipe.meaning(), seed=seed,
        )
        return Training(key, dataset, model, recipe, seed)

    def _target(
        self, training: Training, pruning: Pruning, rate: float, defense: Item
    ) -> Target:
        facts = self._data[training.dataset.label]
        if not facts.test:
            raise UserError(f"data set '{training.dataset.label}' has no test images",
                            where=training.dataset.where)
        samples = min(self._matrix.samples or facts.test, facts.test)
        pruned = {"version": versions.PRUNING, **pruning.meaning(rate)} if rate else None
        key = key_of(kind="victim", network=training.key, pruning=pruned,
                     defense=defense.meaning(self._weight_files))
        alone = Target(key, "", training, pruning, rate, defense, samples,
                       remaking=self._remaking(training, pruning, rate))
        draws = self._matrix.draws if alone.stochastic else 1
        clean_key = key_of(kind="clean", version=versions.CRAFTING, victim=key, samples=samples,
                           **({"draws": draws} if alone.stochastic else {}))
        return replace(alone, clean_key=clean_key, draws=draws)

    def _remaking(self, training: Training, pruning: Pruning, rate: float) -> Remaking | None:
        if not (rate and pruning.remade):
            return None
        steps = pruning.steps(rate)
        before = None
        if pruning.retrain and len(steps) > 1:
            before = self._remaking(training, pruning, steps[-2])
        key = key_of(kind="checkpoint", version=versions.PRUNING, network=training.key,
                     pruning=pruning.meaning(rate))
        return Remaking(key, training, pruning, rate, before)

    def _check(self, target: Target) -> None:
        """Raise UserError for a network that cannot be made fit again after its pruning."""
        if target.remaking is None:
            return
        training, pruning = target.training, target.pruning
        where = f"{self._matrix.source} pruning"
        if pruning.retrain and "epochs" not in training.recipe.settings:
            raise UserError(
                f"recipe '{training.recipe.label}' of {training.model.label} cannot be run for a "
                "number of epochs", where=f"{where}.retrain", got=pruning.retrain,
                expected="a recipe with the setting epochs, such as standard, or retrain: 0",
            )
        if not self._data[training.dataset.label].train:
            name = "retrain" if pruning.retrain else "reestimate_batchnorm"
            raise UserError(f"data set '{training.dataset.label}' has no training images",
                            where=f"{where}.{name}", got=getattr(pruning, name))

    def _check_aim(self, dataset: Item, attack: Item) -> None:
        """Raise UserError for an attack towards a class that the data set does not have."""
        aim, classes = attack.settings.get("target"), self._data[dataset.label].num_classes
        if isinstance(aim, int) and not isinstance(aim, bool) and aim >= classes:
            raise UserError(f"attack '{attack.label}' aims at a class that '{dataset.label}' does "
                            "not have", where=f"{attack.where} target", got=aim,
                            expected=f"0 to {classes - 1}")

    def _applies(self, target: Target, attack: Item, threat: Threat) -> bool:
        if threat.kind == "white-box":
            return True
        if threat.kind == "black-box":
            return attack.card.traits.get("access") in _QUERIES
        return self._source(target, threat).key != target.key

    def _epsilons(self, target: Target, attack: Item, threat: Threat) -> list[Epsilon]:
        """What a combination is run at: all that `exclude` leaves."""
        training = target.training
        return [
            epsilon for epsilon in self._matrix.epsilons_of(attack)
            if not self._matrix.excluded(
                dataset=training.dataset, model=training.model, recipe=training.recipe,
                pruning_rate=target.rate, defense=target.defense, attack=attack,
                epsilon=epsilon.value, threat=(threat.kind, threat.label), seed=training.seed,
            )
        ]

    def _ladder(
        self, target: Target, attack: Item, threat: Threat, epsilons: Sequence[Epsilon]
    ) -> Ladder:
        self._check(target)
        self._check_aim(target.training.dataset, attack)
        if threat.kind in ("white-box", "black-box"):
            return self._crafted(target, attack, threat.kind, epsilons)
        made_on = self._source(target, threat)
        self._check(made_on)
        source = self._crafted(made_on, attack, "white-box", epsilons)
        surrogate = _name(made_on, threat) if threat.kind == "transfer" else None
        cells = tuple(
            Cell(
                key_of(kind="outcomes", version=versions.CRAFTING, victim=target.key,
                       samples=target.samples, draws=target.draws, shown=cell.images_key,
                       threat=threat.kind),
                target, attack, attack.norm, cell.epsilon, threat.kind, cell.seed, surrogate,
            )
            for cell in source.cells
        )
        return Ladder(key_of(kind="ladder", cells=[cell.key for cell in cells]), cells,
                      climbs=False, minimum=source.minimum, source=source)

    def _crafted(
        self, target: Target, attack: Item, threat: str, epsilons: Sequence[Epsilon]
    ) -> Ladder:
        minimum = attack.card.traits.get("budget") == "minimum"
        climbs = self._matrix.ladder and not minimum
        seed = target.training.seed
        drawn = {"draws": target.draws} if target.stochastic else {}
        cells: list[Cell] = []
        for epsilon in epsilons:
            below = [cell.epsilon.value for cell in cells] if climbs else []
            # An attack that sees scores or decisions does the same in both threats.
            key = key_of(
                kind="outcomes", version=versions.CRAFTING, victim=target.key,
                samples=target.samples, attack=attack.meaning(), threat="white-box", seed=seed,
                epsilon=epsilon.written, below=below, **drawn,
            )
            cells.append(Cell(key, target, attack, attack.norm, epsilon, threat, seed))
        key = key_of(kind="ladder", cells=[cell.key for cell in cells])
        return Ladder(key, tuple(cells), climbs, minimum)

    def _source(self, target: Target, threat: Threat) -> Target:
        """What the images of a grey-box or transfer cell are made on."""
        training, matrix = target.training, self._matrix
        if threat.kind == "grey-box":
            return self._target(training, target.pruning, target.rate, matrix.no_defense)
        model = training.model
        if threat.surrogate != ITSELF:
            model = next(item for item in matrix.models if item.label == threat.surrogate)
        recipes = matrix.recipes_for(model)
        wanted = threat.recipe or training.recipe.label
        recipe = next((item for item in recipes if wanted in (item.label, item.name)), recipes[0])
        made = self._training(training.dataset, model, recipe, training.seed)
        pruning, rate = matrix.pruning_of(model), threat.pruning_rate
        if model.card.pruning is not None and rate not in pruning.rates:
            rate = pruning.rates[0]  # an alias is never without its pruning
        return self._target(made, pruning, rate, matrix.no_defense)


_NEEDS = {
    "white-box": "an attack", "grey-box": "a defense other than none",
    "black-box": "an attack that sees scores or decisions alone, such as square",
    "transfer": "a victim that is not the surrogate itself",
}


def _name(source: Target, threat: Threat) -> str:
    """A surrogate's name in a row."""
    parts = [source.training.model.label]
    if threat.recipe is not None:
        parts.append(source.training.recipe.label)
    if source.rate or threat.surrogate == ITSELF:
        parts.append(f"pruned {source.rate:g}")
    return " · ".join(parts)
