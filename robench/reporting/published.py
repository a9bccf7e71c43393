"""Printed numbers and measured ones of the same thing, paired and never merged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import yaml

from robench.audit.catalogue import FLAG_WORDS, check_tables
from robench.audit.entrance import shipped_tables
from robench.audit.facts import Facts
from robench.audit.finding import flags_by_row
from robench.audit.names import canonical
from robench.audit.table import ASR, CLEAN_ACCURACY, UNDER_ATTACK, Entry, Table
from robench.errors import unknown
from robench.reporting.details import name_of
from robench.reporting.panels import VICTIM
from robench.reporting.table import RunTable
from robench.resources import registry_folder
from robench.scoring.rows import WORST_CASE, Row
from robench.scoring.transfer import TRANSFER, Transfer
from robench.scoring.wilson import wilson

_METRICS: Final = frozenset({CLEAN_ACCURACY, UNDER_ATTACK, ASR})
_CLOSE: Final = 1e-6  # 2/255 stands in the tables as 0.007843


@dataclass(frozen=True)
class Matching:
    """One paper of `registry/published/matching.yaml`, which says what its fields are."""

    also: tuple[str, ...] = ()
    datasets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    models: Mapping[str, Sequence[str]] = field(default_factory=dict)
    training: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rates: Mapping[float, Sequence[float]] = field(default_factory=dict)
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Paper:
    """A paper's printed numbers, what is known of it, and the flags of its rows by the audit."""

    key: str
    table: Table
    matching: Matching
    flags: Mapping[str, tuple[str, ...]]

    @property
    def facts(self) -> Facts:
        return self.table.facts


@dataclass(frozen=True)
class Measured:
    """A rate that was measured: `metric` as papers name it, of `n` images, with its interval.

    `row` says what it was measured on; `cards` are the names of its data set, model, recipe,
    defense and attack in the registry, by column.
    """

    row: Row
    metric: str
    value: float
    low: float
    high: float
    n: int
    cards: Mapping[str, str]
    classes: int | None


@dataclass(frozen=True)
class Pairing:
    """A printed number with a measured one. `same_training` is None where nothing is known."""

    entry: Entry
    measured: Measured
    epsilon_printed: bool
    same_training: bool | None


@dataclass(frozen=True)
class Paired:
    """`alone`: printed numbers without a partner, counted by what none fits in.

    `measured_alone` of `measured` numbers have no printed partner.
    """

    pairs: tuple[Pairing, ...]
    printed: int
    alone: Mapping[str, int]
    measured: int
    measured_alone: int


def read_paper(key: str) -> Paper:
    """A paper whose tables ship with robench. Raises UserError, with the nearest key, for others.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with (registry_folder() / "published" / "matching.yaml").open(encoding="utf-8") as file:
        said = yaml.load(file, Loader=loader)
    matching = {name: Matching(**{
        **one, "also": tuple(one.get("also", ())), "settings": tuple(one.get("settings", ())),
    }) for name, one in said.items()}
    found = next((name for name, one in matching.items() if key in (name, *one.also)), None)
    if found is None:
        raise unknown("paper", key, matching)
    table = next(one for one in shipped_tables() if one.paper == found)
    flags = flags_by_row(check_tables([table], name=found).findings, FLAG_WORDS)
    return Paper(found, table, matching[found], flags)


def measured_numbers(table: RunTable) -> list[Measured]:
    """What a run has measured that a paper may print.

    Of each victim its clean accuracy; of each cell robust accuracy and ASR, and for a transfer
    the share of the images that fooled the surrogate which fool the victim. Worst-case rows are
    left out: no paper has them.
    """
    facts, matrix = table.facts.get("datasets", {}), table.facts.get("matrix", {})
    cards = {column: _cards(matrix, axis) for column, axis in (
        ("dataset", "datasets"), ("model", "models"), ("recipe", "recipes"),
        ("defense", "defenses"), ("attack", "attacks"))}
    transfers = {name_of(asdict(one.record)): one for one in table.details.transfers} \
        if table.details else {}
    found: list[Measured] = []
    victims: set[tuple[Any, ...]] = set()
    for row in table.rows:
        if row["attack"] == WORST_CASE:
            continue
        named = {column: names.get(row[column], str(row[column]))
                 for column, names in cards.items()}
        classes = facts.get(row["dataset"], {}).get("classes")
        found += [
            Measured(row, metric, count / of, *wilson(count, of), of, named,
                     len(classes) if classes else None)
            for metric, count, of in _counts(row, transfers.get(name_of(row)))
            if of and (metric != CLEAN_ACCURACY or _victim(row) not in victims)
        ]
        victims.add(_victim(row))
    return found


def pair(paper: Paper, numbers: Sequence[Measured]) -> Paired:
    """Every printed rate of `paper` with every measured one of the same thing.

    Data set, model, metric, pruning rate, threat, attack and epsilon must be the same; an epsilon
    that a table does not print is the one that the paper states for the attack, and for an attack
    without any, none.
    """
    pairs: list[Pairing] = []
    alone: dict[str, int] = {}
    entries = [one for one in paper.table.entries if one.in_table]
    for entry in entries:
        left = list(numbers)
        for reason, fits in _conditions(paper, entry):
            left = [one for one in left if fits(one)]
            if not left:
                alone[reason] = alone.get(reason, 0) + 1
                break
        recipes = paper.matching.training.get(entry.defense)
        for one in left:
            same = None if recipes is None else (
                one.cards["recipe"] in recipes or one.row["recipe"] in recipes)
            pairs.append(Pairing(entry, one, entry.epsilon is not None, same))
    used = {id(pairing.measured) for pairing in pairs}
    return Paired(tuple(pairs), len(entries), alone, len(numbers),
                  sum(id(one) not in used for one in numbers))


def _conditions(
    paper: Paper, entry: Entry
) -> Iterator[tuple[str, Callable[[Measured], bool]]]:
    """What a measured number must fit in, each with its name, the most telling first."""
    matching, facts = paper.matching, paper.facts
    classes = facts.number_of_classes(entry.dataset, entry.task)
    rate = entry.pruning or 0.0
    rates = matching.rates.get(rate, (rate,))
    clean = entry.metric == CLEAN_ACCURACY
    stated, size = entry.epsilon, facts.setting(entry.attack, "epsilon")
    if stated is None:
        stated = size if isinstance(size, float) else math.inf
    yield "metric", lambda one: (
        entry.metric in _METRICS and not entry.label and one.metric == entry.metric)
    yield "data set", lambda one: (
        _named(one, "dataset", entry.dataset, matching.datasets)
        and (classes is None or one.classes is None or one.classes == classes))
    yield "model", lambda one: (
        _named(one, "model", entry.model, matching.models) and one.cards["defense"] == "none")
    yield "pruning rate", lambda one: any(
        math.isclose(float(one.row["pruning_rate"]), wanted, abs_tol=_CLOSE) for wanted in rates)
    yield "threat", lambda one: clean or _same_threat(entry, one, facts, matching)
    yield "attack", lambda one: clean or canonical(one.cards["attack"]) == entry.attack
    yield "ε", lambda one: clean or one.row["epsilon"] == stated or math.isclose(
        float(one.row["epsilon"]), stated, abs_tol=_CLOSE)


def _same_threat(entry: Entry, one: Measured, facts: Facts, matching: Matching) -> bool:
    if entry.threat != TRANSFER:
        return one.row["threat"] in ("white-box", "black-box")
    if one.row["threat"] != TRANSFER:
        return False
    # A surrogate's name may go on with its recipe; a pruned one is another network.
    name, *more = str(one.row["surrogate"]).split(" · ")
    wanted = facts.surrogates.get(entry.dataset, "")
    known = (wanted, *matching.models.get(wanted, ()))
    return name in known and not any(part.startswith("pruned ") for part in more)


def _named(
    one: Measured, column: str, wanted: str, names: Mapping[str, Sequence[str]]
) -> bool:
    known = {wanted, *names.get(wanted, ())}
    return one.cards[column] in known or one.row[column] in known


def _cards(matrix: Mapping[str, Any], axis: str) -> dict[str, str]:
    """The card behind each label of an axis."""
    return {item["label"]: next(iter(item)) for item in matrix.get(axis) or ()}


def _counts(row: Row, transfer: Transfer | None) -> Iterator[tuple[str, int, int]]:
    """The rates of a row: the metric, how many images, and of how many."""
    n, right = int(row["n"]), int(row["n_correct"])
    yield CLEAN_ACCURACY, right, n
    yield UNDER_ATTACK, round(row["robust_accuracy"] * n), n
    if row["threat"] != TRANSFER:
        yield ASR, round(row["asr"] * right) if right else 0, right
    elif transfer is not None:
        yield ASR, transfer.fooled, transfer.kept


def _victim(row: Row) -> tuple[Any, ...]:
    return (*(row[name] for name in VICTIM), row["dataset"], row["seed"])
