"""The columns of a table of results: which hold metrics, which say what was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from robench.audit.table import CLEAN_ACCURACY, RATES, UNDER_ATTACK

#: Other names of metrics.
ALIASES: Final = {
    "robust_accuracy": UNDER_ATTACK, "accuracy_under_attack": UNDER_ATTACK, "clean": CLEAN_ACCURACY,
    "attack_success_rate": "asr", "recall": "sensitivity", "iou": "miou", "params": "params_m",
}
#: Metrics that are no rates.
OTHER_METRICS: Final = frozenset({"params_m", "flops_g", "confusion_correct", "confusion_error"})
#: Columns that are read.
COLUMNS: Final = frozenset({
    "paper", "table", "dataset", "task", "model", "defense", "pruning_rate", "attack", "epsilon",
    "threat", "metric", "value", "unit", "bold", "note", "class_label", "row_id", "norm", "steps",
    "n", "n_correct",
})
#: Columns that say nothing of what was measured.
ASIDE: Final = frozenset({
    "epsilon_text", "source_file", "source_line", "printed", "sparsity", "robust_accuracy_low",
    "robust_accuracy_high", "asr_low", "asr_high", "mean_distance", "forwards", "backwards",
    "seconds", "flags", "year", "step", "",
})


def metric_of(column: str) -> str:
    """The metric that a column holds, empty for another column."""
    named = ALIASES.get(column, column)
    return named if named in RATES or named in OTHER_METRICS else ""


def useless(lines: Sequence[Mapping[str, str]], header: Sequence[str]) -> list[str]:
    """Unknown columns that are no part of what was measured: row numbers, remarks, spreads.

    They differ in every row, or are numbers with decimals that mostly differ. Kept, they would
    make every row a victim of its own, and nothing would be compared.
    """
    found = []
    for column in header:
        values = [line[column] for line in lines if line[column]]
        different = len(set(values))
        measured = any("." in value for value in values) and all(
            re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?%?", value) for value in values)
        if column not in COLUMNS and not metric_of(column) and (
            column.startswith("unnamed") or (different == len(lines) >= 4)
            or (measured and 2 * different > len(lines) >= 4)
        ):
            found.append(column)
    return found
