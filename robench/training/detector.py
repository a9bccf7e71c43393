"""A network that tells attacked images from clean ones: trained, and measured on unseen images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from torch import nn

from robench.attacks.base import Attack
from robench.data import Dataset
from robench.errors import UserError
from robench.freezing import frozen
from robench.training.batches import to_pixels
from robench.training.checks import check_positive, check_whole
from robench.training.logits import class_logits
from robench.training.monitor import Monitor
from robench.training.standard import standard
from robench.victim import Victim

if TYPE_CHECKING:
    from robench.data import Split

CLASSES = ("clean", "attacked")
MAX_FALSE_POSITIVES = 0.05

Recipe = Callable[..., nn.Module]


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A trained detector and what it is worth on the test split.

    `network` maps pixels N×C×H×W to logits N×2, clean and attacked. `auroc` is over all attacks,
    `auroc_of` for each one against all clean images; `tpr` is the highest share of attacked images
    that a threshold finds while at most 5 % of the clean ones are taken for attacked. `clean` and
    `attacked` count the test images behind them.
    """

    network: nn.Module
    auroc: float
    auroc_of: Mapping[str, float]
    tpr: float
    clean: int
    attacked: int


def train_detector(
    network: nn.Module,
    classifier: nn.Module,
    dataset: Dataset,
    *,
    attacks: Mapping[str, Attack],
    epsilon: float,
    device: torch.device | str,
    seed: int,
    batch_size: int = 64,
    recipe: Recipe = standard,
    monitor: Monitor | None = None,
    **settings: object,
) -> Detection:
    """Train `network`, of two outputs, to tell clean images from attacked ones.

    `attacks` on the `classifier` take turns over the images of each split of `dataset`, at the
    radius `epsilon`; each image is there once as it is and once attacked. Attacked ones are
    rounded to 8 bits, as clean ones are: a detector could otherwise see by the fractions alone.
    Left out of them are those that no attack has moved, as where the classifier was wrong before.
    `recipe` trains with its `settings` on the two classes; `tvl` is the one for networks with
    shrinkage units. The classifier stays as it is. The test split is for the figures alone.

    DRSN-TVL (Gopalakrishnan et al. 2025) may mean this by identifying attacks: it leaves open
    whether it classifies diagnoses or attacks. Raises UserError for a data set without a training
    or test split, without attacks, and where nothing was moved.
    """
    check_positive("epsilon", epsilon)
    check_whole("batch_size", batch_size, low=2)
    if not attacks:
        raise UserError("parameter 'attacks' is not usable", got=dict(attacks),
                        expected="at least one attack by its name")
    for name in ("train", "test"):
        if name not in dataset.splits:
            raise UserError(f"data set '{dataset.name}' has no {name} images to detect attacks on")
    place = torch.device(device)
    classifier.to(place)
    halves = {
        name: _with_attacked(
            split, classifier, attacks, epsilon=epsilon, device=place, seed=seed,
            batch_size=batch_size,
        )
        for name, split in dataset.splits.items()
    }
    two = _dataset(dataset.name, halves)
    trained = recipe(
        network, two, device=place, seed=seed, batch_size=batch_size, monitor=monitor, **settings
    )
    return _measured(trained, halves["test"], [*attacks], device=place, batch_size=batch_size)


@dataclass(frozen=True, kw_only=True)
class _Halves:
    """Images N×H×W×C uint8; `attack` is −1 for a clean one, else which attack moved it."""

    images: np.ndarray
    attack: np.ndarray


def _with_attacked(
    split: Split, classifier: nn.Module, attacks: Mapping[str, Attack], *, epsilon: float,
    device: torch.device, seed: int, batch_size: int,
) -> _Halves:
    images = np.asarray(split.images[:])
    victim = Victim(classifier)
    turn = np.arange(len(images)) % len(attacks)
    moved = images.copy()
    for number, attack in enumerate(attacks.values()):
        rows = np.flatnonzero(turn == number)
        for part in np.split(rows, range(batch_size, len(rows), batch_size)):
            if len(part) == 0:
                continue
            (found,) = attack(
                victim, to_pixels(images[part], device), torch.from_numpy(split.labels[part]),
                epsilons=None if attack.budget == "minimum" else [epsilon],
                image_ids=[str(name) for name in split.image_ids[part]], seed=seed,
            )
            pixels = found.adversarial.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)
            moved[part] = pixels.cpu().numpy()
    changed = (moved != images).reshape(len(images), -1).any(axis=1)
    return _Halves(
        images=np.concatenate([images, moved[changed]]),
        attack=np.concatenate([np.full(len(images), -1), turn[changed]]),
    )


def _dataset(name: str, halves: Mapping[str, _Halves]) -> Dataset:
    for split, half in halves.items():
        if not (half.attack >= 0).any():
            raise UserError(f"the attacks moved no image of the {split} split",
                            where=f"data set '{name}'", expected="a larger epsilon")
    return Dataset.from_arrays(
        np.concatenate([half.images for half in halves.values()]),
        np.concatenate([half.attack >= 0 for half in halves.values()]).astype(np.int64),
        class_names=CLASSES,
        split=[split for split, half in halves.items() for _ in half.attack],
        name=f"{name}, clean and attacked",
    )


def _measured(
    network: nn.Module, half: _Halves, names: list[str], *, device: torch.device, batch_size: int
) -> Detection:
    scores = []
    with frozen(network), torch.no_grad():
        for rows in np.split(np.arange(len(half.attack)),
                             range(batch_size, len(half.attack), batch_size)):
            logits = class_logits(network(to_pixels(half.images[rows], device)))
            scores.append((logits[:, 1] - logits[:, 0]).cpu().numpy())
    score, is_attacked = np.concatenate(scores), half.attack >= 0
    false, true, _ = roc_curve(is_attacked, score, drop_intermediate=False)
    aurocs = {}
    for number, name in enumerate(names):
        rows = (half.attack == -1) | (half.attack == number)
        if (half.attack == number).any():
            aurocs[name] = float(roc_auc_score(is_attacked[rows], score[rows]))
    return Detection(
        network=network,
        auroc=float(roc_auc_score(is_attacked, score)),
        auroc_of=aurocs,
        tpr=float(true[false <= MAX_FALSE_POSITIVES].max()),
        clean=int((~is_attacked).sum()),
        attacked=int(is_attacked.sum()),
    )
