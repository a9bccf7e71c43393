"""What a caller is warned of: results that say nothing of the images they are of."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from robench.attacks.result import AttackResult
from robench.errors import MaskingWarning, UnattackedWarning


def warn_of(results: Sequence[AttackResult], *, name: str, stacklevel: int) -> None:
    """Warn where the attack of that `name` saw a gradient of zero for every image, and where it
    found nothing to begin with for some; `stacklevel` is that of the caller's own warnings."""
    count = len(results[0])
    if not count:
        return
    if any(bool(result.gradient_dead.all()) for result in results):
        warnings.warn(MaskingWarning(
            f"{name}: the network's gradient is zero for every image: it is probably masked, and "
            "the robust accuracy must not be believed; attacks without gradients, such as square, "
            "may tell more"
        ), stacklevel=stacklevel + 1)
    if unstarted := max(int(result.unstarted.sum()) for result in results):
        warnings.warn(UnattackedWarning(
            f"{name}: no image to begin with was found for {unstarted} of {count} images: they "
            "were not attacked, and count as not broken"
        ), stacklevel=stacklevel + 1)
