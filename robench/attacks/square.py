"""The Square attack: random search with square-shaped updates."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from robench.attacks.balls import Ball, Norm, box_ball
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.losses import log_odds, margin
from robench.attacks.query import Query
from robench.attacks.settings import check_norm, check_number, check_steps
from robench.attacks.targets import Target, aimed_at, check_target

# The share of pixels in a square is halved after each of these, out of 10,000 queries (section
# 5.1).
_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# How many queries' random numbers are drawn at a time: a draw costs a call for each image.
_DRAWN = 64


class Square(Attack):
    """At each query a random square changes; a change that lowers the margin stays.

    Andriushchenko et al. 2020 (arXiv 1912.00049): algorithm 1 with the sampling of algorithms 2
    (L∞) and 3 (L2), as the authors' code in AutoAttack does it. `queries` are all there are for
    an image, that of the start too. `p_init` is the share of pixels in the first squares; it is
    halved as the queries go, on a schedule that stretches to their number.

    `target`: lowers the cross-entropy of a class chosen at the clean image, see
    `robench.attacks.targets`, which takes a forward beside the queries; None lowers the margin.
    """

    name = "square"
    access = "scores"

    def __init__(
        self, *, norm: Norm = "linf", queries: int = 5000, p_init: float = 0.8,
        target: Target | None = None,
    ) -> None:
        self.norm = check_norm(norm)
        self.queries = check_steps(queries, "queries")
        self.p_init = check_number(p_init, "p_init", high=1.0, open_low=True)
        self.target = None if target is None else check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        targets = aimed_at(self.target, victim, random)
        classes, loss = (labels, margin) if targets is None else (targets, _improbability)
        search = _Search(images, epsilon, self.norm, random)
        lowest = loss(victim.logits(search.current), classes)
        final = search.current.clone()
        rows = torch.arange(len(images), device=images.device)
        for query in range(self.queries - 1):
            kept = victim.kept()
            if kept is not None:
                final[rows] = search.current
                rows, classes, lowest = rows[kept], classes[kept], lowest[kept]
                victim = victim.select(kept)
                search.select(kept)
                if len(rows) == 0:
                    return final
            candidate = search.candidate(query, self.queries, self._share(query))
            lowest = search.accept(candidate, loss(victim.logits(candidate), classes), lowest)
        final[rows] = search.current
        return final

    def _share(self, query: int) -> float:
        """The share of pixels in a square at this query, counted from 0."""
        place = query * 10000 // self.queries
        return self.p_init / 2.0 ** sum(place > after for after in _HALVED_AFTER)


class _Search:
    """The `current` iterates N×C×H×W and what it takes to draw the next candidates."""

    def __init__(self, images: Tensor, epsilon: float, norm: Norm, random: Draws) -> None:
        self._images = images
        self._epsilon = epsilon
        self._norm: Norm = norm
        self._random = random
        self._drawn = images.new_empty(len(images), 0)
        self._bounds = box_ball(images, epsilon) if norm == "linf" else (images, images)
        self.current = self._stripes() if norm == "linf" else self._tiles()

    def candidate(self, query: int, queries: int, share: float) -> Tensor:
        """The next candidates, with squares of that share of the pixels."""
        place = query % _DRAWN
        if place == 0:
            left = min(_DRAWN, queries - 1 - query)
            self._drawn = self._random.uniform(left, 5 + self._images.shape[1])
        drawn = self._drawn[:, place]
        if self._norm == "linf":
            return self._square(drawn, share)
        return self._two_windows(drawn, share)

    def accept(self, candidate: Tensor, gap: Tensor, lowest: Tensor) -> Tensor:
        """Goes to the candidates of a lower loss; gives the lowest losses so far."""
        better = gap < lowest
        self.current = torch.where(better[:, None, None, None], candidate, self.current)
        return torch.where(better, gap, lowest)

    def select(self, rows: Tensor) -> None:
        """Go on with some rows only."""
        self._images, self.current = self._images[rows], self.current[rows]
        self._bounds = (self._bounds[0][rows], self._bounds[1][rows])
        self._random, self._drawn = self._random.select(rows), self._drawn[rows]

    def _stripes(self) -> Tensor:
        """The L∞ start: every column of every channel at one end of the ball."""
        channels, _, width = self._images.shape[1:]
        low, high = self._bounds
        return torch.where(self._random.uniform(channels, 1, width) < 0.5, low, high)

    def _square(self, drawn: Tensor, share: float) -> Tensor:
        """One square, in each channel at one end of the ball."""
        height, width = self._images.shape[2:]
        side = max(round(math.sqrt(share * height * width)), 1)
        side = min(side, height, width)
        inside = _within(drawn[:, 0], side, height)[:, None, :, None]
        inside = inside & _within(drawn[:, 1], side, width)[:, None, None, :]
        low, high = self._bounds
        ends = torch.where(drawn[:, 5:, None, None] < 0.5, low, high)
        return torch.where(inside, ends, self.current)

    def _tiles(self) -> Tensor:
        """The L2 start: tiles that each hold a bump and its negative."""
        count, (channels, height, width) = len(self._images), self._images.shape[1:]
        side = max(height // 5, 1)
        first = max(height - 5 * side, 0) // 2
        tops = [first + side * place for place in range(height // side)]
        lefts = [first + side * place for place in range(width // side)]
        drawn = self._random.uniform(len(tops), len(lefts), 1 + channels)
        # Some widths leave room for a part of the last tile only.
        start = self._images.new_zeros(count, channels, height + 2 * side, width + 2 * side)
        bumps = _bumps(side, start.device)
        for row, top in enumerate(tops):
            for column, left in enumerate(lefts):
                start[:, :, top : top + side, left : left + side] = _signed(
                    bumps, drawn[:, row, column, 0], drawn[:, row, column, 1:]
                )
        return self._scaled(start[:, :, :height, :width].double())

    def _two_windows(self, drawn: Tensor, share: float) -> Tensor:
        """One window is emptied; its length, and what the ball leaves free, goes to the other."""
        channels, height, width = self._images.shape[1:]
        side = max(round(math.sqrt(share * height * width)), 3)
        least = min(height, width)
        side = min(side + (side + 1) % 2, least - (least + 1) % 2)
        delta = self.current.double() - self._images.double()
        into, emptied = (
            _within(drawn[:, at], side, height)[:, None, :, None]
            & _within(drawn[:, at + 1], side, width)[:, None, None, :]
            for at in (0, 2)
        )
        spent = delta.square().sum(dim=(1, 2, 3), keepdim=True)
        length = (delta.square() * (into | emptied)).sum(dim=(1, 2, 3), keepdim=True)
        free = (self._epsilon**2 - spent).clamp_min(0.0) / channels
        rows = _first(drawn[:, 0], side, height)[:, None] + torch.arange(side, device=drawn.device)
        columns = _first(drawn[:, 1], side, width)[:, None] + torch.arange(
            side, device=drawn.device
        )
        image = torch.arange(len(delta), device=drawn.device)[:, None, None, None]
        channel = torch.arange(channels, device=drawn.device)[None, :, None, None]
        window = (image, channel, rows[:, None, :, None], columns[:, None, None, :])
        old = delta[window]
        new = _signed(_bumps(side, delta.device), drawn[:, 4], drawn[:, 5:]).double()
        new = new + old / (_length(old) + 1e-12)
        new = new / (_length(new) + 1e-12) * (free + length).sqrt()
        delta = torch.where(emptied, 0.0, delta).index_put(window, new)
        return self._scaled(delta)

    def _scaled(self, delta: Tensor) -> Tensor:
        """Perturbations scaled to the length epsilon, added, and cut with the box."""
        length = delta.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        moved = self._images.double() + delta / (length + 1e-12) * self._epsilon
        # For the rounding to float32, which may lead out of the ball.
        return Ball(self._images, self._epsilon, "l2").project(moved.float())


def _improbability(logits: Tensor, targets: Tensor) -> Tensor:
    """It orders candidates as the targets' cross-entropy does."""
    return -log_odds(logits, targets)


def _first(drawn: Tensor, side: int, room: int) -> Tensor:
    """Where windows of `side` pixels begin: uniform from 0 to room − side − 1, as in the authors'
    code, or 0 where there is no room."""
    return (drawn * (room - side)).long().clamp(0, max(room - side - 1, 0))


def _within(drawn: Tensor, side: int, room: int) -> Tensor:
    """Which of `room` rows or columns are in such windows; bool N×room."""
    offset = torch.arange(room, device=drawn.device) - _first(drawn, side, room)[:, None]
    return (offset >= 0) & (offset < side)


def _length(windows: Tensor) -> Tensor:
    """The L2 norm of each channel of each window, N×C×1×1."""
    return windows.square().sum(dim=(2, 3), keepdim=True).sqrt()


def _signed(bumps: Tensor, turned: Tensor, signs: Tensor) -> Tensor:
    """A bump for each image, upright or on its side, with a sign for each channel: N×C×s×s."""
    chosen = torch.where(turned[:, None, None] < 0.5, bumps, bumps.T)
    return chosen[:, None] * torch.where(signs[:, :, None, None] < 0.5, -1.0, 1.0)


@functools.cache
def _bumps(side: int, device: torch.device) -> Tensor:
    """The update η of algorithm 3: half a square rises to its middle, half falls; unit length."""
    half = side // 2
    rising, falling = _pyramid(half, side), _pyramid(side - half, side)
    return torch.cat([rising, -falling]).div(math.sqrt(2.0) if half else 1.0).float().to(device)


def _pyramid(height: int, width: int) -> Tensor:
    """Σ 1/(k+1)² over nested rectangles that grow around the middle; float64, unit length."""
    top, left = height // 2, width // 2
    down = (torch.arange(height) - top).abs()[:, None]
    across = (torch.arange(width) - left).abs()[None]
    ring = torch.maximum(down, across)
    steps = max(top, left) + 1
    shares = torch.arange(1, steps + 1, dtype=torch.float64).square().reciprocal()
    # A pixel in ring r is inside rectangles r, r + 1, … up to the last.
    heights = shares.flip(0).cumsum(0).flip(0)[ring]
    return heights / heights.square().sum().sqrt() if height else heights
