"""The fast adaptive boundary attack: along the boundary, always pulled towards the image."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from robench.attacks.balls import PROJECTED, Norm, distances
from robench.attacks.base import Attack
from robench.attacks.boundaries import dot, nearest_boundary, onto_hyperplane, ranked_others
from robench.attacks.draws import Draws
from robench.attacks.losses import broken
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_number, check_steps
from robench.attacks.targets import Target, check_target, target_classes

# How far random starts are where no epsilon says it: the default of the authors' code.
_FAR = {"linf": 0.3, "l2": 1.0, "l1": 5.0}
_SEARCHES = 3  # steps of the search at the end, as in the paper


class FAB(Attack):
    """Projections onto the boundary of the linearised network, mixed with those of the image.

    Croce & Hein 2020 (arXiv 1907.02044), algorithm 1. A step goes from the iterate and from the
    clean image to the nearest linearised boundary, inside the box, `eta` times as far, and to a
    point between the two that lies by a share of at most `alpha_max` towards the latter. Where
    that breaks the image, the iterate goes back to `beta` times its offset. At the end three
    steps of a secant search look for the boundary between the image and the best iterate.

    `restarts` after the first start from random points. `targeted`: only the boundary to one
    class, for each of the `targets` classes of the highest logits at the clean image (Croce &
    Hein 2020b, arXiv 2003.01690). `target`: only that to one class chosen at the clean image, see
    `robench.attacks.targets`. With a finite `epsilon`, as in AutoAttack, images
    broken within it are left alone.
    """

    name = "fab"
    budget = "minimum"

    def __init__(
        self,
        *,
        norm: Norm = "linf",
        steps: int = 100,
        restarts: int = 1,
        targeted: bool = False,
        targets: int = 9,
        alpha_max: float = 0.1,
        eta: float = 1.05,
        beta: float = 0.9,
        target: Target | None = None,
    ) -> None:
        self.norm = check_norm(norm, PROJECTED)
        self.steps = check_steps(steps)
        self.restarts = check_steps(restarts, "restarts")
        if type(targeted) is not bool:
            raise ValueError(f"targeted: got {targeted!r}, expected true or false")
        self.targeted = targeted
        self.targets = check_steps(targets, "targets")
        self.alpha_max = check_number(alpha_max, "alpha_max", high=1.0)
        self.eta = check_number(eta, "eta", low=1.0)
        self.beta = check_number(beta, "beta", high=1.0)
        self.target = None if target is None else check_target(target)
        if targeted and target is not None:
            raise ValueError(f"target: got {target!r} with targeted, which takes one class after "
                             "another; expected one of the two")

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        clean = victim.logits(images)
        classes = self._classes(clean, labels, random)
        nearest = _Nearest(images, clean, torch.full_like(clean[:, 0], torch.inf))
        final = images.clone()
        rows = torch.arange(len(images), device=images.device)
        bounded = math.isfinite(epsilon)
        runs = [(turn, each) for each in classes for turn in range(self.restarts)]
        made = 0
        while made < len(runs):
            kept = victim.kept() if bounded else None
            if kept is not None:
                final[rows] = nearest.images
                rows, victim, random = rows[kept], victim.select(kept), random.select(kept)
                nearest = nearest.select(kept)
            if len(rows) == 0:
                return final
            # Where a restart begins hangs on what the run before it came to.
            lanes = victim.lanes() if self.restarts == 1 else 1
            together = runs[made : made + lanes]
            chosen = torch.cat([each[rows] for _, each in together])
            if len(together) > 1:
                self._run_abreast(victim, chosen, nearest, len(together))
            else:
                start = victim.images
                if together[0][0]:
                    reach = nearest.distance.clamp_max(min(epsilon, _FAR[self.norm]))
                    start = _around(start, reach / 2, random, self.norm)
                self._run(victim, start, chosen, nearest, bounded=bounded)
            made += len(together)
        final[rows] = self._searched(victim, clean[rows], nearest)
        return final

    def _classes(self, clean: Tensor, labels: Tensor, random: Draws) -> tuple[Tensor, ...]:
        """The classes N×J whose boundaries a start looks at, and then those of the next starts."""
        if self.target is not None:
            return (target_classes(self.target, clean, labels, random)[:, None],)
        others = ranked_others(clean, labels)
        return torch.split(others[:, : self.targets], 1, dim=1) if self.targeted else (others,)

    def _run_abreast(self, victim: Query, classes: Tensor, nearest: _Nearest, runs: int) -> None:
        """So many starts from the image itself, in the same passes; `classes` of length runs·N."""
        view = victim.abreast(runs)
        each = nearest.repeated(runs)
        self._run(view, view.images, classes, each, bounded=True)
        victim.note_runs(view)
        nearest.take_first_nearest(each, runs)

    def _run(
        self, victim: Query, start: Tensor, classes: Tensor, nearest: _Nearest, *, bounded: bool
    ) -> None:
        """One start; takes note of the nearest iterates that break their images."""
        current = start
        rows = torch.arange(len(start), device=start.device)
        for _ in range(self.steps):
            kept = victim.kept() if bounded else None
            if kept is not None:
                rows, current, victim = rows[kept], current[kept], victim.select(kept)
                classes = classes[kept]
            if len(rows) == 0:
                return
            current = self._step(victim, current, classes)
            logits = victim.logits(current)
            hit = broken(logits, victim.labels)
            nearest.update(rows, hit, current, logits, distances(victim.images, current, self.norm))
            back = victim.images + self.beta * (current - victim.images)
            current = torch.where(hit[:, None, None, None], back, current)

    def _step(self, victim: Query, current: Tensor, classes: Tensor) -> Tensor:
        boundary = nearest_boundary(victim, current, classes, self.norm)
        gap, slope, images = boundary.gap, boundary.slope, victim.images
        step = onto_hyperplane(current, slope, gap, self.norm)
        from_image = onto_hyperplane(images, slope, gap + dot(slope, images - current), self.norm)
        none = torch.zeros_like(step)
        size, size_from_image = (
            distances(none, each, self.norm).clamp_min(1e-8) for each in (step, from_image)
        )
        pull = (size / (size + size_from_image)).clamp_max(self.alpha_max)[:, None, None, None]
        mixed = (1 - pull) * (current + self.eta * step) + pull * (images + self.eta * from_image)
        return mixed.clamp(0.0, 1.0)

    def _searched(self, victim: Query, clean: Tensor, nearest: _Nearest) -> Tensor:
        """Points nearer than the nearest that were found, where the logits change evenly."""
        near, far = _End(victim.images, clean), _End(nearest.images, nearest.logits)
        for _ in range(_SEARCHES):
            other = far.logits.argmax(dim=1)
            lead, lag = near.lead(victim.labels, other), -far.lead(victim.labels, other)
            share = lead / (lead + lag + 1e-10)
            share = torch.where((share >= 0) & (share <= 1), share, 1.0)[:, None, None, None]
            point = ((1 - share) * near.images + share * far.images).clamp(0.0, 1.0)
            logits = victim.logits(point)
            hit = broken(logits, victim.labels)
            found = _End(point, logits)
            near, far = near.replaced(~hit, found), far.replaced(hit, found)
        return far.images


@dataclass
class _Nearest:
    """The nearest iterates that broke their images, their logits and distances; where there is
    none, the image itself at infinity."""

    images: Tensor
    logits: Tensor
    distance: Tensor

    def update(
        self, rows: Tensor, hit: Tensor, images: Tensor, logits: Tensor, distance: Tensor
    ) -> None:
        better = hit & (distance < self.distance[rows])
        wide = better[:, None, None, None]
        for whole, part, chosen in (
            ("images", images, wide), ("logits", logits, better[:, None]),
            ("distance", distance, better),
        ):
            before = getattr(self, whole)
            after = before.clone()
            after[rows] = torch.where(chosen, part, before[rows])
            setattr(self, whole, after)

    def repeated(self, times: int) -> _Nearest:
        return self.select(torch.arange(len(self.distance), device=self.distance.device)
                           .repeat(times))

    def take_first_nearest(self, other: _Nearest, runs: int) -> None:
        """Of runs of all images, one run after the other, the nearest; the first of these."""
        count = len(self.distance)
        first = other.distance.view(runs, count).min(dim=0).indices
        chosen = other.select(first * count + torch.arange(count, device=first.device))
        for item in fields(self):
            setattr(self, item.name, getattr(chosen, item.name))

    def select(self, rows: Tensor) -> _Nearest:
        return _Nearest(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


@dataclass(frozen=True)
class _End:
    """One end of a line for each image, and the logits there."""

    images: Tensor
    logits: Tensor

    def lead(self, labels: Tensor, others: Tensor) -> Tensor:
        """The label's logit minus another's."""
        label, other = (
            self.logits.gather(1, classes[:, None])[:, 0] for classes in (labels, others)
        )
        return label - other

    def replaced(self, rows: Tensor, other: _End) -> _End:
        images = torch.where(rows[:, None, None, None], other.images, self.images)
        return _End(images, torch.where(rows[:, None], other.logits, self.logits))


def _around(images: Tensor, radius: Tensor, random: Draws, norm: Norm) -> Tensor:
    """A random point at distance `radius` N from each image, cut with the box."""
    shape = images.shape[1:]
    draw = random.uniform(*shape, low=-1.0, high=1.0) if norm == "linf" else random.normal(*shape)
    size = distances(torch.zeros_like(draw), draw, norm).clamp_min(1e-30)
    return (images + draw * (radius / size)[:, None, None, None]).clamp(0.0, 1.0)
