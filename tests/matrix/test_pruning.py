"""The pruning axis: its settings, and every mistake in them with its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from robench.errors import UserError
from robench.matrix import Matrix, Pruning, load
from robench.registry import Registry
from robench.runner.record import resolved

BASE = "name: m\ndatasets: [digits]\nmodels: [small-cnn]\nattacks: [fgsm]\n"


def test_everything_given(read: Callable[[str], Matrix]) -> None:
    found = read(BASE + """\
pruning:
  {method: l1, scope: layerwise, schedule: compounding, layers: conv, retrain: 3,
   reestimate_batchnorm: true, rates: [0, 0.2, 0.4]}
""").pruning
    assert found == Pruning((0.0, 0.2, 0.4), "l1", "layerwise", "conv", "compounding", 3, True)


@pytest.mark.parametrize(("given", "layers"), [
    ("{}", "conv-linear"), ("{layers: conv}", "conv"), ("{method: structured-l1}", "conv"),
    ("{method: structured-l2, layers: conv}", "conv"),
])
def test_layers_follow_the_method(read: Callable[[str], Matrix], given: str, layers: str) -> None:
    assert read(f"{BASE}pruning: {given}\n").pruning.layers == layers


def test_the_order_of_rates_that_start_anew_does_not_matter(
    read: Callable[[str], Matrix],
) -> None:
    assert read(f"{BASE}pruning: {{rates: [0.4, 0, 0.2]}}\n").pruning.rates == (0.0, 0.2, 0.4)


@pytest.mark.parametrize(("given", "told"), [
    ("{method: structured_l1}", ["pruning.method: unknown pruning method", "'structured-l1'"]),
    ("{method: l2}", ["unknown pruning method 'l2'", "one of l1, structured-l1, structured-l2"]),
    ("{schedule: compound}", ["pruning.schedule: unknown pruning schedule", "'compounding'"]),
    ("{schedule: oneshot}", ["did you mean 'one-shot'"]),
    ("{layers: convs}", ["m.yaml:5 pruning.layers", "did you mean 'conv'"]),
    ("{retrains: 1}", ["pruning.retrains: unknown key 'retrains'", "did you mean 'retrain'"]),
    ("{reestimate_batch_norm: true}", ["unknown key", "did you mean 'reestimate_batchnorm'"]),
    ("{retrain: -1}", ["m.yaml:5 pruning.retrain: the retrain, got -1", "a whole number ≥ 0"]),
    ("{retrain: 1.5}", ["m.yaml:5 pruning.retrain", "got 1.5"]),
    ("{retrain: true}", ["m.yaml:5 pruning.retrain", "got True"]),
    ("{reestimate_batchnorm: 1}", ["m.yaml:5 pruning.reestimate_batchnorm", "got 1"]),
    ("{schedule: compounding, rates: [0.2, 0.6, 0.4]}",
     ["m.yaml:5 pruning.rates[1]", "got 0.6", "ascending rates"]),
    ("{schedule: compounding, rates: [0.2, 0]}", ["pruning.rates[0]", "got 0.2", "ascending"]),
    ("{schedule: compounding, rates: [0.2, 0.2]}", ["0.2 stands twice"]),
    ("{method: structured-l1, layers: conv-linear}",
     ["m.yaml:5 pruning.layers: structured-l1", "'conv-linear'", "layers conv, or method l1"]),
])
def test_told_with_its_place(read: Callable[[str], Matrix], given: str, told: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read(f"{BASE}pruning: {given}\n")
    message = str(caught.value)
    assert len(message.splitlines()) <= 2
    for part in told:
        assert part in message


@pytest.mark.parametrize("given", [
    "{method: structured-l2}", "{schedule: compounding, retrain: 2, rates: [0, 0.3, 0.5]}",
    "{reestimate_batchnorm: true, rates: [0.3]}",
])
def test_a_record_is_the_matrix_again(
    read: Callable[[str], Matrix], registry: Registry, given: str
) -> None:
    matrix = read(f"{BASE}pruning: {given}\n")
    assert load(resolved(matrix), registry).pruning == matrix.pruning
