"""k-winners-take-all ResNet-34: Xiao, Zhong, Zheng, ICLR 2020; in Chen et al. 2021 a baseline."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from robench.errors import UserError
from robench.models.resnet import LAYERS_34, Stem, fitted


class KWinners(nn.Module):
    """Of each image's activations, C·H·W of them, the largest ⌊`ratio`·C·H·W⌋ (at least one) stay
    and the others become zero.

    Activations that equal the smallest of the winners stay too. The gradient goes through what
    stays. Raises UserError for a `ratio` outside (0, 1].
    """

    def __init__(self, ratio: float) -> None:
        super().__init__()
        number = isinstance(ratio, (int, float)) and not isinstance(ratio, bool)
        if not number or not 0 < ratio <= 1:
            raise UserError("ratio", got=ratio, expected="a number in (0, 1]")
        self.ratio = ratio

    def extra_repr(self) -> str:
        return f"ratio={self.ratio:g}"

    def forward(self, activations: Tensor) -> Tensor:
        flat = activations.flatten(1)
        winners = max(math.floor(self.ratio * flat.shape[1]), 1)
        weakest = flat.detach().topk(winners, dim=1, sorted=True).values[:, -1:]
        return (flat * (flat >= weakest)).reshape(activations.shape)


class KWinnersBlock(BasicBlock):  # type: ignore[misc]
    """A BasicBlock whose two ReLUs are k-winners: after bn1 and after the residual is added."""

    winners: nn.Module

    def forward(self, features: Tensor) -> Tensor:
        residual = self.winners(self.bn1(self.conv1(features)))
        residual = self.bn2(self.conv2(residual))
        kept = features if self.downsample is None else self.downsample(features)
        activated: Tensor = self.winners(residual + kept)
        return activated


def kwta_resnet34(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], ratio: float = 0.2,
    stem: Stem = "small", pretrained: bool | str = False,
) -> nn.Module:
    """ResNet-34 whose blocks let `ratio` of their activations through, N×`in_channels`×H×W pixels.

    The stem keeps its ReLU; "small" (3×3, stride 1, no max-pooling) is the authors' at every image
    size. `pretrained` as for `resnet34`, with stem "imagenet".
    """
    network = ResNet(KWinnersBlock, list(LAYERS_34), num_classes=num_classes)
    for block in network.modules():
        if isinstance(block, KWinnersBlock):
            del block.relu
            block.winners = KWinners(ratio)
    return fitted(
        network, in_channels=in_channels, image_size=image_size, stem=stem,
        weights="resnet34.tv_in1k", pretrained=pretrained,
    )
