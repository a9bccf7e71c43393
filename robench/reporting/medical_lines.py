"""The tables of the medical layout, and its numbers for programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from robench.reporting import text
from robench.reporting.grid import Column
from robench.reporting.lines import Number, long_row, rate_text
from robench.reporting.medical_scores import Scores
from robench.reporting.panels import MOST
from robench.scoring.medical import ClassScores
from robench.scoring.rows import Row

Key = int | str
Keyed = Sequence[tuple[Key, Column]]
_RATES: Final = ("sensitivity", "specificity", "precision", "f1")
_ARROW: Final = "→"
#: Classes named in a cell of confusions, the most frequent first.
_NAMED: Final = 3


@dataclass(frozen=True)
class MedicalLine:
    """One victim on clean images or under one attack at one epsilon, `row` saying which victim."""

    row: Row
    attack: str
    epsilon: float
    flags: tuple[str, ...]
    scores: Scores

    @property
    def clean(self) -> bool:
        """Whether it is about clean images."""
        return self.scores.risk is None


@dataclass(frozen=True)
class Table:
    """One of the tables: its columns by a key, and the cell of a line and a key."""

    title: str
    columns: Callable[..., Keyed]
    cell: Callable[[MedicalLine, Any], str]
    most: int = MOST
    of_clean: bool = True


def _shown_class(found: Scores) -> ClassScores:
    """The second of two classes, else the macro mean."""
    return found.classes[1] if len(found.classes) == 3 else found.classes[-1]


def _score_columns(classes: Sequence[str], *, grouped: bool) -> Keyed:
    above = f"of {classes[1]}" if len(classes) == 2 else "macro mean"
    return (
        ("accuracy", Column("accuracy %", numeric=True)),
        *((("clustered", Column("by group", numeric=True)),) if grouped else ()),
        ("auroc", Column("AUROC", numeric=True)),
        ("risk", Column("risk-weighted ASR %", numeric=True)),
        *((name, Column("F1 %" if name == "f1" else f"{name} %", numeric=True, above=above))
          for name in _RATES),
    )


def _score_cell(line: MedicalLine, key: str) -> str:
    found = line.scores
    if key == "accuracy":
        return rate_text(found.accuracy)
    if key == "clustered":
        known = found.clustered
        return (text.interval(known.low, known.high) if known else "") or text.MISSING
    if key == "auroc":
        value = found.auroc.value
        return text.MISSING if math.isnan(value) else f"{value:.3f}"
    if key == "risk":
        return "" if found.risk is None else text.percent(found.risk.value)
    return text.percent(getattr(_shown_class(found), key))


def _class_columns(above: str) -> Callable[..., Keyed]:
    def columns(classes: Sequence[str], *, grouped: bool) -> Keyed:
        return [(place, Column(name, numeric=True, above=above))
                for place, name in enumerate(classes)]

    return columns


def _of_many(columns: Callable[..., Keyed]) -> Callable[..., Keyed]:
    """No columns for two classes: there the scores already say it."""
    def found(classes: Sequence[str], *, grouped: bool) -> Keyed:
        return columns(classes, grouped=grouped) if len(classes) > 2 else ()

    return found


def _rate_cell(line: MedicalLine, place: int) -> str:
    known = line.scores.rates[place]
    return rate_text(Number(known.robust_accuracy, known.low, known.high))


def _confusion_cell(line: MedicalLine, place: int) -> str:
    """Broken of those right before, and the classes they were turned into."""
    assert line.scores.confusion is not None  # lines of attacks have one
    turned = line.scores.confusion[place]
    broken, kept = int(turned.sum()), line.scores.rates[place].n_robust
    ordered = sorted(((-int(count), other) for other, count in enumerate(turned) if count))
    names = [score.name for score in line.scores.classes]
    told = ", ".join(f"{names[other]}: {-count}" for count, other in ordered[:_NAMED])
    more = ", …" if len(ordered) > _NAMED else ""
    return f"{broken}/{broken + kept}" + (f" {_ARROW} {told}{more}" if told else "")


def _four_cell(line: MedicalLine, place: int) -> str:
    known = line.scores.classes[place]
    return " / ".join(text.percent(getattr(known, name)) for name in _RATES)


TABLES: Final = (
    Table("scores", _score_columns, _score_cell, most=9),
    Table("robust accuracy by class", _class_columns("robust % of"), _rate_cell, of_clean=False),
    Table("broken images by class, and what they were turned into", _class_columns("broken of"),
          _confusion_cell, of_clean=False),
    Table("sensitivity / specificity / precision / F1 by class",
          _of_many(_class_columns("in % of")), _four_cell, most=4),
)


def long_rows(line: MedicalLine, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The numbers of a line: of the whole, of each class, of each confusion."""
    found = line.scores

    def one(measure: str, number: Number, n: int, of: str = "") -> dict[str, Any]:
        return long_row(line.row, measure, number, attack=line.attack, epsilon=line.epsilon, n=n,
                        flags=line.flags, of=of)

    yield one("accuracy", found.accuracy, found.n)
    if found.clustered is not None:
        yield one("accuracy_by_group", found.clustered, found.n)
    yield one("auroc", found.auroc, found.n, classes[1] if len(classes) == 2 else "")
    for score in found.classes:
        for name in _RATES:
            value = getattr(score, name)
            why = "its denominator is 0" if math.isnan(value) else ""
            yield one(name, Number(value, why=why), score.n, score.name)
    for rate in found.rates:
        why = "" if rate.n else "no image of the class"
        yield one("robust_accuracy_of_class",
                  Number(rate.robust_accuracy, rate.low, rate.high, why), rate.n, rate.name)
    if found.confusion is not None:
        for place, name in enumerate(classes):
            broken = int(found.confusion[place].sum())
            for other, into in enumerate(classes):
                if place != other:
                    yield one("turned_into", Number(float(found.confusion[place, other])), broken,
                              f"{name} {_ARROW} {into}")
    if found.risk is not None:
        yield one("risk_weighted_asr", found.risk, found.n)
