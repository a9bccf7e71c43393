"""The recipe `fgsm-at`: one step from a random start, and a watch for catastrophic overfitting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from robench.training.checks import check_choice, check_positive, check_share, check_whole
from robench.training.craft import Adversary
from robench.training.logits import class_logits
from robench.training.loop import train
from robench.training.monitor import Monitor, best_of
from robench.training.objective import Epoch, Verdict
from robench.training.pgd_at import PgdImages
from robench.training.settings import Settings
from robench.training.validation import Measurement

if TYPE_CHECKING:
    from robench.data import Dataset

OnOverfitting = Literal["stop", "tell"]


@dataclass(frozen=True, kw_only=True)
class FgsmImages(PgdImages):
    """Cross-entropy on one-step images; validation by PGD, and by the one step beside it.

    Catastrophic overfitting (Wong et al. 2020, section 5.4): the network is right under the step
    it is trained on, and under no more than that. An epoch has it if its accuracy under PGD is
    more than `drop` below that of the best epoch before it, and that under the one step is not.
    """

    drop: float
    on_overfitting: OnOverfitting

    def verdict(
        self, network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], found: Measurement,
        epoch: Epoch,
    ) -> Verdict | None:
        best = best_of(epoch.history)
        if best is None or best.robust_accuracy is None or found.robust_accuracy is None:
            return None
        least = best.robust_accuracy - self.drop
        if found.robust_accuracy >= least:
            return None
        after_step = self._accuracy(network, batches, epoch)
        if after_step < least:
            return None
        return Verdict(
            remark=f"catastrophic overfitting: {found.robust_accuracy:.1%} right under PGD "
            f"({best.robust_accuracy:.1%} in epoch {best.epoch}), {after_step:.1%} under FGSM",
            stop=self.on_overfitting == "stop",
        )

    def _accuracy(
        self, network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], epoch: Epoch
    ) -> float:
        """The share of the images that is right under the step that is trained on."""
        right, count = 0, 0
        for images, labels in batches:
            attacked = self.training.images(network, images, labels, epoch.generator)
            with torch.no_grad():
                right += int((class_logits(network(attacked)).argmax(dim=1) == labels).sum())
            count += len(labels)
        return right / count


def fgsm_at(
    network: nn.Module,
    dataset: Dataset,
    *,
    device: torch.device | str,
    seed: int,
    monitor: Monitor | None = None,
    epochs: int = 20,
    batch_size: int = 64,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    momentum: float = 0.9,
    schedule: str = "cosine",
    class_weights: str = "auto",
    patience: int | None = None,
    epsilon: float = 8 / 255,
    step_share: float = 1.25,
    validation_steps: int = 10,
    overfitting_drop: float = 0.2,
    on_overfitting: OnOverfitting = "stop",
) -> nn.Module:
    """Train `network` in place on one-step images; see `robench.training.loop.train`.

    Wong, Rice, Kolter 2020 (arXiv 2001.03994), algorithm 3: from a point uniform in the L∞ ball
    of radius `epsilon` one step of `step_share` · `epsilon` along the sign of the gradient, then
    back into the ball. The epoch with the highest robust accuracy on the validation split, under
    PGD from a random start with `validation_steps` of ε/4, is kept. Catastrophic overfitting, see
    `FgsmImages`, ends the training ("stop") or is only told ("tell"): by the report of the epoch
    and the log. The other parameters are those of `robench.training.settings.Settings`.
    """
    settings = Settings(
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        momentum=momentum,
        schedule=schedule,
        class_weights=class_weights,
        patience=patience,
    )
    check_positive("epsilon", epsilon, high=1.0)
    check_positive("step_share", step_share)
    check_whole("validation_steps", validation_steps, low=1)
    check_share("overfitting_drop", overfitting_drop)
    check_choice("on_overfitting", on_overfitting, get_args(OnOverfitting))
    adversary = Adversary(
        epsilon=epsilon, step_size=step_share * epsilon, steps=1, norm="linf", random_start=True
    )
    objective = FgsmImages(
        training=adversary,
        validation=replace(adversary, step_size=epsilon / 4, steps=validation_steps),
        drop=overfitting_drop,
        on_overfitting=on_overfitting,
    )
    return train(
        network, dataset, objective, settings=settings, device=device, seed=seed, monitor=monitor
    )
