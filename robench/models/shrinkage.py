"""Residual shrinkage units: soft thresholds that a network sets for itself, image by image.

Source: Zhao, Zhong, Fu, Tang, Pecht, "Deep Residual Shrinkage Networks for Fault Diagnosis",
IEEE TII 16(7), 2020, section II and figure 4. The units were drawn for signals; the authors'
released image code (github.com/zhao62/Deep-Residual-Shrinkage-Networks) settles what the paper
leaves open for images: 3×3 convolutions with a bias and He-normal weights, He et al.'s order
BN-ReLU-convolution, and a shortcut without weights.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from robench.errors import UserError, nearest

Threshold = Literal["channel-wise", "shared"]


def soft_threshold(features: Tensor, threshold: Tensor) -> Tensor:
    """sign(x) · max(|x| − τ, 0), for a `threshold` τ ≥ 0 that broadcasts to `features`.

    The derivative in x is 1 where |x| > τ, on both sides, and 0 elsewhere; in τ it is −sign(x)
    where |x| > τ and 0 elsewhere; at |x| = τ, where both have a kink, they are 0. (The paper of
    DRSN-TVL prints −1 for x < −τ in its equation 10; the slope of x + τ is +1.)
    """
    return features.sign() * functional.relu(features.abs() - threshold)


class Shrinkage(nn.Module):
    """Soft thresholding of N×C×H×W features by thresholds made from the features themselves.

    With a_c the mean of |x_c| over the positions, α = sigmoid(FC(ReLU(BN(FC(a))))), widths
    C → C/`fc_reduction` → C, and τ_c = α_c · a_c ("channel-wise"); or C → C/`fc_reduction` → 1
    and one τ = α · mean |x| over positions and channels ("shared"). As a is a mean of absolute
    values and α lies in (0,1), 0 ≤ τ ≤ mean |x|: the thresholds never amplify, and never zero a
    whole map that is not zero already.

    `smoothed` says whether the recipe `tvl` counts the variation of what this module puts out.
    """

    def __init__(
        self, channels: int, *, threshold: Threshold = "channel-wise", fc_reduction: int = 1
    ) -> None:
        super().__init__()
        check_units(threshold=threshold, fc_reduction=fc_reduction)
        hidden = max(channels // fc_reduction, 1)
        self.shared = threshold == "shared"
        self.smoothed = True
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden),
            _VectorNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1 if self.shared else channels),
            nn.Sigmoid(),
        )

    def thresholds(self, features: Tensor) -> Tensor:
        """τ of each image, N×C×1×1, or N×1×1×1 where the channels share one."""
        magnitudes = features.abs().mean(dim=(2, 3))
        scale: Tensor = self.fc(magnitudes)
        if self.shared:
            magnitudes = magnitudes.mean(dim=1, keepdim=True)
        return (scale * magnitudes)[:, :, None, None]

    def forward(self, features: Tensor) -> Tensor:
        return soft_threshold(features, self.thresholds(features))


class ResidualShrinkageUnit(nn.Module):
    """RSBU-CW ("channel-wise") or RSBU-CS ("shared"): BN-ReLU-conv twice, shrinkage, shortcut.

    N×`in_channels`×H×W to N×`out_channels`×⌈H/stride⌉×⌈W/stride⌉. The shortcut takes every
    `stride`-th position; where the channels grow it has zero channels on both sides, as in the
    released code. Where they shrink, zeros cannot help and a 1×1 convolution projects.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1,
        threshold: Threshold = "channel-wise", fc_reduction: int = 1,
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(in_channels), nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
            nn.BatchNorm2d(out_channels), nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.shrinkage = Shrinkage(out_channels, threshold=threshold, fc_reduction=fc_reduction)
        self.projection = (
            nn.Conv2d(in_channels, out_channels, 1, bias=False)
            if out_channels < in_channels else None
        )
        self.stride = stride
        self.added_channels = max(out_channels - in_channels, 0)
        draw_he_normal(self)

    def forward(self, features: Tensor) -> Tensor:
        shrunk: Tensor = self.shrinkage(self.residual(features))
        return shrunk + self._shortcut(features)

    def _shortcut(self, features: Tensor) -> Tensor:
        kept = features[:, :, ::self.stride, ::self.stride]
        if self.projection is not None:
            projected: Tensor = self.projection(kept)
            return projected
        before = self.added_channels // 2
        return functional.pad(kept, (0, 0, 0, 0, before, self.added_channels - before))


class _VectorNorm(nn.BatchNorm1d):
    """BatchNorm of N×C that also trains on one image.

    The variance of a single vector is no estimate: a batch of one is normalised by the running
    statistics, which it leaves as they are, in train mode as in eval mode.
    """

    def forward(self, vectors: Tensor) -> Tensor:
        if self.training and len(vectors) == 1:
            return functional.batch_norm(
                vectors, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(vectors)


def draw_he_normal(network: nn.Module) -> None:
    """He-normal weights and zero biases for every convolution and linear layer."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_units(*, threshold: object, fc_reduction: object) -> None:
    """Raise UserError naming the setting of the units that cannot be used."""
    kinds = get_args(Threshold)
    if threshold not in kinds:
        raise UserError("threshold", got=threshold, expected=" or ".join(kinds),
                        nearest=nearest(str(threshold), kinds))
    whole = isinstance(fc_reduction, int) and not isinstance(fc_reduction, bool)
    if not whole or fc_reduction < 1:  # type: ignore[operator]
        raise UserError("fc_reduction", got=fc_reduction,
                        expected="a whole number ≥ 1: widths C → C/fc_reduction → C")


def shrinkages(network: nn.Module) -> list[Shrinkage]:
    """The shrinkage modules of a network, in the order in which they were put in."""
    return [module for module in network.modules() if isinstance(module, Shrinkage)]
