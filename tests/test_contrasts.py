"""`benchmarks/contrasts.py`, by which reports tell networks apart."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.reporting.layout_runs import N, cell


@pytest.fixture(scope="module")
def contrasts() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "contrasts.py"
    spec = importlib.util.spec_from_file_location("contrasts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_images_are_counted_under_the_worst_of_the_attacks(contrasts):
    known = contrasts.kept([
        cell("a", "fgsm", 0.1, 10, right=100), cell("a", "pgd", 0.1, 30, right=100),
        cell("b", "pgd", 0.1, 50, right=120), cell("b", "pgd", 0.1, 5, pruning_rate=0.5),
        cell("a", "pgd", 0.1, 99, threat="transfer"), cell("a", "pgd", 0.1, 98, defense="jpeg"),
    ])
    # a keeps images 30 to 99, b 50 to 119, pruned b 5 to N − 1
    assert contrasts.counted(known, "a/standard", "b/standard", 0.1) == (20, 20, N)
    assert contrasts.counted(known, "a/standard", "b/standard", None) == (0, 20, N)
    assert contrasts.counted(known, "b/standard/0.5", "b/standard", 0.1) == (N - 75, 0, N)


def test_a_victim_that_is_not_there_is_named(contrasts):
    known = contrasts.kept([cell("a", "pgd", 0.1, 10)])
    with pytest.raises(SystemExit, match=r"no victim 'c/standard'.*a/standard"):
        contrasts.counted(known, "a/standard", "c/standard", 0.1)
