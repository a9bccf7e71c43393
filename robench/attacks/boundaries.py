"""Decision boundaries as gradients show them: hyperplanes, and the way onto them inside the box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce

import torch
from torch import Tensor

from robench.attacks.balls import Norm
from robench.attacks.query import Query
from robench.device import reading_waits

# How many images have their gradients in memory at a time, and how many values those may have. Not
# the victim's own tile: it shrinks where memory runs out, and the count of forwards hangs on it.
_AT_A_TIME = {"cpu": 32, "cuda": 256}
_VALUES = {"cpu": 2**26, "cuda": 2**29}
# How many images are sorted at a time: it takes some 100 bytes a pixel.
_SORTED = 32
_TINY = 1e-12


@dataclass(frozen=True)
class Boundary:
    """The hyperplane {x : gap + ⟨slope, x − point⟩ = 0} near each of N points.

    `gap` N is another class's logit minus the label's, `slope` N×C×H×W its gradient, `distance`
    N how far the hyperplane is without the box; `logits` N×K are those at the points.
    """

    logits: Tensor
    gap: Tensor
    slope: Tensor
    distance: Tensor

    def select(self, rows: Tensor) -> Boundary:
        return Boundary(self.logits[rows], self.gap[rows], self.slope[rows], self.distance[rows])


def ranked_others(logits: Tensor, labels: Tensor) -> Tensor:
    """All classes but the label, the highest logit first, int64 N×(K − 1)."""
    others = logits.scatter(1, labels[:, None], float("-inf"))
    return others.argsort(dim=1, descending=True, stable=True)[:, :-1]


def within_reach(logits: Tensor, labels: Tensor, classes: Tensor, reach: float) -> Tensor:
    """Whose boundary with the label can be the nearest, boolean of `classes` N×J, if no slope is
    more than `reach` times that of the class with the smallest gap: of gaps up to so many times
    the smallest one."""
    gaps = (logits.gather(1, classes) - logits.gather(1, labels[:, None])).abs()
    return gaps / reach <= gaps.amin(dim=1, keepdim=True)


def nearest_boundary(
    victim: Query, points: Tensor, classes: Tensor, norm: Norm, *, wanted: Tensor | None = None
) -> Boundary:
    """Of the boundaries between the label and each of `classes` N×J, or those `wanted` of them
    (boolean N×J, at least one of an image), the one nearest to each point in `norm` if the network
    were linear; of several as near, the first.

    Costs an image a backward for each, and a forward for as many classes as have room in memory:
    hundreds of small images, 13 of 3×224×224 pixels; what the others want costs it nothing. Where
    reading a value makes the host wait, all J are computed for all images, and counted alike.
    Always in float32: near a boundary the gap between two logits is less than what a lower
    precision rounds off.
    """
    if classes.shape[1] == 1:
        return _boundary(victim, points, classes, None, norm)
    tile = _AT_A_TIME.get(points.device.type, 256)
    room = _VALUES.get(points.device.type, 2**26)
    together = max(1, room // (tile * points[:1].numel()))
    if wanted is None:
        wanted = torch.ones_like(classes, dtype=torch.bool)
    ways = wanted.sum(dim=1)
    classes = classes.gather(1, wanted.byte().argsort(dim=1, descending=True, stable=True))
    order = torch.arange(len(points), device=points.device)
    waits = reading_waits(points.device)
    if not waits and victim.rowwise:
        order = ways.argsort(stable=True)  # so that the images of a pass want about as many
    parts = []
    for part in torch.split(order, tile if victim.rowwise else max(len(points), 1)):
        most = classes.shape[1] if waits or not len(part) else int(ways[part].max())
        view, chosen = victim.select(part), classes[part, :most]
        parts.append(reduce(_nearer, (
            _boundary(view, points[part], some, ways[part] - place * together, norm)
            for place, some in enumerate(torch.split(chosen, together, dim=1))
        )))
    return _joined(parts).select(order.argsort())


def _boundary(
    victim: Query, points: Tensor, classes: Tensor, ways: Tensor | None, norm: Norm
) -> Boundary:
    """Of the boundaries to the first `ways` N of `classes` N×J, None for all; at infinity where
    that is none."""
    aims = torch.cat([victim.labels[:, None], classes], dim=1)
    leads = [partial(_lead, place=place) for place in range(1, aims.shape[1])]
    if ways is not None:  # where not all have room together, an image may want none of these
        ways = ways.clamp(0, len(leads))
        victim = victim.only(ways > 0)
    logits, slopes = victim.logits_and_gradients(
        points, leads, aims=aims, ways=ways, precision="float32"
    )
    gaps = logits.gather(1, classes) - logits.gather(1, victim.labels[:, None])
    steep = torch.stack([dual_norm(slope, norm) for slope in slopes], dim=1)
    away = gaps.abs() / steep.clamp_min(_TINY)
    if ways is not None:
        number = torch.arange(len(leads), device=ways.device)
        away = away.masked_fill(number >= ways[:, None], torch.inf)
    distance, nearest = away.min(dim=1)
    slope = slopes[0]
    for place, other in enumerate(slopes[1:], start=1):
        slope = torch.where((nearest == place)[:, None, None, None], other, slope)
    return Boundary(logits, gaps.gather(1, nearest[:, None])[:, 0], slope, distance)


def _joined(parts: Sequence[Boundary]) -> Boundary:
    names = ("logits", "gap", "slope", "distance")
    return Boundary(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def _nearer(one: Boundary, other: Boundary) -> Boundary:
    closer = other.distance < one.distance
    return Boundary(
        one.logits, torch.where(closer, other.gap, one.gap),
        torch.where(closer[:, None, None, None], other.slope, one.slope),
        torch.where(closer, other.distance, one.distance),
    )


def _lead(logits: Tensor, aims: Tensor, *, place: int) -> Tensor:
    """How far the logit of the class in column `place` is above the label's, in column 0."""
    return (logits.gather(1, aims[:, place, None]) - logits.gather(1, aims[:, :1]))[:, 0]


def dual_norm(slope: Tensor, norm: Norm) -> Tensor:
    """The norm that says how fast a linear function changes along a step of length 1 in `norm`,
    float32 of length N: L1 for L∞, L2 for L2, L∞ for L1."""
    size = slope.flatten(1).double()
    if norm == "linf":
        return size.abs().sum(dim=1).float()
    if norm == "l2":
        length: Tensor = torch.linalg.vector_norm(size, dim=1)
        return length.float()
    return size.abs().amax(dim=1).float()


def dot(one: Tensor, other: Tensor) -> Tensor:
    """The inner product of each pair, float32 of length N, summed in float64."""
    return (one.flatten(1).double() * other.flatten(1).double()).sum(dim=1).float()


def onto_hyperplane(points: Tensor, slope: Tensor, gap: Tensor, norm: Norm) -> Tensor:
    """The shortest step in `norm`, N×C×H×W, from `points` in [0,1] to the hyperplane
    {x : gap + ⟨slope, x − point⟩ = 0} that stays in the box; where the box does not reach the
    hyperplane, the step that comes nearest to it.

    Croce & Hein 2020 (arXiv 1907.02044), equation 4. In L∞ and L2 every pixel
    moves along the best direction until it meets the box; in L1 the pixels of the steepest slope
    move as far as they can.
    """
    solve = _in_l1 if norm == "l1" else _in_linf if norm == "linf" else _in_l2
    flat = (torch.split(each.flatten(1), _SORTED) for each in (points, slope))
    steps = []
    for point, tilt, need in zip(*flat, torch.split(gap, _SORTED), strict=True):
        rate = tilt.double().abs()
        ahead = -tilt.sign() * need.sign()[:, None]
        exact = point.double()
        room = torch.where(ahead > 0, 1.0 - exact, exact) * (ahead != 0)
        steps.append(ahead * solve(rate, room, need.double().abs()[:, None]).float())
    return torch.cat(steps).reshape(points.shape)


def _in_linf(rate: Tensor, room: Tensor, need: Tensor) -> Tensor:
    return _along(torch.ones_like(rate), rate, room, need)


def _in_l2(rate: Tensor, room: Tensor, need: Tensor) -> Tensor:
    return _along(rate, rate, room, need)


def _along(speed: Tensor, rate: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """min(λ·speed, room) with the λ at which Σ rate·min(λ·speed, room) is `need`, N×P.

    As λ rises, the sum rises from 0, piecewise linearly: a pixel stops at λ = room / speed.
    """
    stops, order = (room / speed.clamp_min(1e-300)).masked_fill(speed == 0, 0.0).sort(dim=1)
    stopped = (rate * room).gather(1, order).cumsum(dim=1)
    gains = (rate * speed).gather(1, order)
    moving = gains.flip(1).cumsum(dim=1).flip(1)  # those that stop here or later
    reached = stopped - (rate * room).gather(1, order) + stops * moving
    place = torch.searchsorted(reached, need)
    inside = place.clamp_max(rate.shape[1] - 1)
    before = torch.where(inside > 0, stopped.gather(1, (inside - 1).clamp_min(0)), 0.0)
    step = (need - before) / moving.gather(1, inside).clamp_min(1e-300)
    # In float32, where the order of a sum in float64 does not show.
    step = torch.where(place < rate.shape[1], step, torch.inf).float().double()
    return torch.where(speed > 0, torch.minimum(step * speed, room), 0.0)


def _in_l1(rate: Tensor, room: Tensor, need: Tensor) -> Tensor:
    order = rate.argsort(dim=1, descending=True, stable=True)
    gains = (rate * room).gather(1, order)
    left = need - (gains.cumsum(dim=1) - gains)
    share = (left / gains.clamp_min(1e-300)).clamp(0.0, 1.0)
    return torch.zeros_like(room).scatter(1, order, share) * room
