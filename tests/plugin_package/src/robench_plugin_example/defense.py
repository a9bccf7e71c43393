"""Fewer grey values in front of a network."""

from torch import nn

import robench


class BitDepth(nn.Module):
    def __init__(self, bits, network):
        super().__init__()
        self.steps, self.network = 2**bits - 1, network

    def forward(self, images):
        rounded = (images * self.steps).round() / self.steps
        return self.network(images + (rounded - images).detach())  # the gradient passes through


@robench.card(summary="rounds pixels to fewer bits; its gradient is that of no rounding")
def bit_depth(network, *, bits=4):
    if not 1 <= bits <= 8:
        raise robench.UserError("bits", got=bits, expected="a whole number from 1 to 8")
    return BitDepth(bits, network)
