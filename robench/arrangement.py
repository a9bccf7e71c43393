"""The same frozen network, arranged so that its passes take less time.

Weights and images lie channels-last, BatchNorm is folded into the convolution before it, a ReLU in
front of a max-pooling goes behind it, and on a CPU the convolution at the entrance has a way back
of its own and those of many weights have these laid out beforehand. What comes out is used only
where it gives the logits of the network it was made from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from robench.entrance import with_entrance
from robench.packing import with_packed_weights
from robench.rewriting import copied, rewritten
from robench.snapshots import state_of

TOLERANCE = 1e-4
"""Largest difference of a logit, over the largest logit; roundings give 1e-7 to 1e-5."""
_PROBES = 4
_ROWS = 8
"""How many rows of a tile are looked at, where so many are there."""


def arranged(network: nn.Module, images: Tensor) -> nn.Module | None:
    """A faster copy of `network`, which is frozen and in eval mode, for pixels like `images`.

    None where there is nothing to gain (a network of linear layers); where a copy might not do
    what the network does, because it has hooks, changes as it computes, or cannot be copied; and
    where the copy's logits for some of the images N×C×H×W, and for noise of their shape, differ by
    more than rounding: a network that draws random numbers, or decides by the last bits.
    """
    kinds = [type(layer) for layer in network.modules()]
    if kinds.count(nn.Conv2d) <= kinds.count(nn.Linear):
        return None
    if any(_hooks(module) for module in network.modules()):
        return None
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((_PROBES, *images.shape[1:]), generator=generator)
    probe = torch.cat([images[:_PROBES], noise.to(images.device)])
    with torch.no_grad(), torch.random.fork_rng(_devices(images)):
        before = state_of(network)
        asked = network(probe)
        if state_of(network) != before:
            return None
        for arrange in (rewritten, copied):
            candidate = arrange(network)
            if candidate is None:
                continue
            candidate = with_entrance(candidate.to(memory_format=torch.channels_last))
            packed = with_packed_weights(candidate)
            if packed is not None and _equal(asked, _given(packed, probe)):
                return packed
            if _equal(asked, _given(candidate, probe)):
                return candidate
    return None


def channels_last(images: Tensor) -> Tensor:
    """Images N×C×H×W as they lie in memory for an arranged network."""
    return images.contiguous(memory_format=torch.channels_last)


def same_bits(
    compute: Callable[[Tensor], Tensor], shape: tuple[int, ...], *, device: torch.device,
    fractions: Sequence[int],
) -> tuple[int, ...]:
    """The numbers of rows, fractions of those of a tile of `shape` n×C×H×W, in which a network
    gives the bits it gives in a whole one, for logits and for gradients; ascending.

    Libraries choose their kernels by shapes, not by values, so what holds for thousands of random
    values holds for all, and a few rows of the tile, its last ones, are enough.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(shape, generator=generator).to(device)

    def passes(size: int, rows: int) -> tuple[Tensor, Tensor]:
        logits, slopes = [], []
        for part in torch.split(images[-rows:], size):
            leaf = part.clone().requires_grad_(True)
            output = compute(leaf)
            if not output.requires_grad:
                raise _NoGradientError
            weights = torch.linspace(-1.0, 1.0, output.shape[1], device=output.device)
            logits.append(output.detach())
            slopes.append(torch.autograd.grad((output * weights).sum(), leaf)[0])
        return torch.cat(logits), torch.cat(slopes)

    sizes = [len(images) // part for part in fractions if len(images) % part == 0]
    with torch.enable_grad(), torch.random.fork_rng(_devices(images)):
        try:
            whole = passes(len(images), len(images))
            return tuple(size for size in sorted(sizes) if all(
                torch.equal(one[-max(size, _ROWS):], other)
                for one, other in zip(whole, passes(size, max(size, _ROWS)), strict=True)
            ))
        except (_NoGradientError, RuntimeError):  # what fails here fails in the attack, if it does
            return ()


class _NoGradientError(Exception):
    """Nothing between the pixels and the logits lets a gradient through."""


def _hooks(module: nn.Module) -> bool:
    return any(kept for name, kept in vars(module).items() if name.endswith("_hooks"))


def _given(network: nn.Module, probe: Tensor) -> Tensor | None:
    try:
        return network(channels_last(probe))  # type: ignore[no-any-return]
    except RuntimeError:  # as where a library has no kernel; what fails of itself fails again
        return None


def _equal(asked: Tensor, given: Tensor | None) -> bool:
    if not isinstance(given, Tensor) or given.shape != asked.shape or asked.numel() == 0:
        return False
    return float((asked - given).abs().max()) <= TOLERANCE * float(asked.abs().max())


def _devices(images: Tensor) -> list[torch.device]:
    return [images.device] if images.is_cuda else []
