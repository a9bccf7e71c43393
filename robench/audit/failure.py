"""Signs that an attack failed which show along its path (F6, F17): the loss, pass by pass.

Pintor et al., Indicators of Attack Failure, NeurIPS 2022 (arXiv 2106.09947): unstable predictions,
incomplete optimisation, silent success. Of images that are right before and after the attack.

Two losses are looked at, the cross-entropy of the true label and the margin, and a sign counts
where both show it. Each is blind somewhere: where the label's lead is large, cross-entropy is
exp(−lead), and changes by half where the lead moves by .7, on a landscape as smooth as any; where
the lead is near zero, the margin changes by many times itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from robench.audit.finding import Finding, Severity, Unchecked

#: A mean relative change of the loss above this is unstable. The authors' code gives the change
#: alone; 10 % is where Duddu, Zhang & Asokan 2024 read it, and a choice.
UNSTABLE: Final = 0.1
#: The share of the whole fall of the loss that the last `LAST` steps may still bring.
MOVES: Final = 0.05
LAST: Final = 10
_ROUNDING: Final = 2.0**-20  # of a difference of logits in float32, beside the logits themselves
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """One image under an attack, every pass looked at.

    `path` 2×T: both losses, as the attacker wants them small (minus the cross-entropy, and the
    margin), of the T passes inside the ball and the box, in their order; `outside`: how many were
    not. `clean` of length 2 and `noisy` 2×M: the losses at the image and at M noises around it.
    `won`: the image was wrong in a pass inside; `broken`: the attack counts that.
    """

    path: Floats
    outside: int
    clean: Floats
    noisy: Floats
    won: bool
    broken: bool


@dataclass(frozen=True)
class Traced:
    """A cell whose images were traced. `named` is what a reader calls it, `key` its cell's."""

    key: str
    named: str
    access: Literal["gradient", "scores", "decision"]
    stochastic: bool
    rowwise: bool
    traces: Sequence[Trace]


def relative_change(clean: float, noisy: Floats) -> float:
    """Mean of |L(x + noise) − L(x)| / |L(x)| over the noises, 1 at the most.

    Of a loss of zero the change itself is taken, as in the authors' code.
    """
    change = np.abs(noisy - clean).mean() / (abs(clean) or 1.0)
    return float(min(change, 1.0))


def last_move(losses: Floats) -> float | None:
    """The share of the fall of the running minimum that its last steps bring, in [0, 1].

    The running minimum is scaled to 1 at its first value and 0 at its last one (the authors' code
    scales by the largest loss of the path, which a worse pass would raise). The last steps are
    `LAST`, of shorter paths the second half: all of a path is not its end. None for one step, which
    has no end; 0 where the loss never falls by more than float32 rounds. Of restarts, a later one
    shows only by what it gains on those before it.
    """
    steps = len(losses) - 1
    if steps < 2:
        return None
    lowest = np.minimum.accumulate(losses)
    fall = float(lowest[0] - lowest[-1])
    if fall <= _ROUNDING * float(np.abs(lowest).max()):
        return 0.0
    return float(lowest[-1 - min(LAST, steps // 2)] - lowest[-1]) / fall


def instability(trace: Trace) -> float:
    """The smaller relative change of the two losses."""
    return min(relative_change(float(clean), noisy)
               for clean, noisy in zip(trace.clean, trace.noisy, strict=True))


def unfinished(trace: Trace) -> float | None:
    """The smaller last move of the two losses.

    None for one step, and for an attack that shows the network other images than its iterates (at
    random sizes and places, say): where every tenth pass is outside of ball and box.
    """
    passes = trace.outside + trace.path.shape[1]
    if 10 * trace.outside > passes:
        return None
    moves = [last_move(losses) for losses in trace.path]
    return None if None in moves else min(move for move in moves if move is not None)


def failures(traced: Traced) -> Iterator[Finding | Unchecked]:
    """What the traces of a cell show, and what they cannot show."""
    if not traced.rowwise:
        yield _unchecked(traced, "F6-loss", "an image's logits depend on its batch mates, so it "
                                            "cannot be attacked alone")
        return
    standing = [trace for trace in traced.traces if not trace.broken]
    if traced.access != "gradient":
        yield _unchecked(traced, "F6-loss", "it follows no gradient, and its loss moves at random")
    elif not standing:
        yield _unchecked(traced, "F6-loss", "no image holds out")
    else:
        yield from _unstable(traced)
        yield from _incomplete(traced, standing)
    if traced.stochastic:
        yield _unchecked(traced, "F6-path", "the victim draws random numbers: an iterate that is "
                                            "wrong once need not be wrong in most draws")
    else:
        yield from _lost(traced, standing)


def _unstable(traced: Traced) -> Iterator[Finding]:
    changes = [instability(trace) for trace in traced.traces]
    if np.mean(changes) <= UNSTABLE:
        return
    above = sum(change > UNSTABLE for change in changes)
    yield _finding(
        traced, "F6-unstable",
        f"the loss around the images that {traced.named} does not break is unstable: noise of "
        f"width 8/255 changes it by {_spread(changes)} of itself, by more than {UNSTABLE:.0%} for "
        f"{above} of {len(changes)} images. Gradients may point anywhere.",
        "average the gradient over more draws" if traced.stochastic
        else "average the gradient over noise around the iterate; attack without gradients")


def _incomplete(traced: Traced, standing: Sequence[Trace]) -> Iterator[Finding | Unchecked]:
    moves = [move for trace in standing if (move := unfinished(trace)) is not None]
    if not moves:
        yield _unchecked(traced, "F6-incomplete", "it takes one step, which cannot be incomplete, "
                                                  "or shows the network more than its iterates")
        return
    moving = sum(move > MOVES for move in moves)
    if np.mean(moves) > MOVES:
        yield _finding(
            traced, "F6-incomplete",
            f"the loss of {traced.named} still falls when it ends: its last steps bring "
            f"{_spread(moves)} of the whole fall, more than {MOVES:.0%} for {moving} of "
            f"{len(moves)} images that hold out. Longer, it may break them.",
            "more steps, or larger ones, until the loss stands still")


def _lost(traced: Traced, standing: Sequence[Trace]) -> Iterator[Finding]:
    lost = sum(trace.won for trace in standing)
    if lost:
        yield _finding(
            traced, "F6-path",
            f"{traced.named} showed the network images inside the ball that it gets wrong, for "
            f"{lost} of {len(standing)} images, and did not count them: their success was thrown "
            "away.",
            "count the best iterate: show the view one candidate per image, which it watches")


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.0%} (mean; {min(values):.0%} to {max(values):.0%})"


def _finding(traced: Traced, check: str, message: str, next_step: str) -> Finding:
    severity: Severity = "serious" if check == "F6-path" else "warning"
    if traced.stochastic:
        severity = "note"
        message += " The victim draws random numbers: a part of this is expected of it."
    return Finding(check, severity, "", "", (traced.key,), message, next_step)


def _unchecked(traced: Traced, check: str, why: str) -> Unchecked:
    return Unchecked(check, "", f"{traced.named}: {why}")
