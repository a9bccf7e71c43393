"""What names of attacks and ablations mean, however a table spells them."""

from __future__ import annotations

import re
from typing import Final

#: No attack at all: the row is about clean images.
CLEAN: Final = frozenset({"", "none", "clean", "no attack"})
UNSPECIFIED: Final = "unspecified"

SINGLE_STEP: Final = frozenset({"fgsm", "fgm"})
#: L∞ by habit, with steps and a fixed budget.
ITERATIVE: Final = frozenset({"bim", "pgd", "mi-fgsm", "apgd", "apgd-t", "auto-pgd", "i-fgsm"})
#: An ensemble whose result is the worst case over its members.
ENSEMBLE: Final = frozenset({"autoattack", "aa"})
GRADIENT: Final = SINGLE_STEP | ITERATIVE | ENSEMBLE | {
    "cw", "deepfool", "di-fgsm", "fab", "fmn", "lbfgs", "ti-fgsm",
}
#: They search the nearest adversarial image; a rate needs a bound on its distance.
MINIMUM_NORM: Final = frozenset({
    "deepfool", "cw", "fab", "fmn", "lbfgs", "l-bfgs", "boundary", "hop-skip-jump",
})
#: They see scores or decisions, not gradients.
QUERY: Final = frozenset({
    "boundary", "hop-skip-jump", "square", "spsa", "zoo", "simba", "one-pixel", "geoda",
})
#: They count pixels, so an epsilon of the L∞ kind is none of their settings.
PIXEL_COUNTING: Final = frozenset({"jsma", "one-pixel"})
NOISE: Final = frozenset({"noise", "gaussian-noise", "uniform-noise"})

_KNOWN: Final = (
    SINGLE_STEP | ITERATIVE | ENSEMBLE | GRADIENT | MINIMUM_NORM | QUERY | PIXEL_COUNTING | NOISE
)
_REMOVED = re.compile(r"(?:^|[_\s-])(?:w/o|wo|without|no)[_\s-]+(.+)$")
_PARTS = re.compile(r"[_+\s-]+")
_WHOLE = frozenset({"full", "complete", "proposed", "ours"})


def canonical(attack: str) -> str:
    """An attack's name in one spelling; the steps that a label adds (`pgd-40`) are cut off."""
    name = re.sub(r"\s*\(.*\)$", "", attack.strip().lower()).replace("_", "-")
    name = name.removeprefix("art/")
    if name in CLEAN:
        return "none"
    shorter = re.sub(r"[-\s]?\d+$", "", name)
    return shorter if name not in _KNOWN and shorter in _KNOWN else name


def ablation(model: str) -> tuple[str, frozenset[str]]:
    """The base of an ablation and the parts it was built without.

    `meddef_wo_afd_mfe` is (`meddef`, {afd, mfe}); `meddef_full` is (`meddef`, {}).
    """
    name = model.strip().lower()
    found = _REMOVED.search(name)
    if found:
        return name[: found.start()], frozenset(filter(None, _PARTS.split(found[1])))
    parts = [part for part in _PARTS.split(name) if part not in _WHOLE]
    return "_".join(parts), frozenset()
