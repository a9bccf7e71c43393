"""What an attack gives back: inside its budget, true, and counted."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robench.testing.attack_case import Case, check_inside, check_true
from robench.testing.attack_finding import FINDS, finds
from robench.testing.core import NotApplicable, expect
from robench.testing.networks import ordinary

_THOUSAND = "a thousand classes"


def _inside(case: Case) -> str:
    check_inside(case.task, case.results, case.norm)
    return ""


def _true(case: Case) -> str:
    check_true(case.task, case.results, case.norm)
    broken = int(case.climbing[-1].success.sum())
    return f"{broken} of {int(case.task.right.sum())} images broken"


def _epsilon_zero(case: Case) -> str:
    _has_epsilons(case)
    result = case.climbing[0]
    changed = torch.ne(result.adversarial, case.task.images).flatten(1).any(dim=1)
    expect(not bool(changed.any()), f"{int(changed.sum())} images changed at epsilon 0", "none")
    return ""


def _wrong_before(case: Case) -> str:
    wrong = ~case.task.right
    for result in case.results:
        at = f"at epsilon {result.epsilon:g}"
        changed = torch.ne(result.adversarial, case.task.images).flatten(1).any(dim=1) & wrong
        expect(not bool(changed.any()),
               f"{int(changed.sum())} images changed {at} that were wrong before", "none")
        expect(not bool(result.success[wrong].any()), f"a success {at} on an image that was "
               "wrong before", "none")
        expect(int(result.forwards[wrong].sum()) == 0,
               f"{int(result.forwards[wrong].sum())} passes {at} counted on images that were "
               "wrong before", "none")
    return f"{int(wrong.sum())} images"


def _counts(case: Case) -> str:
    forwards = case.climbing[-1].forwards[case.task.right]
    expect(int(forwards.min()) >= 1, f"{int((forwards < 1).sum())} attacked images without a "
           "counted pass", "at least one: ask the victim that `perturb` is given")
    return f"{int(forwards.min())} to {int(forwards.max())} forwards per image"


def _ladder(case: Case) -> str:
    _has_epsilons(case)
    shares = []
    for below, above in zip(case.climbing, case.climbing[1:], strict=False):
        lost = int((below.success & ~above.success).sum())
        expect(lost == 0, f"{lost} images broken at epsilon {below.epsilon:g} and not at "
               f"{above.epsilon:g}", "none: a larger ball holds the smaller one")
        shares.append(f"{int(above.success.sum())} at {above.epsilon:g}")
    return "broken: " + ", ".join(shares)


def _has_epsilons(case: Case) -> None:
    if case.epsilons is None:
        raise NotApplicable("it keeps to no ball: epsilons mean nothing to it")


def _access(case: Case) -> str:
    if case.attack.access == "gradient":
        raise NotApplicable("it may use gradients")
    backwards = max(int(result.backwards.max()) for result in case.results)
    expect(backwards == 0, f"{backwards} backward passes with access {case.attack.access!r}",
           "none")
    if case.attack.access == "scores":
        return "no backward passes"
    decided = case.on(case.task, network=_Decisions(case.task.network))
    for shown, hidden in zip(case.results, decided, strict=True):
        same = torch.equal(shown.success, hidden.success) and torch.equal(
            shown.adversarial[shown.success], hidden.adversarial[shown.success]
        )
        expect(same, f"another result at epsilon {shown.epsilon:g} where the logits tell no more "
               "than the decision", "the same: access is 'decision'")
    return "the decision is enough"


def _works_on(name: str = "", **kind: int) -> Callable[[Case], str]:
    def check(case: Case) -> str:
        task = ordinary(case.norm, **kind)
        results = case.on(task, check=name)
        check_inside(task, results, case.norm)
        check_true(task, results, case.norm)
        return f"{int(results[0].success.sum())} of {int(task.right.sum())} images broken"

    return check


class _Decisions(nn.Module):
    """A network whose logits are 1 for its decision and 0 for all else."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits.dtype)


APART = (_THOUSAND, FINDS)
"""The checks that may have settings of their own."""

RESULTS: dict[str, Callable[[Case], str]] = {
    "inside the ball and the box": _inside,
    "says what is true": _true,
    "epsilon 0 changes nothing": _epsilon_zero,
    "leaves wrong images alone": _wrong_before,
    "counts its passes": _counts,
    "larger epsilon, no fewer broken": _ladder,
    "keeps to its access": _access,
    "two classes": _works_on(outputs=2),
    "one logit": _works_on(outputs=1),
    "colour images": _works_on(in_channels=3),
    "three classes": _works_on(outputs=3),
    _THOUSAND: _works_on(_THOUSAND, outputs=1000, count=3),
    FINDS: finds,
}
