"""Training on masks: it learns, selects, follows its schedule and repeats to the bit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import robench
from robench.segmentation import (
    MaskDataset,
    MaskEpoch,
    bce_dice,
    evaluate,
    masks_npz,
    predict,
    score,
    soft_dice,
    train,
)
from robench.segmentation.evaluation import checked_maps
from robench.training.batches import to_pixels

from .stand_ins import squares, squares_data

DATA = squares_data()


def network(width: int = 4) -> nn.Module:
    return robench.model("unet", num_classes=1, in_channels=1, image_size=16, width=width)


def test_it_learns_squares() -> None:
    epochs: list[MaskEpoch] = []
    many = replace(DATA, train=squares(32, seed=0))
    trained = train(network(width=8), many, epochs=12, batch_size=4, progress=epochs.append)
    assert not trained.training
    assert DATA.test is not None
    assert evaluate(trained, DATA.test).dice > 0.9
    assert epochs[-1].loss < 0.5 * epochs[0].loss


def test_the_best_validation_epoch_is_kept() -> None:
    epochs: list[MaskEpoch] = []
    trained = train(network(), DATA, epochs=5, learning_rate=0.05, progress=epochs.append)
    assert DATA.validation is not None
    best = max(epoch.validation_dice or 0.0 for epoch in epochs)
    assert evaluate(trained, DATA.validation).dice == best
    chosen = [epoch for epoch in epochs if epoch.selected]
    assert chosen[-1].validation_dice == best
    found = [epoch.validation_dice or 0.0 for epoch in chosen]
    assert found == sorted(set(found)), "only a better epoch replaces the best"


def test_without_validation_the_last_epoch_is_kept() -> None:
    epochs: list[MaskEpoch] = []
    snapshots: list[Tensor] = []
    built = network()

    def look(epoch: MaskEpoch) -> None:
        epochs.append(epoch)
        snapshots.append(next(built.parameters()).detach().clone())

    train(built, MaskDataset(name="squares", train=DATA.train), epochs=3, progress=look)
    assert [epoch.selected for epoch in epochs] == [True] * 3
    assert epochs[0].validation_dice is None
    assert torch.equal(next(built.parameters()), snapshots[-1])
    assert not torch.equal(snapshots[-1], snapshots[-2])


def test_the_learning_rate_is_a_cosine_between_its_ends() -> None:
    epochs: list[MaskEpoch] = []
    train(network(), DATA, epochs=5, progress=epochs.append)
    rates = [epoch.learning_rate for epoch in epochs]
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(
        torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-2), T_max=4, eta_min=1e-4
    )
    expected = []
    for _ in range(5):
        expected.append(reference.get_last_lr()[0])
        reference.optimizer.step()
        reference.step()
    assert rates == pytest.approx(expected)
    assert (rates[0], rates[-1]) == pytest.approx((1e-2, 1e-4))


def test_one_seed_gives_one_network_and_leaves_the_random_state() -> None:
    state = torch.get_rng_state()
    one, same, other = (
        train(network(), DATA, epochs=2, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_classes_and_losses_of_ones_own() -> None:
    split = squares(6, seed=5)
    three = replace(split, masks=split.masks * (1 + (np.arange(6) % 2).astype(np.uint8))[
        :, None, None])
    seen: list[int] = []

    def loss(logits: Tensor, masks: Tensor) -> Tensor:
        seen.append(len(logits))
        return soft_dice(checked_maps(logits, logits, num_classes=3), masks)

    built = robench.model("unet", num_classes=3, in_channels=1, image_size=16, width=2)
    train(built, MaskDataset(name="three", num_classes=3, train=three), epochs=1, batch_size=5,
          loss=loss)
    assert seen == [6], "a last batch of one joins the one before it"


@pytest.mark.slow
def test_a_narrow_unet_on_nuclei() -> None:
    """A part of the 2018 Data Science Bowl, in about a minute on one slow core."""
    file = Path(os.environ.get("ROBENCH_DATA", "")) / "dsb2018_nuclei_96.npz"
    if not os.environ.get("ROBENCH_DATA") or not file.is_file():
        pytest.skip("dsb2018_nuclei_96.npz is not in ROBENCH_DATA")
    whole = masks_npz(file)
    assert whole.train is not None
    assert whole.validation is not None
    assert whole.test is not None
    assert [len(split) for split in (whole.train, whole.validation, whole.test)] == [469, 67, 134]
    few = replace(whole, train=whole.train.select(slice(160)),
                  validation=whole.validation.select(slice(32)))
    built = robench.model("unet", num_classes=1, in_channels=3, image_size=96, width=8)
    train(built, few, epochs=8)
    test = whole.test
    scores = evaluate(built, test)
    everything = score(np.ones_like(test.masks), test.masks, test.image_ids)
    assert everything.dice == pytest.approx(0.2281, abs=1e-4)
    assert scores.dice > everything.dice + 0.3
    assert scores.iou > everything.iou + 0.3

    # The gradient of the loss in the pixels leads an attack: one signed step of 4/255.
    pixels = to_pixels(test.images[:16], torch.device("cpu")).requires_grad_(True)
    masks = torch.from_numpy(test.masks[:16])
    bce_dice(built(pixels), masks).sum().backward()
    assert pixels.grad is not None
    attacked = (pixels.detach() + 4 / 255 * pixels.grad.sign()).clamp(0, 1)
    clean = score(predict(built, pixels.detach()).numpy(), test.masks[:16], test.image_ids[:16])
    broken = score(predict(built, attacked).numpy(), test.masks[:16], test.image_ids[:16])
    assert broken.dice < clean.dice - 0.05
