"""Signs that an attack failed (F6; Pintor et al., Indicators of Attack Failure, NeurIPS 2022).

As far as the stored rows show them: they hold the margin before and after, the distance and the
prediction of every image, not the losses along the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from robench.audit.cells import Cell
from robench.audit.exact import sign_test
from robench.audit.finding import Finding
from robench.audit.names import GRADIENT, MINIMUM_NORM
from robench.audit.table import epsilon_text

#: Fewer images than this tell nothing of an attack.
_FEW: Final = 10
_SURE: Final = 0.001
_ZERO_GRADIENT: Final = "zero-gradient"
_DISTANCES: Final = ("linf", "l2", "l0")


def zero_gradients(cells: Sequence[Cell]) -> Iterator[Finding]:
    """F6-gradient: the gradient was zero for every image."""
    dead = [cell for cell in cells if _ZERO_GRADIENT in cell.flags]
    if dead:
        yield _finding(
            "F6-gradient", dead,
            "the gradient is zero for every image: the defense masks it, or the loss is flat in "
            "float32. The robust accuracy is that of no attack.",
            "attack with a margin loss, with BPDA, or without gradients")


def wrong_direction(cells: Sequence[Cell]) -> Iterator[Finding]:
    """F6-direction: an attack with gradients raises the margin of the images it does not break.

    The sign test, one-sided at .001, over the images that are right before and after; ten or more.
    """
    lost = [cell for cell in cells if cell.attack in GRADIENT - MINIMUM_NORM and _raises(cell)]
    if lost:
        yield _finding(
            "F6-direction", lost,
            "most images that stand are further from the decision boundary after the attack than "
            "before. It steps down the loss of the true label, or against another label.",
            "check the sign of the step and which labels the attack is given")


def unmoved(cells: Sequence[Cell]) -> Iterator[Finding]:
    """F6-unmoved: an attack with a fixed budget returned every clean image as it was."""
    idle = [
        cell for cell in cells
        if cell.attack not in MINIMUM_NORM and cell.record.norm in ("linf", "l2", "l1")
        and int(cell.correct.sum()) >= _FEW
        and all(not np.any(cell.columns[name][cell.correct]) for name in _DISTANCES)
    ]
    if idle:
        yield _finding(
            "F6-unmoved", idle,
            "every image came back unchanged. An attack that fails and gives the clean images "
            "back counts them all as robust.",
            "look for an exception that was caught, and for a step size of zero")


def uncounted(cells: Sequence[Cell]) -> Iterator[Finding]:
    """F6-silent: images that are wrong after the attack and do not count as broken."""
    silent = [cell for cell in cells if _silent(cell)]
    if silent:
        counts = ", ".join(str(_silent(cell)) for cell in silent[:6])
        yield _finding(
            "F6-silent", silent,
            f"images are right before the attack and wrong after it, and do not count as broken "
            f"({counts} of them). The success of another iterate was thrown away, or the image "
            "lies outside its ball.",
            "count the best iterate, projected and measured again")


INDICATORS: Final[tuple[Callable[[Sequence[Cell]], Iterator[Finding]], ...]] = (
    zero_gradients, wrong_direction, unmoved, uncounted,
)


def _raises(cell: Cell) -> bool:
    standing = cell.correct & ~cell.broken
    before = cell.columns["clean_margin"][standing]
    after = cell.columns["adversarial_margin"][standing]
    up, down = int((after > before).sum()), int((after < before).sum())
    return up + down >= _FEW and up > down and sign_test(up, down) < _SURE


def _silent(cell: Cell) -> int:
    wrong = cell.columns["adversarial_prediction"] != cell.columns["label"]
    return int((cell.correct & ~cell.broken & wrong).sum())


def _finding(check: str, cells: Sequence[Cell], message: str, next_step: str) -> Finding:
    attacks = dict.fromkeys(
        f"{cell.record.attack} at ε {epsilon_text(cell.record.epsilon)}" for cell in cells)
    return Finding(
        check, "serious", "", "", tuple(cell.key for cell in cells),
        f"{cells[0].named}, {', '.join(attacks)}: {message}", next_step)
