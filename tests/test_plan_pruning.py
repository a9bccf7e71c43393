"""What a pruning is in keys and plans: steps, retraining, BatchNorm statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from robench import versions
from robench.errors import UserError
from robench.keys import key_of
from robench.matrix import Pruning
from robench.plan import Target

from .plans import FACTS, planned

RATES = [0.2, 0.4, 0.6]


def targets(rates: list[float] = RATES, **pruning: Any) -> dict[float, Target]:
    plan = planned(pruning={"rates": rates, **pruning}, defenses=["none"])
    return {target.rate: target for target in plan.targets}


def keys(**pruning: Any) -> list[str]:
    return [target.key for target in targets(**pruning).values()]


@pytest.mark.parametrize("settings", [{}, {"scope": "layerwise", "layers": "conv"}])
def test_plain_pruning_means_what_it_always_has(settings: dict[str, str]) -> None:
    """What was computed before there were more settings is found."""
    for rate, target in targets(**settings).items():
        pruned = {"version": versions.PRUNING, "method": "l1", "scope": "global",
                  "layers": "conv-linear", "rate": rate} | settings
        assert target.key == key_of(
            kind="victim", network=target.training.key, pruning=pruned,
            defense=target.defense.meaning({}))
        assert target.remaking is None
        assert target.checkpoint == target.training.key


def test_defaults_written_out_are_in_no_key() -> None:
    assert keys(schedule="one-shot", retrain=0, reestimate_batchnorm=False, layers=None) == keys()


@pytest.mark.parametrize("changed", [
    {"method": "structured-l1"}, {"method": "structured-l2"}, {"retrain": 1}, {"retrain": 2},
    {"reestimate_batchnorm": True}, {"reestimate_batchnorm": True, "retrain": 1},
    {"schedule": "compounding", "retrain": 1},
], ids=repr)
def test_what_makes_another_network(changed: dict[str, Any]) -> None:
    own = set(keys(**changed))
    assert len(own) == len(RATES)
    assert not own & set(keys())
    assert not own & {*keys(retrain=3), *keys(layers="conv"), *keys(scope="layerwise")}


def test_only_later_steps_compound() -> None:
    alone, together = keys(), keys(schedule="compounding")
    assert together[0] == alone[0]
    assert not set(together[1:]) & set(alone)
    # The steps before are part of what a rate means; a rate of 0 is none of them.
    assert keys(rates=[0, *RATES], schedule="compounding")[1:] == together
    assert keys(rates=[0.4, 0.6], schedule="compounding")[0] == alone[1]
    assert keys(rates=[0.4, 0.6], schedule="compounding")[1] != together[2]


def test_steps() -> None:
    one_shot, steps = (Pruning((0.0, *RATES), schedule=each) for each in ("one-shot",
                                                                          "compounding"))
    assert [one_shot.steps(rate) for rate in RATES] == [(0.2,), (0.4,), (0.6,)]
    assert [steps.steps(rate) for rate in RATES] == [(0.2,), (0.2, 0.4), (0.2, 0.4, 0.6)]
    assert steps.steps(0.0) == (0.0,)


def test_a_network_trained_between_its_steps() -> None:
    found = targets(rates=[0, *RATES], schedule="compounding", retrain=3)
    assert found[0.0].remaking is None
    chain = [found[rate].remaking for rate in RATES]
    for before, each, rate in zip([None, *chain[:-1]], chain, RATES, strict=True):
        assert each is not None
        assert each.before == before
        assert each.steps == (rate,)
        retraining = each.retraining
        assert retraining is not None
        assert retraining.recipe.settings == {**each.training.recipe.settings, "epochs": 3}
        assert (retraining.seed, retraining.model) == (each.training.seed, each.training.model)
    plan = planned(pruning={"rates": RATES, "schedule": "compounding", "retrain": 3},
                   exclude=[{"pruning_rate": 0.2}])
    assert len(plan.targets) == 2 * 2, "two rates, two defenses"
    assert len(plan.checkpoints) == 1 + 3, "one that is excluded is still a step"


def test_a_defense_shares_what_was_made_after_the_pruning() -> None:
    plan = planned(pruning={"rates": [0.5], "retrain": 1})
    assert len(plan.targets) == 2
    assert len({target.checkpoint for target in plan.targets}) == 1


def test_statistics_alone_need_no_chain() -> None:
    found = targets(schedule="compounding", reestimate_batchnorm=True)[0.6].remaking
    assert found is not None
    assert found.before is None
    assert found.steps == (0.2, 0.4, 0.6)
    assert found.retraining is None


def test_a_raised_version_makes_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = targets(retrain=1)[0.2]
    monkeypatch.setattr(versions, "PRUNING", versions.PRUNING + 1)
    after = targets(retrain=1)[0.2]
    assert before.checkpoint != after.checkpoint
    assert before.training.key == after.training.key


@pytest.mark.parametrize(("changed", "told"), [
    ({"recipes": ["none"], "pruning": {"rates": [0.5], "retrain": 2}},
     ["pruning.retrain", "recipe 'none'", "got 2", "setting epochs"]),
    ({"models": [{"small-cnn": {"checkpoint": "w.pt"}, "label": "mine"}],
      "pruning": {"rates": [0.5], "retrain": 1}}, ["recipe 'none' of mine"]),
    ({"recipes": ["distillation"], "pruning": {"rates": [0.5], "retrain": 1}},
     ["recipe 'distillation'", "cannot be run for a number of epochs"]),
    ({"facts": replace(FACTS, train=0),
      "pruning": {"rates": [0.5], "reestimate_batchnorm": True}},
     ["pruning.reestimate_batchnorm", "'digits' has no training images"]),
])
def test_what_cannot_be_done(changed: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        planned(**changed)
    for part in told:
        assert part in str(caught.value)


def test_what_is_excluded_or_not_pruned_needs_no_training() -> None:
    retrained = {"rates": [0, 0.5], "retrain": 2}
    assert planned(recipes=["none", "standard"], pruning=retrained,
                   exclude=[{"recipe": "none", "pruning_rate": 0.5}]).targets
    assert planned(recipes=["none"], pruning={"rates": [0], "retrain": 2}).targets


def test_a_surrogate_is_pruned_in_the_same_steps() -> None:
    plan = planned(
        models=["small-cnn", "mlp"], pruning={"rates": [0, *RATES], "schedule": "compounding",
                                              "retrain": 1},
        threats=[{"transfer": {"surrogate": "mlp", "pruning_rate": 0.4}}], defenses=["none"])
    source = plan.ladders[0].source
    assert source is not None
    assert source.target.remaking is not None
    assert source.target.remaking.before is not None
    assert source.target.remaking.before.rate == 0.2
