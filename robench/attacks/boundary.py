"""The boundary attack: a random walk along the decision boundary, towards the clean image."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attacks.base import Attack
from robench.attacks.decisions import starting_points, taken_for, to_boundary
from robench.attacks.draws import Draws
from robench.attacks.query import Query
from robench.attacks.settings import check_number, check_steps
from robench.attacks.targets import Target, aimed_at, check_target

# Every so many steps the sphere is asked too, and both rates are noted.
_NOTED_EVERY = 10
# How many notes make a rate.
_SPHERE_NOTES, _STEP_NOTES = 100, 30
# Below this step towards the clean image the walk has converged.
_CONVERGED = 1e-7
# Bisections between the clean image and the random one that the walk begins with.
_HALVINGS = 10


class Boundary(Attack):
    """Random steps on the sphere around the clean image, each followed by one towards it.

    Brendel et al. 2018 (arXiv 1712.04248), algorithm 1: a candidate that is adversarial, and
    nearer, is the next iterate. `sphere_step` and `source_step` are the first lengths of the two
    steps as shares of the distance; they are multiplied by `adaptation` where more than half of
    the former, or a quarter of the latter, are adversarial, and divided by it where fewer than a
    fifth, or a tenth, are (section 2.3 and the authors' code in Foolbox). `target`: adversarial
    is what is taken for a class chosen at the clean image, see `robench.attacks.targets`; None,
    for any other class than the label.
    """

    name = "boundary"
    norm = "l2"
    budget = "minimum"
    access = "decision"

    def __init__(
        self, *, steps: int = 25000, sphere_step: float = 0.01, source_step: float = 0.01,
        adaptation: float = 1.5, target: Target | None = None,
    ) -> None:
        self.steps = check_steps(steps)
        self.sphere_step = check_number(sphere_step, "sphere_step", open_low=True)
        self.source_step = check_number(source_step, "source_step", open_low=True)
        self.adaptation = check_number(adaptation, "adaptation", low=1.0, open_low=True)
        self.target = None if target is None else check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        targets = aimed_at(self.target, victim, random)
        points, found = starting_points(victim, images, random, targets)
        final, victim = points.clone(), victim.apart()
        rows = torch.arange(len(images), device=images.device)
        going = found
        state: _Steps | None = None
        for step in range(self.steps):
            left = victim.going_on(going, waiting=step == 0)
            if left is not None:
                final[rows] = points
                rows, images, points, going = rows[left], images[left], points[left], going[left]
                victim, random = victim.select(left), random.select(left)
                state = state and state.select(left)
                targets = None if targets is None else targets[left]
            if len(rows) == 0:
                return final
            if state is None:
                points = to_boundary(
                    victim, images, points, norm="l2", halvings=_HALVINGS, targets=targets
                )
                state = _Steps(len(rows), self, images.device)
            sphere, candidate, away = _proposals(
                images, points, random.normal(*images.shape[1:]), state.sphere, state.source
            )
            fooled = taken_for(victim.logits(candidate), victim.labels, targets)
            better = fooled & (_length(candidate.double() - images.double()) < away)
            if (step + 1) % _NOTED_EVERY == 0:
                on_sphere = taken_for(victim.logits(sphere), victim.labels, targets)
                state.note(on_sphere, fooled)
            points = torch.where((better & going)[:, None, None, None], candidate, points)
            going = going & (state.source >= _CONVERGED)
        final[rows] = points
        return final


class _Steps:
    """The lengths of the two steps, and how often each was adversarial of late; per image."""

    def __init__(self, count: int, attack: Boundary, device: torch.device) -> None:
        self.sphere = torch.full((count,), attack.sphere_step, dtype=torch.float64, device=device)
        self.source = torch.full((count,), attack.source_step, dtype=torch.float64, device=device)
        self._adaptation = attack.adaptation
        self._notes = 0
        missing = float("nan")
        self._on_sphere = torch.full((count, _SPHERE_NOTES), missing, device=device)
        self._stepped = torch.full((count, _STEP_NOTES), missing, device=device)

    def note(self, on_sphere: Tensor, stepped: Tensor) -> None:
        """Write down which candidates were adversarial, and adapt where a rate is complete."""
        self._on_sphere[:, self._notes % _SPHERE_NOTES] = on_sphere.float()
        self._stepped[:, self._notes % _STEP_NOTES] = stepped.float()
        self._notes += 1
        factor = self._factor(self._on_sphere, low=0.2, high=0.5)
        self.sphere, self.source = self.sphere * factor, self.source * factor
        self.source = self.source * self._factor(self._stepped, low=0.1, high=0.25)

    def select(self, rows: Tensor) -> _Steps:
        """Those of some rows."""
        chosen = _Steps.__new__(_Steps)
        chosen.__dict__.update(self.__dict__)
        for name in ("sphere", "source", "_on_sphere", "_stepped"):
            setattr(chosen, name, getattr(self, name)[rows])
        return chosen

    def _factor(self, notes: Tensor, *, low: float, high: float) -> Tensor:
        """By what a step changes; notes that changed one are thrown away."""
        rate = notes.mean(dim=1)  # NaN, which is neither high nor low, while one is missing
        up, down = rate > high, rate < low
        notes.masked_fill_((up | down)[:, None], float("nan"))
        factor = torch.ones_like(self.source).masked_fill(up, self._adaptation)
        return factor.masked_fill(down, 1 / self._adaptation)


def _proposals(
    images: Tensor, points: Tensor, noise: Tensor, sphere_step: Tensor, source_step: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(points on the sphere N×C×H×W, the same after a step to the images, distances N).

    In float64, in which sums do not depend on how many rows share the call.
    """
    exact, delta = images.double(), points.double() - images.double()
    away = _length(delta)
    unit = delta / _cube(away)
    drawn = noise.double()
    drawn = drawn - (drawn * unit).sum(dim=(1, 2, 3), keepdim=True) * unit
    drawn = drawn * _cube(sphere_step * away / _length(drawn))
    sphere = exact + (drawn + delta) / _cube((sphere_step.square() + 1).sqrt())
    sphere = sphere.float().clamp(0.0, 1.0)
    back = exact - sphere.double()
    length = _length(back)
    share = (source_step * away + length - away).clamp_min(0.0) / length
    candidate = (sphere.double() + _cube(share) * back).float().clamp(0.0, 1.0)
    return sphere, candidate, away


def _length(delta: Tensor) -> Tensor:
    """The L2 norm of each row, but never 0."""
    return delta.square().sum(dim=(1, 2, 3)).sqrt().clamp_min(1e-30)


def _cube(values: Tensor) -> Tensor:
    return values[:, None, None, None]
