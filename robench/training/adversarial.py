"""What adversarial recipes share: images crafted, then a loss, at worse weights if asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from robench.training.awp import WeightPerturbation
from robench.training.craft import Adversary
from robench.training.objective import Epoch


@dataclass(frozen=True, kw_only=True)
class AdversarialObjective(ABC):
    """A loss on images crafted anew for each batch; `validation` attacks the validation split.

    With `awp` the loss is descended at perturbed weights. The images are crafted before, on the
    weights as they are.
    """

    validation: Adversary
    awp: WeightPerturbation | None = None

    @abstractmethod
    def crafted(self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch) -> Tensor:
        """The adversarial images of a batch, N×C×H×W; the network stays as it is."""

    @abstractmethod
    def loss_on(
        self, network: nn.Module, images: Tensor, crafted: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        """The loss (a scalar) and the logits N×K of the crafted images."""

    def loss(
        self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch
    ) -> tuple[Tensor, Tensor]:
        crafted = self.crafted(network, images, labels, epoch)
        if self.awp is not None and epoch.number > self.awp.warm_up:
            network = self.awp.moved(
                network, lambda there: self.loss_on(there, images, crafted, labels, epoch)[0]
            )
        return self.loss_on(network, images, crafted, labels, epoch)

    def attacked(self, network: nn.Module, images: Tensor, labels: Tensor, epoch: Epoch) -> Tensor:
        return self.validation.images(network, images, labels, epoch.generator)
