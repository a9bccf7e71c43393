"""Who is best in a column, beside statsmodels; and who may not be ranked."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from robench.audit.finding import Finding
from robench.reporting.ranked import barred, marked, of_clean, ranked, why_barred
from robench.scoring.images import Verdicts
from robench.scoring.paired import compare_pairs
from tests.reporting.layout_runs import cell, run_table

N = 60


def expected(right: dict[str, np.ndarray], out: set[str]) -> dict[str, str]:
    """By the tests of statsmodels on the images themselves."""
    held = [name for name in right if name not in out]
    if len(held) < 2:
        return {name: "barred" if name in out else "" for name in right}
    pairs = list(combinations(held, 2))
    raw = []
    for one, other in pairs:
        b = int((right[one] & ~right[other]).sum())
        c = int((~right[one] & right[other]).sum())
        raw.append(mcnemar([[0, b], [c, 0]], exact=True).pvalue if b + c else 1.0)
    adjusted = multipletests(np.minimum(raw, 1.0), method="holm")[1]
    beats = set()
    for (one, other), p in zip(pairs, adjusted, strict=True):
        if p <= 0.05:
            one_better = right[one].sum() > right[other].sum()
            beats.add((one, other) if one_better else (other, one))
    top = max(right[name].sum() for name in held)
    leaders = [name for name in held if right[name].sum() == top]
    found = dict.fromkeys(out, "barred")
    for name in held:
        lost = name not in leaders and all((leader, name) in beats for leader in leaders)
        found[name] = "beaten" if lost else "level"
    if sum(where == "level" for where in found.values()) == 1:
        found[leaders[0]] = "best"
    return found


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(0, 3))
def test_as_statsmodels_says(seed: int, members: int, barred_ones: int) -> None:
    random = np.random.default_rng(seed)
    shares = random.uniform(0.1, 0.95, size=members)
    names = [f"v{place}" for place in range(members)]
    right = {name: random.random(N) < share for name, share in zip(names, shares, strict=True)}
    out = set(names[:barred_ones])
    ids = np.arange(N).astype(object)
    pairs = compare_pairs({name: Verdicts(ids, one) for name, one in right.items()})
    counts = {name: int(one.sum()) for name, one in right.items()}
    assert ranked(counts, pairs, out=out) == expected(right, out)


def verdicts(**counts: int) -> tuple[dict[str, int], tuple]:
    """Victims that keep the first images right: the larger holds the smaller."""
    ids = np.arange(N).astype(object)
    held = {name: Verdicts(ids, np.arange(N) < count) for name, count in counts.items()}
    return counts, compare_pairs(held) if len(held) > 1 else ()


@pytest.mark.parametrize(
    ("counts", "out", "found"),
    [
        ({"a": 50, "b": 20, "c": 10}, (), {"a": "best", "b": "beaten", "c": "beaten"}),
        ({"a": 50, "b": 50, "c": 10}, (), {"a": "level", "b": "level", "c": "beaten"}),
        ({"a": 50, "b": 48, "c": 10}, (), {"a": "level", "b": "level", "c": "beaten"}),
        ({"a": 0, "b": 0}, (), {"a": "level", "b": "level"}),
        ({"a": 50, "b": 30, "c": 10}, ("a",), {"a": "barred", "b": "best", "c": "beaten"}),
        ({"a": 50, "b": 10}, ("a",), {"a": "barred", "b": ""}),
        ({"a": 50}, (), {"a": ""}),
    ],
)
def test_ties_insignificance_and_what_is_barred(counts, out, found) -> None:
    known, pairs = verdicts(**counts)
    assert ranked(known, pairs, out=out) == found


def test_a_pair_that_was_not_compared_leaves_the_column_without_marks() -> None:
    known, pairs = verdicts(a=50, b=20, c=10)
    assert set(ranked(known, pairs[1:]).values()) == {""}


def test_marks() -> None:
    assert [(one.text, one.bold) for one in (
        marked("1.0", "best"), marked("1.0", "level"), marked("1.0", "beaten"),
        marked("1.0", "barred"), marked("1.0", ""))] == [
        ("1.0", True), ("1.0 †", False), ("1.0", False), ("1.0 ‡", False), ("1.0", False)]


@pytest.mark.parametrize(
    ("flags", "severity", "reasons"),
    [
        (("constant",), "note", ("constant",)),
        (("below-majority", "stochastic"), "note", ("below-majority",)),
        (("zero-gradient",), "note", ("zero-gradient",)),
        (("shared-images", "bfloat16"), "note", ()),
        ((), "warning", ()),
        ((), "serious", ("weak-attack",)),
    ],
)
def test_what_bars_a_row_and_its_worst_case(flags, severity, reasons) -> None:
    made = cell("a", "fgsm", 0.1, 5, flags=flags), cell("a", "pgd", 0.1, 7)
    finding = Finding("A2", severity, "run", "", (made[0][0].key,), "weaker", "more steps")
    table = run_table(*made, findings=[finding])
    why = barred(table)
    found = {row["attack"]: why(row) for row in table.rows}
    assert found == {"fgsm": reasons, "pgd": (), "worst-case": reasons}


def test_only_some_reasons_are_about_clean_accuracy() -> None:
    assert of_clean(("constant", "weak-attack", "zero-gradient")) == ("constant",)


def test_the_note_names_what_is_not_ranked() -> None:
    assert why_barred({}) == ""
    assert why_barred({"kwta": {"zero-gradient", "constant"}}) == (
        "‡: not ranked, for what its flags say: kwta: constant, zero-gradient.")
    assert why_barred({str(place): {"constant"} for place in range(14)}).endswith("; and 2 more.")
