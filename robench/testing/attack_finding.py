"""Whether an attack finds what is there: evaluation rule F8, with its control."""

from __future__ import annotations

from robench.testing.attack_case import Case
from robench.testing.breakable import KINDS, Kind, breakable
from robench.testing.control import DRAWS, control
from robench.testing.core import NotApplicable, expect
from robench.testing.stated import written

_WHAT: dict[Kind, str] = {
    "any": "", "smooth": ", for what varies slowly", "block": ", in any square of its pixels",
    "common": ", all images in one direction",
}


FINDS = "finds what is there"


def finds(case: Case) -> str:
    """An attack must break networks that are known to break, and where; chance must not, or the
    check is void. The attack that is chance itself, `control: true` on its card, must not either.
    """
    kind = _kind(case)
    is_control = case.traits.get("control") is True
    said = f"its card says confined: {kind}"
    settings = f", with {written(case.apart[FINDS])}" if FINDS in case.apart else ""
    try:
        by_chance = control(case.norm, kind=kind)
    except ValueError:
        raise NotApplicable(f"{said}, and there is no such network for {case.norm}") from None
    expect(by_chance is None, f"a network on which {by_chance}", "none: this check is void")
    # Two classes and more differ in the losses, which are for gradients.
    for classes in (2, 10) if case.attack.access == "gradient" else (10,):
        task = breakable(case.norm, classes=classes, kind=kind)
        broken = int(case.on(task, check=FINDS, epsilons=[task.epsilon])[0].success.sum())
        got = (f"{broken} of {len(task.images)} images broken by {case.norm} {task.epsilon:g} on "
               f"a linear network of {classes} classes")
        if is_control:
            expect(broken == 0, got, "none: its card says control: true, and chance finds none")
        else:
            expect(broken == len(task.images), got,
                   f"all: each breaks at half of it, along the gradient{_WHAT[kind]}{settings}")
    said = "none broken" if is_control else f"all broken{_WHAT[kind]}{settings}"
    return f"{said}; none by {DRAWS} random draws each"


def _kind(case: Case) -> Kind:
    stated = case.traits.get("confined", False)
    if stated is True:
        raise NotApplicable("its card says confined: true: it looks at some perturbations only, "
                            "or finds what is there in some images only")
    if stated is False:
        return "any"
    for kind in KINDS:
        if kind == stated:
            return kind
    expect(False, f"confined: {stated!r}", f"true, or one of {', '.join(KINDS)}")
    raise AssertionError
