"""BatchNorm statistics estimated anew: a pruned network has other activations than it was trained
with."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def reestimate_batchnorm(network: nn.Module, batches: Iterable[Tensor]) -> int:
    """Set the running statistics of every BatchNorm to their mean over `batches`, in place.

    Batches are float32 N×C×H×W in [0,1] on the network's device. Means and variances are averaged
    over the batches, each with the same weight; all layers are estimated in one pass, in which they
    normalise by the batch's own statistics, as in training. All else is in eval mode, no weight
    changes, and the network is left in eval mode. Returns how many BatchNorms there are; with none
    nothing is done.
    """
    norms = [module for module in network.modules()
             if isinstance(module, _BatchNorm) and module.running_mean is not None]
    network.eval()
    if not norms:
        return 0
    with ExitStack() as afterwards, torch.no_grad():
        afterwards.callback(network.eval)
        for norm in norms:
            afterwards.callback(setattr, norm, "momentum", norm.momentum)
            norm.reset_running_stats()
            norm.momentum = None  # torch then averages all batches alike
            norm.train()
        for images in batches:
            network(images)
    return len(norms)
