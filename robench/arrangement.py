"""The same frozen network, arranged so that its passes take less time.

Weights and images lie channels-last, BatchNorm is folded into the convolution before it, a ReLU in
front of a max-pooling goes behind it, and on a CPU the convolution at the entrance has a way back
of its own, those of many weights have these laid out beforehand, and linear layers give a row the
same bits wherever it stands. What comes out is used only where it gives the logits, and their way
back the gradients, of the network it was made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from robench.alignment import has_odd_rows, with_aligned_rows
from robench.entrance import with_entrance
from robench.packing import with_packed_weights
from robench.pooled_entrance import with_pooled_entrance
from robench.rewriting import copied, rewritten
from robench.snapshots import state_of

TOLERANCE = 1e-4
"""Largest difference of a logit, over the largest logit; roundings give 1e-7 to 1e-5."""
SLOPE_TOLERANCE = 0.1
"""Largest length of the difference of an image's gradients, over theirs. Roundings give 1e-6, where
one decides which way a ReLU turns 1e-2; a way back that is wrong gives 1."""
_PROBES = 4


def arranged(network: nn.Module, images: Tensor) -> nn.Module | None:
    """A faster copy of `network`, which is frozen and in eval mode, for pixels like `images`, to be
    called with pixels as `channels_last` has them.

    None where there is nothing to gain (a network of linear layers), and where a copy cannot take
    the network's place: see `_in_place_of`.
    """
    kinds = [type(layer) for layer in network.modules()]
    if kinds.count(nn.Conv2d) <= kinds.count(nn.Linear):
        return None
    return _in_place_of(network, images, _faster(network))


def aligned(network: nn.Module, images: Tensor) -> nn.Module | None:
    """A copy of `network`, as above, that gives an image the same bits wherever it stands in a
    batch; None where the network's linear layers are all of even width, or no copy will do."""
    if not has_odd_rows(network):
        return None
    copy = copied(network)
    return None if copy is None else _in_place_of(network, images, [with_aligned_rows(copy)])


def _faster(network: nn.Module) -> Iterator[nn.Module]:
    for arrange in (rewritten, copied):
        candidate = arrange(network)
        if candidate is None:
            continue
        candidate = candidate.to(memory_format=torch.channels_last)
        candidate = with_entrance(with_pooled_entrance(candidate))
        candidate = with_aligned_rows(candidate)
        packed = with_packed_weights(candidate)
        if packed is not None:
            yield packed
        yield candidate


def _in_place_of(
    network: nn.Module, images: Tensor, candidates: Iterable[nn.Module]
) -> nn.Module | None:
    """The first of some copies of `network` that does what it does.

    None where a copy might not, because the network has hooks or changes as it computes; and where
    the copies' logits for some of the images N×C×H×W, and for noise of their shape, or their
    gradients, differ by more than rounding: a network that draws random numbers, or decides by the
    last bits.
    """
    if any(_hooks(module) for module in network.modules()):
        return None
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((_PROBES, *images.shape[1:]), generator=generator)
    probe = torch.cat([images[:_PROBES], noise.to(images.device)])
    with torch.random.fork_rng(_devices(images)):
        before = state_of(network)
        asked = _passed(network, probe)
        if asked is None or state_of(network) != before:
            return None
        return next((each for each in candidates
                     if _equal(asked, _passed(each, channels_last(probe)))), None)


def channels_last(images: Tensor) -> Tensor:
    """Images N×C×H×W as they lie in memory for an arranged network."""
    return images.contiguous(memory_format=torch.channels_last)


def _hooks(module: nn.Module) -> bool:
    return any(kept for name, kept in vars(module).items() if name.endswith("_hooks"))


def _passed(network: nn.Module, probe: Tensor) -> tuple[Tensor, Tensor] | None:
    """(logits N×K, the gradient N×C×H×W of a sum of them), which is 0 where none comes through;
    None where the network cannot compute them."""
    leaf = probe.detach().requires_grad_(True)
    try:
        with torch.enable_grad():
            logits = network(leaf)
            if not isinstance(logits, Tensor) or logits.numel() == 0:
                return None
            slope = None
            if logits.requires_grad:
                weights = torch.linspace(-1.0, 1.0, logits[0].numel(), device=logits.device)
                total = (logits.flatten(1) * weights).sum()
                (slope,) = torch.autograd.grad(total, leaf, allow_unused=True)
    except RuntimeError:  # as where a library has no kernel; what fails of itself fails again
        return None
    return logits.detach(), torch.zeros_like(probe) if slope is None else slope


def _equal(asked: tuple[Tensor, Tensor], given: tuple[Tensor, Tensor] | None) -> bool:
    if given is None or given[0].shape != asked[0].shape:
        return False
    near = float((asked[0] - given[0]).abs().max()) <= TOLERANCE * float(asked[0].abs().max())
    apart, length = ((each.flatten(1).norm(dim=1)) for each in (asked[1] - given[1], asked[1]))
    return near and bool((apart <= SLOPE_TOLERANCE * length).all())


def _devices(images: Tensor) -> list[torch.device]:
    return [images.device] if images.is_cuda else []
