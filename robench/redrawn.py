"""A victim that draws random numbers in every pass, asked several times for each answer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robench.errors import VictimError
from robench.logits import shaped
from robench.victim import Victim

# A class that is never voted for stands as if it had a thousandth of a vote.
_LEAST = 1e-3


class Redrawn(Victim):
    """Logits are the mean of log softmax over `draws` passes, and so are their gradients.

    Expectation over transformation: Athalye, Engstrom, Ilyas, Kwok 2018 (arXiv 1707.07397) and
    Athalye, Carlini, Wagner 2018 (arXiv 1802.00420), section 4.2. Losses are taken of the mean: in
    a mean of losses, draws that are wrong already outweigh those that are right, and ascent makes
    the wrong ones worse. An iterate counts as a success only if, in `draws` passes that are drawn
    anew, most answers are wrong. Raises VictimError for `draws` below 1.
    """

    def __init__(self, network: nn.Module, *, draws: int) -> None:
        if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
            raise VictimError("draws", got=draws, expected="a whole number ≥ 1")
        super().__init__(_Mean(network, draws))
        self.draws = draws
        self.is_random = True
        self._once = [Victim(network)]  # in a list, so that it is no part of this module twice

    @property
    def is_exact(self) -> bool:
        """False: a success may be one of the draws'."""
        return False

    def in_doubt(self, logits: Tensor) -> Tensor:
        return torch.ones(len(logits), dtype=torch.bool, device=logits.device)

    def asked_again(self, images: Tensor, logits: Tensor) -> Tensor:
        return self.verdict(images)

    def verdict(self, images: Tensor) -> Tensor:
        return self.votes(images)[0]

    def votes(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(log of the shares of the votes N×K, the answers as classes draws×N), drawn anew.

        Where two classes have equal votes, the mean softmax decides.
        """
        (once,) = self._once
        logs = torch.stack([
            torch.log_softmax(once.logits(images), dim=1) for _ in range(self.draws)
        ])
        classes = logs.argmax(dim=2)
        every = torch.arange(logs.shape[2], device=logs.device)
        votes = torch.eq(classes[..., None], every).sum(dim=0)
        shares = votes + logs.exp().mean(dim=0)
        return (shares.clamp_min(_LEAST) / (self.draws + 1)).log(), classes

    def halve_tiles(self, device: torch.device) -> int:
        self._once[0].halve_tiles(device)
        return super().halve_tiles(device)


class _Mean(nn.Module):
    """The mean of log softmax over several passes."""

    def __init__(self, network: nn.Module, draws: int) -> None:
        super().__init__()
        self.network = network
        self.draws = draws

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([
            torch.log_softmax(shaped(self.network(images), rows=len(images)), dim=1)
            for _ in range(self.draws)
        ]).mean(dim=0)
