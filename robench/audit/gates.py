"""Gates on a run (F7; Carlini et al., On Evaluating Adversarial Robustness, 2019).

What is stronger by its construction must not be weaker, image by image: exact McNemar tests on the
stored rows, one-sided, corrected for the number of comparisons of a victim (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from robench.audit.cells import Cell
from robench.audit.checks.common import ALPHA
from robench.audit.exact import sign_test
from robench.audit.finding import Finding, Severity
from robench.audit.names import ENSEMBLE, GRADIENT, ITERATIVE, NOISE, QUERY, SINGLE_STEP
from robench.audit.table import epsilon_text

#: What a query attack may gain over white-box attacks, as a share of all images.
_GAIN: Final = 0.002
_STOCHASTIC: Final = "stochastic"
#: Threats whose images are made on another network: what is stronger there need not be stronger
#: on the victim.
_REPLAYED: Final = ("transfer", "grey-box")
Pair = tuple[Cell, Cell]


def epsilon_gate(cells: Sequence[Cell]) -> Iterator[Finding]:
    """A4: fewer images broken at a larger epsilon. For runs without the ladder."""
    pairs = [
        pair
        for group in _alike(_attacked(cells),
                            lambda cell: (cell.record.attack, *_setting(cell)[:-1]))
        for pair in pairwise(sorted(group, key=lambda cell: cell.record.epsilon))
    ]
    yield from _weaker(
        "A4", pairs, "weaker at a larger ε",
        "The larger ball holds the smaller one, so the attack does not search it.",
        "start the larger ε from what the smaller one found (ladder: true), or take more steps")


def iterative_gate(cells: Sequence[Cell]) -> Iterator[Finding]:
    """A2: an iterative attack breaks fewer images than a single step at the same epsilon."""
    yield from _weaker(
        "A2", _crossed(cells, SINGLE_STEP, ITERATIVE), "weaker than a single step",
        "Its steps can only add to what one step finds.",
        "check its step size and number of steps")


def ensemble_gate(cells: Sequence[Cell]) -> Iterator[Finding]:
    """A7: AutoAttack breaks fewer images than another attack with gradients."""
    yield from _weaker(
        "A7", _crossed(cells, GRADIENT - ENSEMBLE, ENSEMBLE), "weaker than another attack",
        "The ensemble was cut short.", "take the worst case over all attacks")


def noise_gate(cells: Sequence[Cell]) -> Iterator[Finding]:
    """F7-noise: an attack with gradients breaks fewer images than noise of the same size."""
    yield from _weaker(
        "F7-noise", _crossed(cells, NOISE, GRADIENT), "weaker than noise",
        "It follows no gradient that leads anywhere: the gradient is masked, or the attack steps "
        "the wrong way.", "run an attack without gradients, and check the sign of the step")


def transfer_gate(cells: Sequence[Cell]) -> Iterator[Finding]:
    """F7-transfer: an attack on the victim itself breaks fewer images than one that was made on a
    surrogate, or without its defense."""
    pairs = [
        (there, here)
        for group in _alike(cells, lambda cell: (cell.record.attack, cell.record.norm,
                                                 cell.record.epsilon))
        for there in group if there.record.threat in _REPLAYED
        for here in group if here.record.threat == "white-box"
    ]
    yield from _weaker(
        "F7-transfer", pairs, "weaker on the victim itself than transferred from a surrogate",
        "The victim's gradient is masked.", "adapt the attack to the defense (BPDA, EOT)")


def query_gate(cells: Sequence[Cell]) -> Iterator[Finding]:
    """A8: a query attack breaks images that no attack with gradients beside it broke.

    More than .2 points of all images is a finding. Of a victim that draws random numbers, images
    count that no draw got wrong under an attack with gradients.
    """
    for group in _alike(_attacked(cells), _setting):
        gradients = [cell for cell in group if cell.attack in GRADIENT]
        if not gradients:
            continue
        for query in group:
            if query.attack not in QUERY:
                continue
            by_gradient = np.zeros(len(query.correct), dtype=bool)
            for cell in gradients:
                by_gradient |= _matched(query, cell)
                if "draws_wrong" in cell.columns:
                    by_gradient |= _matched(query, cell, cell.columns["draws_wrong"] > 0)
            gained, n = int((query.broken & ~by_gradient).sum()), len(by_gradient)
            if gained > _GAIN * n:
                yield _finding(
                    "A8", "serious" if gained > 10 * _GAIN * n else "warning", [query, *gradients],
                    f"{query.record.attack}, which sees no gradient, breaks {gained} of {n} images "
                    f"of {query.named} at {_size(query)} that no attack with gradients broke. The "
                    "gradients are masked, or these attacks are not run to their end.",
                    "more steps and restarts; adapt the attack to the defense")


def clean_gate(cells: Sequence[Cell]) -> Iterator[Finding]:
    """F7-clean: robust accuracy at ε = 0 is the clean accuracy.

    Cells of one victim must start from the same clean predictions.
    """
    first = cells[0]
    expected = dict(zip(first.columns["image_id"], first.columns["clean_prediction"], strict=True))
    other = [
        cell for cell in cells[1:]
        if any(expected.get(image, predicted) != predicted for image, predicted in zip(
            cell.columns["image_id"], cell.columns["clean_prediction"], strict=True))
    ]
    if other:
        random = any(_STOCHASTIC in cell.flags for cell in cells)
        yield _finding(
            "F7-clean", "note" if random else "serious", [first, *other],
            f"the clean predictions of {first.named} differ between its attacks "
            f"({len(other)} of {len(cells)} cells differ from {first.record.attack}). "
            + ("It draws random numbers." if random else
               "They were not run on the same network and images."),
            "run the cells again on one checkpoint")


GATES: Final[tuple[Callable[[Sequence[Cell]], Iterator[Finding]], ...]] = (
    iterative_gate, ensemble_gate, noise_gate, transfer_gate, query_gate, clean_gate,
)


def _weaker(
    check: str, pairs: Sequence[Pair], what: str, reading: str, next_step: str
) -> Iterator[Finding]:
    """Findings on pairs of which the second breaks fewer images than the first."""
    told: list[str] = []
    rows: list[Cell] = []
    for one, other in pairs:
        matched = _matched(one, other)
        lost = int((one.broken & ~matched).sum())
        gained = int((matched & ~one.broken).sum())
        if lost > gained and sign_test(lost, gained) * len(pairs) < ALPHA:
            rows += [cell for cell in (one, other) if cell not in rows]
            told.append(
                f"{other.record.attack} at {_size(other)} leaves {lost} images that "
                f"{one.record.attack} at {_size(one)} broke, and breaks {gained} others")
    if told:
        yield _finding(
            check, "serious", rows,
            f"an attack on {rows[0].named} is {what}: {'; '.join(told[:6])} (exact McNemar, p < "
            f"{ALPHA:g}/{len(pairs)}). {reading}", next_step)


def _alike(cells: Sequence[Cell], part: Callable[[Cell], Any]) -> Iterator[list[Cell]]:
    groups: dict[Any, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(part(cell), []).append(cell)
    yield from groups.values()


def _attacked(cells: Sequence[Cell]) -> list[Cell]:
    """The cells whose images were made on the victim itself."""
    return [cell for cell in cells if cell.record.threat not in _REPLAYED]


def _setting(cell: Cell) -> tuple[Any, ...]:
    """Norm, threat, surrogate, and last the epsilon."""
    of = cell.record
    return of.norm, of.threat, of.surrogate, of.epsilon


def _crossed(
    cells: Sequence[Cell], ones: frozenset[str], others: frozenset[str]
) -> list[Pair]:
    return [(one, other) for group in _alike(_attacked(cells), _setting)
            for one in group if one.attack in ones for other in group if other.attack in others]


def _matched(one: Cell, other: Cell, chosen: Any = None) -> Any:
    """What `other` broke, or is `chosen` of its images, for the images of `one` in their order."""
    values = other.broken if chosen is None else chosen
    if np.array_equal(one.columns["image_id"], other.columns["image_id"]):
        return values
    by_image = dict(zip(other.columns["image_id"], values, strict=True))
    return np.array([bool(by_image.get(image, False)) for image in one.columns["image_id"]])


def _size(cell: Cell) -> str:
    return f"ε {epsilon_text(cell.record.epsilon)}"


def _finding(
    check: str, severity: Severity, cells: Sequence[Cell], message: str, next_step: str
) -> Finding:
    return Finding(check, severity, "", "", tuple(dict.fromkeys(cell.key for cell in cells)),
                   message, next_step)
