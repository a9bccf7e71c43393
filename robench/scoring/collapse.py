"""Where accuracy collapses as sparsity grows: one change-point, or an honest "none"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robench.scoring.bootstrap import RESAMPLES, percentile_interval, resampled_means
from robench.scoring.worst_case import Floats


@dataclass(frozen=True)
class Collapse:
    """The best place for one fall, and whether it is a collapse.

    Between the sparsities `before` and `after`; [`low`, `high`] is the bootstrap interval of the
    place, from a `before` to an `after`. `fall` is the mean accuracy before it less that after it,
    as a fraction, with its interval. `seen` says whether it counts as a collapse, `reason` why.
    """

    seen: bool
    reason: str
    before: float
    after: float
    low: float
    high: float
    fall: float
    fall_low: float
    fall_high: float


def collapse_point(
    sparsities: Sequence[float],
    right: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    least_fall: float = 0.1,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Collapse:
    """The change-point of clean or robust accuracy over ascending `sparsities` (length S ≥ 3).

    `right` (S × N, booleans) says which images are right at each sparsity: `clean` or `robust` of
    a `pruning_surface.Slice`. The rule: two constants, one for the sparsities up to a place and
    one for those after it, are fitted by least squares, each sparsity counting once; the place
    with the smallest sum of squares is the change-point. It is a collapse only where

    - the lower end of the fall's bootstrap interval is at least `least_fall` (a choice: 0.1), and
    - the two constants fit better than a straight line: a steady decline has no such point.

    Images are resampled together at all sparsities, and each resample finds a place of its own;
    with `groups` (length N, `group_ids` of the slice) whole groups are.
    Raises ValueError for fewer than three sparsities, ones that do not ascend, another shape of
    `right`, no image, or `least_fall` outside (0, 1].
    """
    s, table = np.asarray(sparsities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if len(s) < 3:
        raise ValueError(f"a change-point needs at least three sparsities, got {len(s)}")
    if not (np.diff(s) > 0).all():
        raise ValueError(f"sparsities must ascend, got {list(sparsities)}")
    if table.ndim != 2 or len(table) != len(s):
        raise ValueError(f"one row for each of {len(s)} sparsities: got shape {table.shape}")
    if not 0 < least_fall <= 1:
        raise ValueError(f"least_fall must be above 0 and at most 1, got {least_fall}")
    means = resampled_means(table, groups=groups, resamples=resamples, seed=seed)
    accuracy = table.mean(axis=1)[:, None]
    errors, falls = _steps(accuracy)
    place = int(errors[:, 0].argmin())
    fall = float(falls[place, 0])
    resampled_errors, resampled_falls = _steps(means)
    best = resampled_errors.argmin(axis=0)
    # Of the place found on all images: falls at each resample's own place would be too large.
    fall_low, fall_high = percentile_interval(resampled_falls[place], confidence)
    tail = (1 - confidence) / 2
    first, last = np.quantile(best, [tail, 1 - tail], method="nearest").astype(int)
    line = _line(s, accuracy[:, 0])
    if fall_low < least_fall:
        seen, reason = False, (
            f"no collapse seen: the largest change is a fall of {fall:.3f} "
            f"[{fall_low:.3f}, {fall_high:.3f}], not surely {least_fall:g} or more"
        )
    elif errors[place, 0] >= line:
        seen, reason = False, (
            f"no collapse seen: accuracy falls by {fall:.3f}, but a straight line fits as well "
            "or better: a steady decline"
        )
    else:
        seen, reason = True, (
            f"accuracy falls by {fall:.3f} [{fall_low:.3f}, {fall_high:.3f}] between sparsity "
            f"{s[place]:g} and {s[place + 1]:g}"
        )
    return Collapse(
        seen=seen,
        reason=reason,
        before=float(s[place]),
        after=float(s[place + 1]),
        low=float(s[first]),
        high=float(s[last + 1]),
        fall=fall,
        fall_low=fall_low,
        fall_high=fall_high,
    )


def _steps(accuracy: Floats) -> tuple[Floats, Floats]:
    """Sum of squares and fall for each of the S − 1 places, of S × B accuracies: (S − 1) × B."""
    errors, falls = [], []
    for cut in range(1, len(accuracy)):
        before, after = accuracy[:cut], accuracy[cut:]
        errors.append(before.var(axis=0) * cut + after.var(axis=0) * (len(accuracy) - cut))
        falls.append(before.mean(axis=0) - after.mean(axis=0))
    return np.stack(errors), np.stack(falls)


def _line(s: Floats, accuracy: Floats) -> float:
    """The sum of squares that a straight line over sparsity leaves."""
    design = np.stack([np.ones(len(s)), s], axis=1)
    fitted = design @ np.linalg.lstsq(design, accuracy, rcond=None)[0]
    return float(((accuracy - fitted) ** 2).sum())
