"""The leaderboard arranged for reading: what is constant in a caption, the rest in blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from robench.reporting import text
from robench.reporting.findings import findings
from robench.reporting.flags import legend, split
from robench.reporting.provenance import provenance
from robench.reporting.table import RunTable
from robench.scoring.rows import WORST_CASE

NOTE: Final = (
    "Brackets: 95 % Wilson intervals. Robust: right before and after the attack, of all n images. "
    "ASR: broken, of the images right before the attack. Worst-case: an image counts as broken if "
    "any attack broke it. Distance: mean over broken images."
)
EMPTY: Final = "No cell has a result."


@dataclass(frozen=True)
class Line:
    """One row of the leaderboard as texts."""

    attack: str
    epsilon: str
    clean: str
    clean_counts: str
    robust: str
    robust_interval: str
    asr: str
    asr_interval: str
    broken_counts: str
    distance: str
    flags: tuple[str, ...]
    worst_case: bool


@dataclass(frozen=True)
class Block:
    """The rows of one victim under one threat, norm and seed; `labels` go with `Layout.labels`."""

    labels: tuple[str, ...]
    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Layout:
    """A report without its markup; all texts are plain and need the format's escapes."""

    title: str
    caption: str
    labels: tuple[str, ...]
    blocks: tuple[Block, ...]
    legend: tuple[tuple[str, str], ...]
    failures: tuple[tuple[str, str], ...]
    provenance: tuple[tuple[str, str], ...]
    findings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Label:
    """A column that says what a row is about: its title, its text, and its text in a sentence."""

    title: str
    column: str
    text: Callable[[Any], str]
    phrase: Callable[[str], str]


def _plain(value: object) -> str:
    return text.MISSING if value is None or value != value else str(value)


_LABELS: Final = (
    _Label("data set", "dataset", _plain, lambda value: value),
    _Label("model", "model", _plain, lambda value: value),
    _Label("recipe", "recipe", _plain, lambda value: f"recipe {value}"),
    _Label("defense", "defense", _plain, lambda value: f"defense {value}"),
    _Label(
        "pruned %",
        "pruning_rate",
        text.rate,
        lambda value: "not pruned" if value == "0" else f"pruned {value} %",
    ),
    _Label(
        "zeros %",
        "sparsity",
        text.percent,
        lambda value: "" if value in ("0.0", text.MISSING) else f"zeros {value} %",
    ),
    _Label("threat", "threat", _plain, lambda value: value),
    _Label(
        "surrogate",
        "surrogate",
        _plain,
        lambda value: "" if value == text.MISSING else f"surrogate {value}",
    ),
    _Label("norm", "norm", text.norm, lambda value: value),
    _Label("seed", "seed", _plain, lambda value: f"seed {value}"),
)
LABELS: Final = {label.column: label for label in _LABELS}


def layout(table: RunTable) -> Layout:
    """Arrange `table`: columns with one value go to the caption, and rows are grouped by victim.

    Blocks keep the order of the leaderboard; inside a block epsilons ascend and a worst-case row
    follows the attacks it covers.
    """
    rows = table.rows
    texts = [tuple(label.text(row[label.column]) for label in _LABELS) for row in rows]
    varying = [
        place for place in range(len(_LABELS)) if len({labels[place] for labels in texts}) > 1
    ]
    lifted = [place for place in range(len(_LABELS)) if place not in varying]
    sizes = {int(row["n"]) for row in rows}
    return Layout(
        title=table.name,
        caption=_caption(texts[0], lifted, sizes) if texts else EMPTY,
        labels=tuple(_LABELS[place].title for place in varying),
        blocks=_blocks(rows, texts, varying, written=table.epsilon_text),
        legend=legend(flag for row in rows for flag in split(row["flags"])),
        failures=tuple(
            (f"{failure.label} ({failure.key[:12]})", text.last_line(failure.error))
            for failure in table.failures
        ),
        provenance=provenance(table),
        findings=findings(table.findings),
    )


def _blocks(
    rows: Sequence[Mapping[str, Any]],
    texts: Sequence[tuple[str, ...]],
    varying: Sequence[int],
    *,
    written: Mapping[float, str],
) -> tuple[Block, ...]:
    grouped: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row, labels in zip(rows, texts, strict=True):
        grouped.setdefault(labels, []).append(row)
    return tuple(
        Block(
            labels=tuple(labels[place] for place in varying),
            heading=_sentence(labels, varying),
            lines=tuple(
                _line(row, written=written)
                for row in sorted(members, key=lambda member: float(member["epsilon"]))
            ),
        )
        for labels, members in grouped.items()
    )


def _caption(labels: Sequence[str], lifted: Sequence[int], sizes: Collection[int]) -> str:
    said = _sentence(labels, lifted)
    images = f"{min(sizes)} images" if len(sizes) == 1 else ""
    return " · ".join(part for part in (said, images) if part)


def _sentence(labels: Sequence[str], places: Sequence[int]) -> str:
    phrases = (_LABELS[place].phrase(labels[place]) for place in places)
    return " · ".join(phrase for phrase in phrases if phrase)


def _line(row: Mapping[str, Any], *, written: Mapping[float, str]) -> Line:
    n, n_correct = int(row["n"]), int(row["n_correct"])
    n_broken = round(row["asr"] * n_correct) if n_correct else 0
    return Line(
        attack=str(row["attack"]),
        epsilon=text.epsilon(row["epsilon"], written),
        clean=text.percent(row["clean_accuracy"]),
        clean_counts=f"{n_correct}/{n}",
        robust=text.percent(row["robust_accuracy"]),
        robust_interval=text.interval(row["robust_accuracy_low"], row["robust_accuracy_high"]),
        asr=text.percent(row["asr"]),
        asr_interval=text.interval(row["asr_low"], row["asr_high"]),
        broken_counts=f"{n_broken}/{n_correct}",
        distance=text.distance(row["mean_distance"]),
        flags=split(row["flags"]),
        worst_case=row["attack"] == WORST_CASE,
    )
