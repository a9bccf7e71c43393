"""Names and settings of ART's attacks that are refused, before ART is imported."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import robench
from robench.attacks.art_names import EXCLUDED
from robench.errors import UserError
from robench.matrix import load
from robench.registry import Registry
from robench.testing.networks import ordinary

from .art_cases import QUICK, at


@pytest.mark.parametrize(("name", "said"), [
    ("deepfol", "did you mean 'art/deepfool'"),
    ("zzz", "unknown attack 'art/zzz'"),
    ("adversarial-patch", "does not fit an image classifier: it learns a patch"),
    ("DPatch", "it attacks an object detector"),
    ("decision-tree-attack", "it attacks a decision tree"),
])
def test_an_unknown_name_gives_the_nearest_or_the_reason(name, said) -> None:
    with pytest.raises(UserError) as raised:
        robench.attack(f"art/{name}", steps=3)
    assert said in str(raised.value)


@pytest.mark.parametrize(("name", "own"), [
    ("DeepFool", "deepfool"), ("CarliniL2Method", "carlini-l2"),
    ("carlini-l2-method", "carlini-l2"), ("hopskipjump", "hop-skip-jump"),
    ("FastGradientMethod", "fgsm"), ("SaliencyMapMethod", "saliency-map"),
    ("UniversalPerturbation", "universal-perturbation"),
])
def test_the_name_of_arts_class_is_a_name_too(name, own) -> None:
    attack, same = robench.attack(f"art/{name}"), robench.attack(f"art/{own}")
    assert type(attack) is type(same)
    assert attack.name == same.name == f"art/{own}"  # random draws are keyed by it
    items = [load({"name": "m", "datasets": ["digits"], "models": ["small-cnn"],
                   "attacks": [f"art/{each}"]}, Registry.discover()).attacks[0]
             for each in (name, own)]
    assert items[0].meaning() == items[1].meaning()


@pytest.mark.parametrize("made_by", EXCLUDED)
def test_what_does_not_fit_says_why(made_by) -> None:
    with pytest.raises(UserError, match="does not fit an image classifier"):
        robench.attack(f"art/{made_by}")


@pytest.mark.parametrize(("name", "setting", "close"), [
    ("art/deepfool", "max_iters", "max_iter"), ("art/zoo", "nb_paralel", "nb_parallel"),
    ("art/carlini-l2", "binary_search_step", "binary_search_steps"),
    ("art/square", "pinit", "p_init"), ("art/boundary", "targeted", "target"),
    ("art/pgd", "step", "steps"),
])
def test_an_unknown_setting_gives_the_nearest(name, setting, close) -> None:
    with pytest.raises(UserError) as raised:
        robench.attack(name, **{setting: 1})
    assert f"no setting '{setting}'" in str(raised.value)
    assert f"did you mean '{close}'" in str(raised.value)


@pytest.mark.parametrize(("name", "settings", "said"), [
    ("art/deepfool", {"max_iter": 0}, "max_iter: got 0, expected a whole number ≥ 1"),
    ("art/deepfool", {"max_iter": True}, "max_iter"),
    ("art/deepfool", {"epsilon": -0.1}, "epsilon: got -0.1, expected a number ≥ 0"),
    ("art/newtonfool", {"eta": 0.0}, "eta: got 0.0, expected a number > 0"),
    ("art/newtonfool", {"eta": float("nan")}, "eta: got nan"),
    ("art/zoo", {"time_limit_s": 0}, "time_limit_s: got 0, expected a number > 0, or null"),
    ("art/fgsm", {"time_limit_s": 0}, "time_limit_s: got 0, expected a number > 0"),
    ("art/bim", {"target": "nearest"}, "target: got 'nearest'"),
    ("art/pgd", {"target": -1}, "target: got -1"),
    ("art/momentum-iterative", {"norm": "l0"}, "norm: got 'l0', expected linf or l2 or l1"),
    ("art/elastic-net", {"decision_rule": "L3"}, "decision_rule: got 'L3'"),
    ("art/simba", {"attack": "fft"}, "attack: got 'fft', expected dct or px"),
    ("art/boundary", {"step_adapt": 1.0}, "step_adapt: got 1.0, expected a number > 0 and < 1"),
    ("art/hop-skip-jump", {"init_eval": 20, "max_eval": 10}, "init_eval: got 20, expected at most"),
    ("art/geo-da", {"max_iter": 100}, "max_iter: got 100, expected a whole number ≥ 300"),
    ("art/saliency-map", {"target": "nearest"}, "target: got 'nearest'"),
    ("art/saliency-map", {"gamma": 1.5}, "gamma: got 1.5, expected a number > 0 and ≤ 1"),
    ("art/saliency-map", {"theta": 0.0}, "theta: got 0"),
    ("art/composite-adversarial", {"enabled_attack": [7]}, "enabled_attack: got [7]"),
    ("art/composite-adversarial", {"bri_epsilon": [0.2, -0.2]}, "bri_epsilon: got [0.2, -0.2]"),
    ("art/pixel-attack", {"th": 0}, "th: got 0, expected a whole number ≥ 1, or null"),
    ("art/wasserstein", {"regularization": 0}, "regularization: got 0, expected a number > 0, or"),
    ("art/wasserstein", {"kernel_size": 4}, "kernel_size: got 4, expected an odd number"),
    ("art/wasserstein", {"step_norm": "inf", "eps_step": 0.5}, "eps_step: got 0.5, expected at"),
])
def test_a_setting_that_does_not_fit_is_named(name, settings, said) -> None:
    with pytest.raises(UserError) as raised:
        robench.attack(name, **settings)
    assert said in str(raised.value)


@pytest.mark.parametrize("name", QUICK)
def test_no_setting_takes_a_mapping(name) -> None:
    made = Registry.discover().get("attack", name).load()
    for item in dataclasses.fields(made):
        with pytest.raises(ValueError, match=f"^{item.name}: got "):
            made(**{item.name: {}})


def test_a_target_that_the_network_has_not() -> None:
    task = ordinary("l0")
    with pytest.raises(ValueError, match="got class 10, the network has 10"):
        robench.attack("art/saliency-map", target=10)(
            task.network, task.images, task.labels, epsilons=[8.0]
        )


@pytest.mark.parametrize(("name", "settings", "outputs", "said"), [
    ("art/square", {"norm": "l2"}, 10, "images of 8×8 pixels"),
    ("art/auto-projected-gradient-descent", {"loss_type": "difference_logits_ratio"}, 2,
     "the third logit"),
    ("art/composite-adversarial", {"enabled_attack": [0, 1]}, 10, "grey images"),
])
def test_what_only_the_network_tells(name, settings, outputs, said) -> None:
    attack = robench.attack(name, **settings)
    task = ordinary(attack.norm, outputs=outputs)
    with pytest.raises(ValueError, match=said):
        attack(task.network, task.images, task.labels, epsilons=at(attack, task.epsilon))


def test_geo_da_gives_up_where_no_random_image_breaks() -> None:
    class One(torch.nn.Module):
        def forward(self, images):
            return torch.stack([images.sum(dim=(1, 2, 3)) * 0 + 1, images[:, 0, 0, 0] * 0], dim=1)

    images, labels = torch.full((1, 1, 8, 8), 0.5), torch.zeros(1).long()
    with pytest.warns(RuntimeWarning, match="500 random images"):
        result = robench.attack("art/geo-da")(One(), images, labels, epsilons=[8.0])[0]
    assert not bool(result.success.any())
