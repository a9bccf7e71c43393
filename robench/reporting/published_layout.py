"""A paper's printed numbers beside the measured ones, as a sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from robench.audit.catalogue import FLAG_WORDS
from robench.audit.table import CLEAN_ACCURACY, UNDER_ATTACK
from robench.errors import UserError
from robench.reporting import text
from robench.reporting.flags import legend, split
from robench.reporting.grid import Cell, Column, Grid
from robench.reporting.panels import sections
from robench.reporting.published import (
    Paired,
    Pairing,
    Paper,
    measured_numbers,
    pair,
    read_paper,
)
from robench.reporting.sheet import Panel, Sheet
from robench.reporting.table import RunTable

COLUMNS: Final = (
    "paper", "table", "row_id", "metric", "dataset_published", "dataset", "model_published",
    "model", "recipe", "same_training", "pruning_published", "pruning_rate", "threat_published",
    "threat", "surrogate", "attack_published", "attack", "norm", "epsilon", "epsilon_printed",
    "seed", "published", "measured", "measured_low", "measured_high", "n", "difference",
    "flags_published", "flags",
)
NOTE: Final = (
    "In percent; measured with the 95 % Wilson interval; the difference, measured less published, "
    "in percentage points. Accuracy under attack as it is printed is put beside robust accuracy "
    "(right before and after the attack, of all images), the ASR of a transfer beside the share of "
    "the images that fooled the surrogate. *: trained by another recipe than the paper's. (ε): not "
    "printed with the number; the ε that the paper states for the attack elsewhere. Flags of both "
    "sides are the audit's."
)
_APART: Final = (
    "Published and measured numbers come from different settings: they are to be read side by "
    "side, and are never merged into one."
)
_CHECKS: Final = {word: check for check, word in FLAG_WORDS.items()}
_METRIC: Final = {CLEAN_ACCURACY: "clean", UNDER_ATTACK: "under attack", "asr": "ASR"}


def published_sheet(table: RunTable, key: str) -> Sheet:
    """The printed numbers of paper `key` that `table` has measured too, a table per printed table.

    Raises UserError, with the nearest key, for an unknown paper, and where nothing fits.
    """
    paper = read_paper(key)
    paired = pair(paper, measured_numbers(table))
    if not paired.pairs:
        names = ", ".join(name for known in paper.matching.datasets.values() for name in known)
        raise UserError(
            f"no printed number of {paper.key} was measured in this run", where=table.run_id,
            expected=f"data sets ({names}), models, attacks and ε of the paper. {_alone(paired)}")
    rows = [_long(paper, one) for one in paired.pairs]
    groups: dict[tuple[str, str, str], list[tuple[Pairing, Mapping[str, Any]]]] = {}
    for one, row in zip(paired.pairs, rows, strict=True):
        where = one.entry.table, one.entry.dataset, str(one.measured.row["dataset"])
        groups.setdefault(where, []).append((one, row))
    panels = tuple(
        Panel(f"{printed} of {paper.key}: published on {theirs}, measured on {ours}",
              _grid(table, members))
        for (printed, theirs, ours), members in groups.items()
    )
    measured = {id(one.measured): one.measured.row for one in paired.pairs}
    told = [flag for row in rows for column in ("flags_published", "flags")
            for flag in split(row[column])]
    rest = [(title, pairs) for title, pairs in sections(table, measured.values())
            if title not in ("Flags", "Findings")]
    return Sheet(
        title=table.name, layout="published", run_id=table.run_id, panels=panels,
        columns=COLUMNS, rows=tuple(rows),
        lead=(_published(paper, paired), _measured(table, paired), _APART),
        notes=(NOTE, _alone(paired)), sections=(("Flags", _legend(told)), *rest),
    )


def _long(paper: Paper, one: Pairing) -> dict[str, Any]:
    entry, measured = one.entry, one.measured
    row, clean = measured.row, entry.metric == CLEAN_ACCURACY
    return {
        "paper": paper.key, "table": entry.table, "row_id": entry.row, "metric": entry.metric,
        "dataset_published": entry.dataset, "dataset": row["dataset"],
        "model_published": entry.model, "model": row["model"], "recipe": row["recipe"],
        "same_training": one.same_training, "pruning_published": entry.pruning or 0.0,
        "pruning_rate": row["pruning_rate"],
        "threat_published": entry.threat, "threat": "" if clean else row["threat"],
        "surrogate": None if clean else row["surrogate"], "attack_published": entry.attack,
        "attack": "none" if clean else row["attack"], "norm": "" if clean else row["norm"],
        "epsilon": math.nan if clean else row["epsilon"],
        "epsilon_printed": None if clean else one.epsilon_printed, "seed": row["seed"],
        "published": entry.value, "measured": measured.value, "measured_low": measured.low,
        "measured_high": measured.high, "n": measured.n,
        "difference": measured.value - entry.value,
        "flags_published": ",".join(paper.flags.get(entry.row, ())), "flags": row["flags"],
    }


def _grid(table: RunTable, members: Sequence[tuple[Pairing, Mapping[str, Any]]]) -> Grid:
    seeds = len({row["seed"] for _, row in members}) > 1
    columns = (
        Column("model", numeric=False), Column("recipe", numeric=False),
        *((Column("seed", numeric=True),) if seeds else ()),
        Column("pruned %", numeric=True), Column("metric", numeric=False),
        Column("attack", numeric=False), Column("ε", numeric=True),
        Column("published %", numeric=True), Column("measured % [low, high]", numeric=True),
        Column("difference", numeric=True), Column("flags, published", numeric=False),
        Column("flags, measured", numeric=False),
    )
    blocks: dict[tuple[Any, ...], list[tuple[Cell, ...]]] = {}
    for one, row in _once(members):
        between = text.interval(row["measured_low"], row["measured_high"])
        texts = (
            row["model"], f"{row['recipe']}{' *' if row['same_training'] is False else ''}",
            *((str(row["seed"]),) if seeds else ()), _rates(row), _METRIC[row["metric"]],
            "" if row["metric"] == CLEAN_ACCURACY else row["attack"], _epsilon(table, row),
            one.entry.shown.removesuffix("%").strip(),
            f"{text.percent(row['measured'])} {between}".rstrip(), _points(row["difference"]),
            _checks(row["flags_published"]), _checks(row["flags"]),
        )
        blocks.setdefault((row["model"], row["recipe"], row["seed"]), []).append(
            tuple(Cell(each, bold=False) for each in texts))
    return Grid(columns, tuple(tuple(rows) for rows in blocks.values()))


def _legend(flags: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{_CHECKS[flag]}, {flag}" if flag in _CHECKS else flag, meaning)
                 for flag, meaning in legend(flags))


def _once(
    members: Sequence[tuple[Pairing, Mapping[str, Any]]]
) -> list[tuple[Pairing, Mapping[str, Any]]]:
    """Without the clean accuracies that a table prints again for every ε; flags are kept."""
    found: dict[object, tuple[Pairing, Mapping[str, Any]]] = {}
    for place, (one, row) in enumerate(members):
        again = (id(one.measured), one.entry.shown) if row["metric"] == CLEAN_ACCURACY else place
        if again in found:
            first, kept = found[again]
            both = {*split(kept["flags_published"]), *split(row["flags_published"])}
            found[again] = first, {**kept, "flags_published": ",".join(sorted(both))}
        else:
            found[again] = one, row
    return list(found.values())


def _checks(flags: str) -> str:
    """Flags by the audit's short names of its checks, which fit in a column."""
    order = list(_CHECKS)
    known = sorted((flag for flag in split(flags) if flag in _CHECKS), key=order.index)
    others = [flag for flag in split(flags) if flag not in _CHECKS]
    return ", ".join((*(_CHECKS[flag] for flag in known), *others))


def _rates(row: Mapping[str, Any]) -> str:
    """The printed pruning rate, and the measured one where it has another number."""
    printed, ours = text.rate(row["pruning_published"]), text.rate(row["pruning_rate"])
    return printed if printed == ours else f"{printed} ({ours})"


def _epsilon(table: RunTable, row: Mapping[str, Any]) -> str:
    if row["epsilon_printed"] is None:
        return ""
    size = text.epsilon(row["epsilon"], table.epsilon_text)
    return size if row["epsilon_printed"] else f"({size})"


def _points(difference: float) -> str:
    shown = f"{100 * difference:+.1f}"
    return "0.0" if shown in ("+0.0", "-0.0") else shown.replace("-", "−")


def _published(paper: Paper, paired: Paired) -> str:
    """What is known of the paper's side."""
    datasets = dict.fromkeys(one.entry.dataset for one in paired.pairs)
    sets = [f"{name}: test images {', '.join(map(str, known))}" for name in datasets
            if (known := paper.facts.sets(name))]
    parts = [*sets, *paper.matching.settings]
    if paper.facts.not_stated:
        parts.append(f"not stated: {', '.join(paper.facts.not_stated)}")
    return f"Published: {paper.facts.cite or paper.key}. {'; '.join(parts)}."


def _measured(table: RunTable, paired: Paired) -> str:
    """What is known of the run's side."""
    facts, matrix = table.facts.get("datasets", {}), table.facts.get("matrix", {})
    parts = []
    for name in dict.fromkeys(one.measured.row["dataset"] for one in paired.pairs):
        known = facts.get(name, {})
        image = known.get("image")
        size = f"images of {image[0]} x {image[1]} pixels" if image else ""
        trained = f"{known['train']} training images" if known.get("train") else ""
        used = sorted({int(one.measured.row["n"]) for one in paired.pairs
                       if one.measured.row["dataset"] == name})
        tested = f"{', '.join(map(str, used))} test images"
        parts.append(f"{name}: {', '.join(part for part in (size, trained, tested) if part)}")
    for item in matrix.get("recipes") or ():
        settings = item[next(iter(item))] or {}
        if "epochs" in settings and any(
                one.measured.row["recipe"] == item["label"] for one in paired.pairs):
            parts.append(f"{item['label']}: {settings['epochs']} epochs")
    return f"Measured: run {table.run_id}. {'; '.join(parts)}."


def _alone(paired: Paired) -> str:
    """How many numbers of either side have no partner, and what the printed ones lack it in."""
    matched = paired.printed - sum(paired.alone.values())
    why = ", ".join(f"{name} {count}" for name, count in paired.alone.items())
    return (f"Of {paired.printed} printed numbers {matched} have a measured partner"
            + (f" (what has no counterpart for the others: {why})" if why else "")
            + f"; of {paired.measured} measured ones {paired.measured_alone} have no printed one.")
