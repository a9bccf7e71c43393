"""The vote of a classifier over noisy copies of each image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from robench.defenses.backward import with_gradient_of
from robench.defenses.checks import check_number, check_whole

# A class that is never voted for stands as if it had a thousandth of a vote: were it less, the
# cross-entropy of a sure network would have next to no gradient.
_LEAST = 1e-3


class Vote(nn.Module):
    """Pixels N×C×H×W in [0,1] to log(max(v + p, 0.001)/(n + 1)), N×K.

    `network` sees n = `copies` of each image, with Gaussian noise of standard deviation `sigma`
    in each, drawn for each pixel from torch's global generator; noisy pixels are not cut to [0,1].
    v is how many copies it puts into a class. p, the mean of its softmax over the copies, decides
    between equal votes and, being below one, nothing else.

    The backward pass is that of the mean over the copies of log softmax: votes have no gradient.
    Copies are computed one after the other, and again in the backward pass, so that memory does
    not grow with their number.
    """

    def __init__(self, network: nn.Module, *, sigma: float, copies: int) -> None:
        super().__init__()
        self.network = network
        self.sigma = check_number("sigma", sigma, above=0.0)
        self.copies = check_whole("copies", copies, low=1)

    def extra_repr(self) -> str:
        return f"sigma={self.sigma:g}, copies={self.copies}"

    def forward(self, images: Tensor) -> Tensor:
        differentiated = torch.is_grad_enabled() and images.requires_grad
        slope = votes = shares = torch.zeros(())
        for number in range(self.copies):
            logs = (checkpoint(self._of_a_copy, images, use_reentrant=False)
                    if differentiated else self._of_a_copy(images))
            voted = functional.one_hot(logs.argmax(dim=1), logs.shape[1]).to(logs)
            share = logs.detach().exp()
            if number == 0:
                slope, votes, shares = logs, voted, share
            else:
                slope, votes, shares = slope + logs, votes + voted, shares + share
        counted = (votes + shares / self.copies).clamp_min(_LEAST)
        value = (counted / (self.copies + 1)).log()
        return with_gradient_of(slope / self.copies, value) if differentiated else value

    def _of_a_copy(self, images: Tensor) -> Tensor:
        logits = self.network(images + self.sigma * torch.randn_like(images))
        if logits.shape[1] == 1:  # one logit z stands for (0, z)
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        return torch.log_softmax(logits, dim=1)
