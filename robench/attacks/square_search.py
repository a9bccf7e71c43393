"""Where the Square attack stands, and the squares it draws next."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from robench.attacks.balls import Ball, Norm, box_ball
from robench.attacks.draws import Draws

# How many queries' random numbers are drawn at a time: a draw costs a call for each image.
_DRAWN = 64


class Search:
    """The `current` iterates N×C×H×W and what it takes to draw the next candidates."""

    def __init__(self, images: Tensor, epsilon: float, norm: Norm, random: Draws) -> None:
        self._images = images
        self._epsilon = epsilon
        self._norm: Norm = norm
        self._random = random
        self._drawn = images.new_empty(len(images), 0)
        self._bounds = box_ball(images, epsilon) if norm == "linf" else (images, images)
        self.current = self._stripes() if norm == "linf" else self._tiles()

    def left_of_draw(self, query: int) -> int:
        """For how many queries from this one on candidates can be had in one call."""
        return _DRAWN - query % _DRAWN

    def candidates(self, query: int, queries: int, share: float, *, count: int = 1) -> Tensor:
        """What `count` queries from this one on, of `queries`, show if none before them is
        accepted: count×N×C×H×W, with squares of that share of the pixels."""
        place = query % _DRAWN
        if place == 0:
            left = min(_DRAWN, queries - 1 - query)
            self._drawn = self._random.uniform(left, 5 + self._images.shape[1])
        drawn = self._drawn[:, place : place + count].transpose(0, 1)
        if self._norm == "linf":
            return self._squares(drawn, share)
        images, current = (
            each.expand(count, *each.shape).flatten(0, 1) for each in (self._images, self.current)
        )
        moved = self._two_windows(images, current, drawn.flatten(0, 1), share)
        return moved.view(count, *self.current.shape)

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

    def _squares(self, drawn: Tensor, share: float) -> Tensor:
        """One square each, in each channel at one end of the ball."""
        height, width = self._images.shape[2:]
        side = max(round(math.sqrt(share * height * width)), 1)
        side = min(side, height, width)
        inside = _within(drawn[..., 0], side, height)[..., None, :, None]
        inside = inside & _within(drawn[..., 1], side, width)[..., None, None, :]
        low, high = self._bounds
        ends = torch.where(drawn[..., 5:, None, None] < 0.5, low, high)
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
        return self._scaled(self._images, start[:, :, :height, :width].double())

    def _two_windows(
        self, images: Tensor, current: Tensor, drawn: Tensor, share: float
    ) -> Tensor:
        """One window is emptied; its length, and what the ball leaves free, goes to the other."""
        channels, height, width = images.shape[1:]
        side = max(round(math.sqrt(share * height * width)), 3)
        least = min(height, width)
        side = min(side + (side + 1) % 2, least - (least + 1) % 2)
        delta = current.double() - images.double()
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
        return self._scaled(images, delta)

    def _scaled(self, images: Tensor, delta: Tensor) -> Tensor:
        """Perturbations scaled to the length epsilon, added, and cut with the box."""
        length = delta.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        moved = images.double() + delta / (length + 1e-12) * self._epsilon
        # For the rounding to float32, which may lead out of the ball.
        return Ball(images, self._epsilon, "l2").project(moved.float())


def _first(drawn: Tensor, side: int, room: int) -> Tensor:
    """Where windows of `side` pixels begin: uniform from 0 to room − side − 1, as in the authors'
    code, or 0 where there is no room."""
    return (drawn * (room - side)).long().clamp(0, max(room - side - 1, 0))


def _within(drawn: Tensor, side: int, room: int) -> Tensor:
    """Which of `room` rows or columns are in such windows; bool …×room."""
    offset = torch.arange(room, device=drawn.device) - _first(drawn, side, room)[..., None]
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
