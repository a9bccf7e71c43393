"""Everything that ships with robench keeps the contract that third parties are held to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from robench.registry import KINDS, Card, Kind, Registry
from robench.testing.attack import attack_checks
from robench.testing.core import Check, assert_conformant
from robench.testing.dataset import dataset_checks
from robench.testing.defense import defense_checks
from robench.testing.model import model_checks
from robench.testing.recipe import recipe_checks
from robench.testing.registered import fitting

_ONE_EACH = {"gan_epochs": 1, "encoder_epochs": 1, "classifier_epochs": 1}
# Narrower networks and fewer epochs, where the default's number would only take longer; the
# ImageNet stem, where a stem of stride one would. An attack's card says it itself: its `check`.
_QUICK: dict[tuple[Kind, str], dict[str, Any]] = {
    ("defense", "medrdf"): {"copies": 3},
    ("defense", "smoothing"): {"copies": 3},
    ("defense", "nl-means"): {"search": 5},
    ("defense", "tv-minimisation"): {"steps": 10},
    ("model", "small-cnn"): {"width": 8},
    ("model", "mlp"): {"width": 32},
    ("model", "resnet18"): {"stem": "imagenet"},
    ("model", "resnet34"): {"stem": "imagenet"},
    ("model", "prune-resnet34"): {"stem": "imagenet"},
    ("model", "prune-cbam-resnet34"): {"stem": "imagenet"},
    ("model", "cbam-resnet34"): {"stem": "imagenet"},
    ("model", "bam-resnet34"): {"stem": "imagenet"},
    ("model", "selfattn-resnet34"): {"stem": "imagenet"},
    ("model", "kwta-resnet34"): {"stem": "imagenet"},
    ("model", "autoencoder-resnet34"): {"width": 4, "stem": "imagenet"},
    ("model", "invgan-resnet34"): {"width": 8, "latent": 16, "stem": "imagenet"},
    ("model", "aebs"): {"width": 4, "base": "small-cnn"},
    ("model", "drsn"): {"width": 8, "units": 2},
    ("model", "drsn-tvl"): {"backbone": "mobilenetv3_small_050", "width": 16, "units": 2},
    ("model", "drsn-without-tvl"): {"backbone": "mobilenetv3_small_050", "width": 16, "units": 2},
    ("recipe", "pgd-at"): {"steps": 2, "validation_steps": 2},
    ("recipe", "trades"): {"steps": 2, "validation_steps": 2},
    ("recipe", "mart"): {"steps": 2, "validation_steps": 2},
    ("recipe", "fgsm-at"): {"validation_steps": 2},
    ("recipe", "meddef-at"): {
        "warm_up_epochs": 1, "aggressive_epochs": 0, "steps": 2, "validation_steps": 2,
    },
    ("recipe", "mixed-at"): {"steps": 2, "validation_steps": 2, "jsma_steps": 2},
    ("recipe", "distillation"): {"teacher_epochs": 1, "student_epochs": 1},
    ("recipe", "wgan-augmented"): {
        "classifier_epochs": 1, "gan_epochs": 1, "augmented_epochs": 1, "latent": 8, "width": 4,
        "steps": 2, "validation_steps": 2,
    },
    ("recipe", "invgan"): _ONE_EACH,
    ("recipe", "denoiser"): {"classifier_epochs": 1, "denoiser_epochs": 1, "fine_tune_epochs": 1},
    ("recipe", "block-switching"): {
        "sub_model_epochs": 1, "denoiser_epochs": 1, "switching_epochs": 1,
    },
}
# A catalogue cannot be tested whole; these are its smallest networks.
_PROVIDED = {"timm/*": "timm/lcnet_035", "torchvision/*": "torchvision/squeezenet1_0"}
_SLOW = {
    *(("attack", card.name) for card in Registry.discover().own("attack")
      if card.name.startswith("art/") and card.name != "art/fgsm"),
    # each is built from what another one, which stays, is built from
    ("model", "prune-resnet34"), ("model", "prune-cbam-resnet34"), ("model", "bam-resnet34"),
    ("model", "selfattn-resnet34"), ("model", "meddef-wo-afd"), ("model", "meddef-wo-afd-mfe"),
    ("model", "meddef-wo-afd-mfe-msf"), ("model", "drsn-without-tvl"),
    ("model", "resnet34"), ("model", "autoencoder-resnet34"),
}


def _things() -> list[Any]:
    registry = Registry.discover()
    return [_parameter(kind, card) for kind in KINDS for card in registry.own(kind)]


def _parameter(kind: Kind, card: Card) -> Any:
    name = _PROVIDED.get(card.name, card.name)
    marks = []
    if card.traits.get("source") in ("file", "download"):
        marks.append(pytest.mark.skip(reason=f"{name} needs a {card.traits['source']}"))
    if card.is_provider and card.name not in _PROVIDED:
        marks.append(pytest.mark.skip(reason=f"no small network of {name} is named here"))
    if card.traits.get("task") == "segmentation":
        marks.append(pytest.mark.skip(reason=f"{name} gives masks: see tests/segmentation"))
    if (kind, name) in _SLOW:
        marks.append(pytest.mark.slow)
    return pytest.param(kind, name, id=f"{kind}-{name}", marks=marks)


@pytest.mark.parametrize(("kind", "name"), _things())
def test_is_conformant(kind: Kind, name: str) -> None:
    entry = Registry.discover().get(kind, name)
    card = entry.card
    made, params = entry.load(), {**card.check, **_QUICK.get((kind, name), {})}
    checks: Iterable[Check]
    if kind == "model":
        checks = model_checks(made, params, card.traits)
    elif kind == "attack":
        checks = attack_checks(made, params, card.traits, apart=card.check_apart)
    elif kind == "defense":
        checks = defense_checks(made, params, card.traits)
    elif kind == "recipe":
        fits = card.traits.get("fits", [None])[0]
        network = fitting(Registry.discover(), card, **_QUICK.get(("model", fits), {}))
        checks = recipe_checks(made, params, card.traits, network=network)
    else:
        checks = dataset_checks(made, params)
    done = list(checks)
    assert len(done) > 6
    assert_conformant(done)


@pytest.mark.parametrize("name", ["fgsm", "bim", "noise", "art/fgsm"])
def test_attacks_are_conformant_with_another_norm(name: str) -> None:
    entry = Registry.discover().get("attack", name)
    params, traits = {**entry.card.check, "norm": "l2"}, {**entry.card.traits, "norm": "l2"}
    assert_conformant(attack_checks(entry.load(), params, traits))
