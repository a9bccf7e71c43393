"""Balls around images, cut with the box [0,1]: projections, directions, distances.

Images are float32 N×C×H×W. Whatever a projection returns is inside the ball and the box when it
is measured again, in float32 and in float64: rounding is always towards the clean image.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Norm = Literal["linf", "l2", "l1", "l0"]
NORMS: tuple[Norm, ...] = ("linf", "l2", "l1", "l0")
PROJECTED: tuple[Norm, ...] = ("linf", "l2", "l1")
"""The norms whose balls are convex, and have a projection here."""

# Rounding the pixels of an L2 projection to float32 changes its norm by some 1e-8. Projections
# therefore aim this far inside the ball, and leave alone what is half as far inside.
_L2_MARGIN = 3e-7
# L1 projections round every pixel towards the clean image; this is for measuring in float32.
_L1_MARGIN = 3e-7
# How many images are sorted at a time: it takes some 100 bytes a pixel.
_SORTED = 32
_TINY = torch.finfo(torch.float32).tiny
_HUGE = 1e30


def box_ball(images: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """The lowest and highest pixel values in the L∞ ball of radius `epsilon` and in [0,1].

    Clamping between the two is the exact projection: rounding a pixel to float32 never
    leaves the ball.
    """
    exact = images.double()
    return _bound(exact, images, -epsilon), _bound(exact, images, epsilon)


def _bound(exact: Tensor, images: Tensor, shift: float) -> Tensor:
    """The pixels moved by `shift`, cut with the box, in float32 never further away than that."""
    near = exact.add(shift).clamp_(0.0, 1.0).float()
    # Where rounding leaves the ball, if by as little as float64 can tell, 1: choosing by a mask
    # that no processor can predict takes ten times as long.
    size = exact.sub(near) if shift < 0 else near.sub(exact)
    beyond = size.sub_(abs(shift)).mul_(_HUGE).clamp_(0.0, 1.0).float()
    return torch.nextafter(near, near.add(beyond, alpha=-1 if shift > 0 else 1))


def project_l2(images: Tensor, candidate: Tensor, epsilon: float) -> Tensor:
    """`candidate` moved into the L2 ball of radius `epsilon` around `images`, then into [0,1].

    Cutting with the box moves every pixel towards the clean image, so it never leaves the ball.
    """
    aim = max(epsilon * (1 - _L2_MARGIN) - _L2_MARGIN, 0.0)
    return _shrink_l2(images, candidate, aim=aim, limit=(aim + epsilon) / 2)


def _shrink_l2(images: Tensor, candidate: Tensor, *, aim: float, limit: float) -> Tensor:
    delta = candidate - images
    norm = _l2(delta)
    outside = norm > limit
    scale = torch.where(outside, aim / norm.clamp_min(1e-30), 1.0)
    moved = torch.where(_column(outside, delta), images + delta * _column(scale, delta), candidate)
    return moved.clamp(0.0, 1.0)


def project_l1(images: Tensor, candidate: Tensor, epsilon: float) -> Tensor:
    """The point nearest to `candidate` (in L2) that is in the L1 ball of radius `epsilon` around
    `images` and in [0,1].

    Croce & Hein 2021 (arXiv 2103.01208), proposition 2.1: every pixel moves back by the same λ,
    but not beyond the clean image, and is then cut with the box; λ is the smallest that fits.
    """
    aim = epsilon * (1 - _L1_MARGIN)
    exact = images.double()
    delta = candidate.double() - exact
    size = delta.abs()
    room = torch.where(delta > 0, 1.0 - exact, exact).minimum(size)
    outside = room.flatten(1).sum(dim=1) > (aim + epsilon) / 2
    sizes, rooms = (torch.split(each.flatten(1), _SORTED) for each in (size, room))
    cut = torch.cat([_l1_threshold(*part, aim) for part in zip(sizes, rooms, strict=True)])
    wanted = exact + delta.sign() * (size - _column(cut, delta)).clamp_min(0.0).minimum(room)
    rounded = wanted.float()
    beyond = (rounded.double() - exact).abs() > (wanted - exact).abs()
    moved = torch.where(beyond, torch.nextafter(rounded, images), rounded)
    return torch.where(_column(outside, delta), moved, candidate.clamp(0.0, 1.0))


def _l1_threshold(size: Tensor, room: Tensor, aim: float) -> Tensor:
    """The λ at which Σ min(max(size − λ, 0), room) is `aim`, from N×D; length N.

    As λ falls from the largest size, the sum rises from 0, piecewise linearly: a pixel begins to
    move at its size, and has used up its room at size − room.
    """
    pixels = size.shape[1]
    ends, order = torch.cat([size, size - room], dim=1).sort(dim=1, descending=True)
    moving = torch.where(order < pixels, 1.0, -1.0).to(size).cumsum(dim=1)[:, :-1]
    sums = (moving * -ends.diff(dim=1)).cumsum(dim=1)
    place = torch.searchsorted(sums, sums.new_full((len(sums), 1), aim)).clamp_max(2 * pixels - 2)
    before = torch.where(place > 0, sums.gather(1, (place - 1).clamp_min(0)), 0.0)
    rest = (aim - before) / moving.gather(1, place).clamp_min(1.0)
    return (ends.gather(1, place) - rest)[:, 0]


def project(images: Tensor, candidate: Tensor, epsilon: float, norm: Norm) -> Tensor:
    """`candidate` moved into the ball of `norm` and radius `epsilon`, and into [0,1]."""
    if norm == "linf":
        low, high = box_ball(images, epsilon)
        return torch.maximum(torch.minimum(candidate, high), low)
    if norm == "l2":
        aim, inside = epsilon, project_l2(images, candidate, epsilon)
        while bool((_l2(inside - images) > epsilon).any()):
            aim *= 1 - 1e-5
            inside = _shrink_l2(images, inside, aim=aim, limit=epsilon)
        return inside
    if norm == "l1":
        return project_l1(images, candidate, epsilon)
    raise ValueError(f"no projection onto the {norm} ball: expected {', '.join(PROJECTED)}")


class Ball:
    """The ball around each image, cut with the box; L∞ bounds are worked out once."""

    def __init__(self, images: Tensor, epsilon: float, norm: Norm) -> None:
        self._images = images
        self._epsilon = epsilon
        self._norm: Norm = norm
        self._bounds = box_ball(images, epsilon) if norm == "linf" else None

    def project(self, candidate: Tensor) -> Tensor:
        """Candidates N×C×H×W moved into the balls."""
        if self._norm == "l1":
            return project_l1(self._images, candidate, self._epsilon)
        if self._bounds is None:
            return project_l2(self._images, candidate, self._epsilon)
        low, high = self._bounds
        return torch.maximum(torch.minimum(candidate, high), low)

    def shifted(self, offset: Tensor) -> Tensor:
        """The images moved by `offset`, in units of the radius, and projected."""
        return self.project(self._images + self._epsilon * offset)

    def select(self, rows: Tensor) -> Ball:
        """The balls of some rows."""
        chosen = Ball.__new__(Ball)
        chosen._images, chosen._epsilon = self._images[rows], self._epsilon
        chosen._norm = self._norm
        chosen._bounds = self._bounds and (self._bounds[0][rows], self._bounds[1][rows])
        return chosen


def in_unit_ball(normal: Tensor, radius: Tensor) -> Tensor:
    """Points uniform in the unit L2 ball, from normal N×C×H×W and uniform N×1×1×1 draws.

    The share of a ball's volume within r grows with r to the number of dimensions.
    """
    dimensions = normal[0].numel() if len(normal) else 1
    # In float64: the last bit of a float32 power depends on how many rows share the call.
    return ascent_direction(normal, "l2") * (radius.double() ** (1.0 / dimensions)).float()


def in_unit_l1_ball(uniform: Tensor, radius: Tensor) -> Tensor:
    """Points uniform in the unit L1 ball, from N×C×H×W draws uniform in [−1, 1) and N×1×1×1
    draws uniform in [0, 1)."""
    dimensions = uniform[0].numel() if len(uniform) else 1
    return on_unit_l1_sphere(uniform) * (radius.double() ** (1.0 / dimensions)).float()


def on_unit_l1_sphere(uniform: Tensor) -> Tensor:
    """Points uniform on the surface of the unit L1 ball, from draws uniform in [−1, 1): Laplace
    numbers over the sum of their sizes."""
    size = uniform.double().abs().clamp_max(1 - 2**-25)  # float64: see above
    laplace = -torch.log1p(-size) * uniform.sign()
    return (laplace / _column(_l1(laplace).clamp_min(1e-300), laplace)).float()


def ascent_direction(gradient: Tensor, norm: Norm) -> Tensor:
    """The unit step that raises a loss most: the sign (L∞) or the gradient over its L2 norm."""
    if norm == "linf":
        return gradient.sign()
    if norm == "l2":
        return gradient / _column(_l2(gradient).clamp_min(_TINY), gradient)
    raise ValueError(f"no ascent direction for {norm}: expected linf or l2")


def sparse_direction(gradient: Tensor, images: Tensor, quantile: float) -> Tensor:
    """A step of L1 length 1 from `images` that raises a loss: the sign of the pixels whose
    gradient is above its `quantile` in size, all by the same amount; the others stay.

    Tramèr & Boneh 2019 (arXiv 1904.13000), algorithm 1 (SLIDE). Pixels at the edge of the box
    that the step would push out of it are left out; of equal ones at the quantile, all move.
    """
    pushed_out = ((images <= 0.0) & (gradient < 0)) | ((images >= 1.0) & (gradient > 0))
    free = gradient.masked_fill(pushed_out, 0.0)
    size = free.flatten(1).abs()
    chosen = max(round((1.0 - quantile) * size.shape[1]), 1)
    least = size.topk(chosen, dim=1).values[:, -1]
    step = torch.where(free.abs() >= _column(least, free), free.sign(), 0.0)
    return step / _column(_l1(step).clamp_min(1.0), step).float()


def distances(images: Tensor, candidate: Tensor, norm: Norm) -> Tensor:
    """The distance of each candidate from its image, float32 of length N.

    L0 counts the pixels (places, not channels) that changed.
    """
    delta = candidate - images
    if norm == "l0":
        return (delta != 0).any(dim=1).flatten(1).sum(dim=1).float()
    if norm == "l2":
        return _l2(delta)
    return delta.flatten(1).abs().amax(dim=1) if norm == "linf" else _l1(delta).float()


def _l1(delta: Tensor) -> Tensor:
    return delta.flatten(1).double().abs().sum(dim=1)


def _l2(delta: Tensor) -> Tensor:
    # Summed in float64: the order of a float32 sum depends on how many rows share the call.
    return delta.flatten(1).double().square().sum(dim=1).sqrt().float()


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *([1] * (like.dim() - 1)))
