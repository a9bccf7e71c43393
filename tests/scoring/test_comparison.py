"""What a run's cells say about who can be told apart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from robench.scoring.comparison import Collector, compare
from robench.scoring.rows import leaderboard_rows

Make = Callable[..., Any]
N = 60


def cells(make_cell: Make, broken: dict[tuple[str, str], int], **settings: Any) -> list[Any]:
    """A cell for each (model, attack) that breaks the first so many of `N` images."""
    return [
        make_cell([True] * N, list(np.arange(N) < count), model=model, attack=attack, **settings)
        for (model, attack), count in broken.items()
    ]


def test_each_attack_and_the_worst_case(make_cell: Make) -> None:
    found = compare(
        cells(
            make_cell,
            {("a", "fgsm"): 5, ("a", "pgd"): 10, ("b", "fgsm"): 40, ("b", "pgd"): 12},
        )
    )
    assert [(held.condition.attack, held.condition.attacks) for held in found] == [
        ("fgsm", ("fgsm",)),
        ("pgd", ("pgd",)),
        ("worst-case", ("fgsm", "pgd")),
    ]
    fgsm, pgd, worst = found
    assert [(held.b, held.c) for held in (fgsm.pairs[0], pgd.pairs[0], worst.pairs[0])] == [
        (35, 0), (2, 0), (30, 0),
    ]
    assert worst.pairs[0].p == pytest.approx(binomtest(30, 30).pvalue)
    assert [held.name for held in worst.standings] == [
        "a | standard | none | 0", "b | standard | none | 0",
    ]
    assert [held.tier for held in worst.standings] == [1, 2]
    assert [held.tier for held in pgd.standings] == [1, 1]
    assert worst.victims["b | standard | none | 0"].model == "b"


def test_standings_count_what_the_leaderboard_counts(make_cell: Make) -> None:
    random = np.random.default_rng(1)
    made = [
        make_cell(
            list(random.random(N) < 0.8), list(random.random(N) < 0.5),
            model=model, attack=attack, epsilon=epsilon,
        )
        for model in "abc" for attack in ("fgsm", "pgd") for epsilon in (0.1, 0.2)
    ]
    rows = {(row["model"], row["attack"], row["epsilon"]): row for row in leaderboard_rows(made)}
    found = compare(made)
    assert len(found) == 6
    for held in found:
        assert len(held.standings) == 3
        for standing in held.standings:
            model = held.victims[standing.name].model
            row = rows[model, held.condition.attack, held.condition.epsilon]
            assert standing.n_robust == round(row["robust_accuracy"] * row["n"])


def test_only_what_met_the_same_attacks_is_compared(make_cell: Make) -> None:
    made = cells(
        make_cell,
        {("a", "fgsm"): 5, ("a", "pgd"): 9, ("b", "fgsm"): 6, ("c", "fgsm"): 7, ("c", "pgd"): 8},
    )
    worst = [held for held in compare(made) if held.condition.attack == "worst-case"]
    assert [(held.condition.attacks, len(held.standings)) for held in worst] == [
        (("fgsm", "pgd"), 2)
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "mnist"}, {"threat": "grey-box"}, {"surrogate": "vgg"}, {"norm": "l2"},
        {"epsilon": 0.2}, {"seed": 1},
    ],
)
def test_other_conditions_are_not_compared(make_cell: Make, other: dict[str, Any]) -> None:
    made = [*cells(make_cell, {("a", "fgsm"): 5}), *cells(make_cell, {("b", "fgsm"): 5}, **other)]
    assert compare(made) == ()


@pytest.mark.parametrize(
    "other", [{"recipe": "pgd-at"}, {"defense": "jpeg"}, {"pruning_rate": 0.3}]
)
def test_victims_differ_by_more_than_the_model(make_cell: Make, other: dict[str, Any]) -> None:
    made = [*cells(make_cell, {("a", "fgsm"): 5}), *cells(make_cell, {("a", "fgsm"): 5}, **other)]
    assert [len(held.standings) for held in compare(made)] == [2, 2]


def test_cells_pass_through_unchanged(make_cell: Make) -> None:
    made = cells(make_cell, {("a", "fgsm"): 5, ("b", "fgsm"): 9})
    collector = Collector()
    assert leaderboard_rows(collector.through(made)) == leaderboard_rows(made)
    assert len(collector.worst_case()) == 1


def test_victims_on_different_images(make_cell: Make) -> None:
    made = [
        make_cell([True], [False], model="a", image_ids=["x"]),
        make_cell([True], [False], model="b", image_ids=["y"]),
    ]
    with pytest.raises(ValueError, match=r"different images: 'a \| .*' and 'b \| .*'"):
        compare(made)


def test_loads_neither_scipy_nor_pandas() -> None:
    code = (
        "import sys, robench.scoring.comparison; "
        "slow = {'scipy', 'pandas', 'statsmodels', 'sklearn', 'torch'}; "
        "sys.exit(', '.join(slow & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
