"""Networks at several sparsities where their clean accuracy is the same (rule F15)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

from robench.reporting import text
from robench.reporting.grid import Column
from robench.reporting.lines import Line, Number, lines_grid, long_row, rate_text
from robench.reporting.panels import caption, label_cells, label_columns
from robench.reporting.sheet import Panel
from robench.reporting.shown import Gaps
from robench.reporting.surface_points import Level, Network
from robench.reporting.surface_tables import Made, size_text
from robench.reporting.table import RunTable
from robench.scoring.pruning_surface import AtCleanAccuracy, Slice, compare_at_clean_accuracy

_NOWHERE: Final = "the networks have no clean accuracy in common"
_NO_INTERVAL: Final = (
    "no interval of the difference: more than 1 % of the resamples do not have that clean accuracy")


def comparison_table(
    table: RunTable, found: Sequence[Network], labels: Sequence[str], told: str, gaps: Gaps
) -> Made:
    """Every two networks where their clean accuracy is the same, by epsilon."""
    blocks, long = [], []
    for one, other in combinations(found, 2):
        lines = []
        for level in one.levels:
            beside = other.at(level.epsilon)
            why = _unlike(level, beside)
            held = None
            if beside is not None and not why:
                held, why = _compared(level.held, beside.held)
            if why:
                gaps.add(why, f"{one.name} and {other.name} · ε {level.epsilon:g}")
            flags = tuple(sorted({*level.flags, *(beside.flags if beside else ())}))
            clear = held is not None and (held.low > 0 or held.high < 0)
            lines.append(Line(
                (*label_cells(one.row, labels), *label_cells(other.row, labels)), (),
                (size_text(table, level.epsilon), *_compared_texts(held)), flags, bold=clear))
            long += _long_compared(one, other, level, held, why, flags)
        blocks.append(lines)
    if not blocks:
        return Made()
    columns = (
        *label_columns(labels), *(Column(f"other {head.title}", head.numeric)
                                  for head in label_columns(labels)),
        Column("ε", numeric=True), Column("clean %", numeric=True, above="at equal"),
        Column("one", numeric=True, above="robust %"),
        Column("other", numeric=True, above="robust %"),
        Column("one − other", numeric=True, above="robust %"),
    )
    return Made((Panel(caption((told, "at equal clean accuracy")), lines_grid(columns, blocks)),),
                tuple(long))


def _unlike(level: Level, beside: Level | None) -> str:
    if beside is None or set(level.attacks) != set(beside.attacks):
        return "the networks did not meet the same attacks"
    return ""


def _compared(one: Slice, other: Slice) -> tuple[AtCleanAccuracy | None, str]:
    """At the middle of the clean accuracies that both reach, and what of it is not to be had."""
    rates = [held.clean.mean(axis=1) for held in (one, other)]
    low, high = max(each.min() for each in rates), min(each.max() for each in rates)
    if low > high:
        return None, _NOWHERE
    try:
        held = compare_at_clean_accuracy(one, other, clean_accuracy=float((low + high) / 2))
    except ValueError as error:
        return None, str(error)
    return held, _NO_INTERVAL if math.isnan(held.low) else ""


def _compared_texts(held: AtCleanAccuracy | None) -> tuple[str, ...]:
    if held is None:
        return (text.MISSING,) * 4
    difference = Number(held.difference, held.low, held.high)
    return (text.percent(held.clean_accuracy), text.percent(held.one), text.percent(held.other),
            rate_text(difference))


def _long_compared(
    one: Network, other: Network, level: Level, held: AtCleanAccuracy | None, why: str,
    flags: tuple[str, ...],
) -> list[dict[str, Any]]:
    row = {**one.row, "pruning_rate": math.nan, "sparsity": math.nan}
    numbers = {
        "equal_clean_accuracy": Number(held.clean_accuracy) if held else Number(why=why),
        "robust_at_equal_clean": Number(held.one) if held else Number(why=why),
        "other_robust_at_equal_clean": Number(held.other) if held else Number(why=why),
        "difference_at_equal_clean":
            Number(held.difference, held.low, held.high) if held else Number(why=why),
    }
    return [long_row(row, name, number, attack=level.called, epsilon=level.epsilon,
                     n=len(level.held.image_ids), flags=flags, of=other.name)
            for name, number in numbers.items()]
