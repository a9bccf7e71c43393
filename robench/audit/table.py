"""A table of results as the checks see it: one entry per number, all of one paper together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from robench.audit.facts import NOTHING, Facts, TestSet
from robench.audit.granularity import Interval
from robench.audit.names import CLEAN

CLEAN_ACCURACY: Final = "clean_accuracy"
UNDER_ATTACK: Final = "adversarial_accuracy"
ASR: Final = "asr"
#: Metrics that are shares of something, from 0 to 1.
RATES: Final = frozenset({
    CLEAN_ACCURACY, UNDER_ATTACK, ASR, "accuracy", "precision", "sensitivity", "f1", "dice", "miou",
    "class_accuracy", "error_rate", "defense_rate", "p_value", "safe_pruning_rate",
    "frequency_correlation",
})
HIGHER_IS_BETTER: Final = frozenset({
    CLEAN_ACCURACY, UNDER_ATTACK, "accuracy", "precision", "sensitivity", "f1", "dice", "miou",
    "class_accuracy", "defense_rate",
})
LOWER_IS_BETTER: Final = frozenset({ASR, "error_rate"})
_SLACK: Final = 1e-12  # intervals that touch overlap, whatever the rounding of floats


@dataclass(frozen=True)
class Entry:
    """One number of a table. Rates are fractions; `half` is half a unit of the last digit.

    `shown` is the number as it is printed, with its unit. `attack` is canonical (`none` for clean
    images), `epsilon` in pixel units of [0,1]. `n` is the number of images where the table has it,
    `count` of how many of them the rate is. `other` holds the values of columns that are not known
    and of notes that tell rows apart, `called` the attack as the table has it, `aside` what else is
    known of the victim.
    """

    row: str
    paper: str
    table: str
    metric: str
    value: float
    half: float
    shown: str
    dataset: str = ""
    task: str = ""
    model: str = ""
    defense: str = ""
    pruning: float | None = None
    attack: str = "none"
    epsilon: float | None = None
    threat: str = ""
    norm: str = ""
    steps: int | None = None
    label: str = ""
    bold: bool | None = None
    n: int | None = None
    count: int | None = None
    called: str = ""
    variant: str = ""
    aside: str = ""
    other: tuple[str, ...] = ()

    @property
    def interval(self) -> Interval:
        """What the printed number can have been rounded from."""
        half = self.half + _SLACK
        return self.value - half, self.value + half

    @property
    def low(self) -> float:
        return self.interval[0]

    @property
    def high(self) -> float:
        return self.interval[1]

    @property
    def victim(self) -> tuple[Any, ...]:
        """What is attacked: a network on a data set, with its defense and pruning."""
        return self.dataset, self.task, self.model, self.defense, self.pruning, self.other

    @property
    def condition(self) -> tuple[Any, ...]:
        """How it is attacked and measured, but for the attack and its epsilon."""
        return self.metric, self.threat, self.norm, self.variant, self.label

    @property
    def named(self) -> str:
        """The victim in words."""
        pruned = f", pruned {100 * self.pruning:g} %" if self.pruning else ""
        task = f", {self.task}" if self.task in ("binary", "multiclass") else ""
        loss = "".join(f", {part}" for part in (self.variant, *self.other) if part)
        return f"{self.model or 'the model'}{pruned} ({self.dataset or 'one data set'}{task}{loss})"

    @property
    def in_table(self) -> bool:
        """Whether it stands in a table, not in a sentence that may repeat one."""
        return not self.table.lower().startswith(
            ("prose", "abstract", "highlights", "conclusion", "figure")
        )


@dataclass(frozen=True)
class Table:
    """The entries of one paper or file; `known` names the columns and metrics that it has."""

    paper: str
    entries: tuple[Entry, ...]
    known: frozenset[str]
    facts: Facts = NOTHING

    def of(self, *metrics: str, tables_only: bool = True) -> list[Entry]:
        """The entries of some metrics, those of sentences left out unless they are asked for."""
        return [one for one in self.entries
                if one.metric in metrics and (one.in_table or not tables_only)]

    def attacked(self) -> list[Entry]:
        """The rates under attack; of a row that has accuracy and ASR the accuracy alone."""
        accuracy = {one.row for one in self.of(UNDER_ATTACK)}
        return [one for one in self.of(UNDER_ATTACK, ASR)
                if one.metric == UNDER_ATTACK or one.row not in accuracy]

    def test_set(self, entries: Iterable[Entry]) -> TestSet | None:
        """The images that rates were counted on: the table's own n, else a known set that fits."""
        listed = list(entries)
        own = {one.n for one in listed if one.n is not None}
        known = self.facts.set_for(listed[0].dataset, [one.interval for one in listed])
        if len(own) == 1:
            (n,) = own
            same = [one for one in self.facts.sets(listed[0].dataset) if one.n == n]
            return same[0] if same else TestSet(n)
        return None if own else known

    def sizes(self, one: Entry, other: Entry) -> tuple[int, int] | None:
        """On how many images each of two rates was counted; None where that is not known."""
        if one.n is not None and other.n is not None:
            return one.n, other.n
        images = self.test_set([one, other])
        return None if images is None else (images.n, images.n)


def grouped(entries: Iterable[Entry], *parts: str) -> Iterator[tuple[tuple[Any, ...], list[Entry]]]:
    """The entries that agree in the attributes `parts`, group by group, in order."""
    found: dict[tuple[Any, ...], list[Entry]] = {}
    for one in entries:
        found.setdefault(tuple(getattr(one, part) for part in parts), []).append(one)
    yield from found.items()


def is_clean(attack: str) -> bool:
    return attack in CLEAN


def successes(entry: Entry, n: int) -> int:
    """How often the attack succeeded on `n` images, by an accuracy under attack or an ASR."""
    rate = entry.value if entry.metric in LOWER_IS_BETTER else 1 - entry.value
    return min(n, max(0, round(rate * n)))


def strength(entry: Entry) -> Interval:
    """The share of images the attack takes, as an interval: the ASR, or what accuracy leaves."""
    low, high = entry.interval
    return (low, high) if entry.metric in LOWER_IS_BETTER else (1 - high, 1 - low)


def at(entry: Entry) -> str:
    """Where in its series an entry stands: its epsilon, or nothing."""
    return "" if entry.epsilon is None else f"ε {epsilon_text(entry.epsilon)}: "


def epsilon_text(epsilon: float) -> str:
    if math.isinf(epsilon):  # an attack without a bound, as jsma without epsilons of its own
        return "∞"
    steps = epsilon * 255
    whole = abs(steps - round(steps)) < 2e-3 and epsilon < 1
    return f"{round(steps)}/255" if whole else f"{epsilon:g}"
