"""k-winners-take-all in place of ReLU."""

from __future__ import annotations

from torch import nn

from robench.defenses.replace import with_layers_replaced
from robench.models.kwta import KWinners


def kwta(network: nn.Module, *, ratio: float = 0.2) -> nn.Module:
    """A copy of `network` with `robench.models.kwta.KWinners` in place of its ReLU layers.

    Xiao, Zhong, Zheng, ICLR 2020 (arXiv 1905.10510); `ratio` is that of Chen et al. 2021. Raises
    UserError for a `ratio` outside (0, 1], and for a network without nn.ReLU.
    """
    return with_layers_replaced(network, nn.ReLU, lambda _: KWinners(ratio), what="ReLU")
