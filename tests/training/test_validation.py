from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, log_loss
from torch import Tensor, nn

from robench.training.objective import Epoch
from robench.training.validation import Measurement, measure

from .stand_ins import ArraySplit, Normalised, stripes
from .test_state import REPORT

CPU = torch.device("cpu")
EPOCH = Epoch(number=1, total=1, history=(), class_weights=None, generator=torch.Generator())


def linear_network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(Normalised(), nn.Flatten(), nn.Linear(64, 2, bias=False))


def unsorted(*, ones: float = 0.5) -> ArraySplit:
    """Images with labels that say nothing about them."""
    return ArraySplit(stripes(30, seed=3).images, stripes(30, seed=4, ones=ones).labels)


class Clean:
    def attacked(self, *_: object) -> None:
        return None


class Flipped:
    """Attacks by turning the image round: a change whose effect is easy to compute."""

    def attacked(self, network: nn.Module, images: Tensor, *_: object) -> Tensor:
        assert not any(module.training for module in network.modules())
        return images.flip(3)


def found(split: ArraySplit, objective: object, *, batch_size: int = 7) -> Measurement:
    return measure(
        linear_network(), split, objective, epoch=EPOCH, batch_size=batch_size, device=CPU,
        training_counts=np.bincount(split.labels),
    )  # fmt: skip


def probabilities(split: ArraySplit, *, flipped: bool = False) -> np.ndarray:
    pixels = torch.from_numpy(split.images).permute(0, 3, 1, 2) / 255.0
    with torch.no_grad():
        logits = linear_network()(pixels.flip(3) if flipped else pixels)
    return logits.double().softmax(dim=1).numpy()


def test_clean_accuracy_and_loss() -> None:
    split = unsorted()
    expected = probabilities(split)
    result = found(split, Clean())
    assert result.robust_accuracy is None
    assert result.accuracy == result.value == np.mean(expected.argmax(1) == split.labels)
    assert result.loss == pytest.approx(log_loss(split.labels, expected), rel=1e-5)
    assert result.criterion == "validation accuracy"


def test_robust_is_right_before_and_after() -> None:
    split = unsorted()
    before = probabilities(split).argmax(1) == split.labels
    after = probabilities(split, flipped=True).argmax(1) == split.labels
    assert (before & after).mean() not in (before.mean(), after.mean())
    result = found(split, Flipped())
    assert result.accuracy == before.mean()
    assert result.robust_accuracy == result.value == (before & after).mean()
    assert result.loss == pytest.approx(
        log_loss(split.labels, probabilities(split, flipped=True)), rel=1e-5
    )
    assert result.criterion == "robust validation accuracy"


def test_unbalanced_splits_are_judged_by_the_macro_recall() -> None:
    split = unsorted(ones=0.8)
    predicted = probabilities(split).argmax(1)
    expected = balanced_accuracy_score(split.labels, predicted)
    result = found(split, Clean())
    assert result.value == pytest.approx(expected)
    assert result.accuracy == np.mean(predicted == split.labels)
    assert result.value != pytest.approx(result.accuracy)
    assert result.criterion == "balanced validation accuracy"


def test_batches_do_not_matter() -> None:
    split = unsorted()
    one, other = found(split, Flipped(), batch_size=2), found(split, Flipped(), batch_size=64)
    assert one == replace(other, loss=one.loss)
    assert one.loss == pytest.approx(other.loss, rel=1e-6)


@pytest.mark.parametrize(
    ("value", "loss", "better"),
    [(0.6, 9.0, True), (0.5, 2.4, True), (0.5, 2.5, False), (0.5, 2.6, False), (0.4, 0.1, False)],
)
def test_value_then_loss_then_the_earlier_epoch(value: float, loss: float, better: bool) -> None:
    best = replace(REPORT, selection_value=0.5, validation_loss=2.5)
    now = Measurement(
        accuracy=0.0, robust_accuracy=None, value=value, loss=loss, criterion="validation accuracy"
    )
    assert now.is_better_than(best) is better
    assert now.is_better_than(None)
