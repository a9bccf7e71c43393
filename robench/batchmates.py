"""Whether what a network says of an image depends on the others of its batch."""

from __future__ import annotations

from torch import Tensor, nn

from robench.victim import Victim


def rows_depend_on_mates(network: nn.Module, images: Tensor) -> bool:
    """Whether an image's logits change with the other images of its batch.

    Compares the logits of up to eight images in one batch with those of each of four of them
    among copies of itself.
    """
    few = images[:8]
    whole = Victim(network, rowwise=False)
    together = whole.logits(few)
    tolerance = 1e-3 * float(together.abs().max())
    return any(
        float((whole.logits(image.expand_as(few))[0] - mixed).abs().max()) > tolerance
        for image, mixed in zip(few[:4], together[:4], strict=True)
    )
