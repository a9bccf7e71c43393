"""Networks that are made fit again after their pruning: by training, by BatchNorm statistics."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from robench.data import Dataset
from robench.data.allocation import hash_order
from robench.defenses.batchnorm import reestimate_batchnorm
from robench.defenses.pruning import sparsity, targets
from robench.errors import VictimError
from robench.plan import Remaking
from robench.registry import Registry
from robench.runner.bench import pixels
from robench.runner.networks import new_network, prune_at, run_recipe, saved
from robench.training.batches import index_batches, training_split
from robench.training.masks import hold_zeros, release_zeros
from robench.training.monitor import Monitor
from robench.training.seeding import reproducible

BATCHNORM_IMAGES = 1024
"""Training images on which BatchNorm statistics are estimated, where there are as many: the first
in the order of a hash of their ids, in batches of `BATCHNORM_BATCH`. Both are a choice, and raise
`versions.PRUNING` when they change."""

BATCHNORM_BATCH = 64


def remade(
    remaking: Remaking, weights: bytes, dataset: Dataset, registry: Registry, *,
    device: torch.device, monitor: Monitor,
) -> bytes:
    """Prune a network, estimate its BatchNorm statistics anew, train it again: what is asked for.

    `weights` are those of the trained network, or of what the rate before has made of it. Pruned
    weights stay zero while it is trained. Returns its weights as the bytes of a safetensors file.
    Raises VictimError for a third party's recipe that brings pruned weights back.
    """
    pruning, training = remaking.pruning, remaking.training
    network = new_network(training, dataset, registry)
    network.load_state_dict(safetensors.torch.load(weights))
    pruned = prune_at(network, pruning, remaking.steps, pruned_before=remaking.before is not None)
    if pruning.reestimate_batchnorm:
        network.to(device)
        with reproducible(device, training.seed, "batchnorm"):
            reestimate_batchnorm(network, estimation_batches(dataset, device))
    retraining = remaking.retraining
    if retraining is None:
        return saved(network, training)
    hold_zeros(targets(network, method=pruning.method, layers=pruning.layers))
    network = run_recipe(network, retraining, dataset, registry, device=device, monitor=monitor)
    release_zeros(network)
    if (found := sparsity(network)) < pruned.sparsity:
        raise VictimError(
            f"recipe '{retraining.recipe.label}' brings pruned weights back",
            got=f"sparsity {found:.6f}", expected=f"{pruned.sparsity:.6f}, as before it",
        )
    return saved(network, training)


def estimation_batches(dataset: Dataset, device: torch.device) -> Iterator[Tensor]:
    """The images that BatchNorm statistics are estimated on, float32 n×C×H×W in [0,1]."""
    split, _ = training_split(dataset)
    order = hash_order(split.image_ids, salt="batchnorm")[:BATCHNORM_IMAGES]
    for rows in index_batches(np.asarray(order), BATCHNORM_BATCH):
        yield pixels(split, rows, device)
