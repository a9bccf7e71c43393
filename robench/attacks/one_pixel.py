"""The one-pixel attack: differential evolution of a few pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attacks.base import Attack
from robench.attacks.candidates import ask, groups, parts
from robench.attacks.draws import Draws
from robench.attacks.losses import broken, log_odds
from robench.attacks.query import Query
from robench.attacks.settings import check_steps
from robench.attacks.targets import Target, aimed_at, check_target

# The weight of a difference between two members of the population (section 3.2).
_WEIGHT = 0.5


class OnePixel(Attack):
    """Sets one pixel, then three, then five …, up to `pixels`, as differential evolution finds.

    Su et al. 2019 (arXiv 1710.08864), sections 3.2 and 3.3. A member of the population is a
    list of places and colours. It starts uniform in its place, normal around 128/255 with
    deviation 127/255 in its colour; its child is r₁ + 0.5·(r₂ − r₃) of three others and takes its
    place if the true class is less probable with it. An image is done when it is broken, or
    after so many `generations`. A number of pixels costs at most (`generations` + 1) ·
    (`population` + 1) queries.

    `target`: a child takes the place if a class chosen at the clean image, see
    `robench.attacks.targets`, is more probable with it; None lowers that of the label.
    """

    name = "one-pixel"
    norm = "l0"
    budget = "minimum"
    access = "scores"

    def __init__(
        self, *, pixels: int = 5, population: int = 400, generations: int = 100,
        target: Target | None = None,
    ) -> None:
        self.pixels = check_steps(pixels, "pixels")
        self.population = check_steps(population, "population")
        if population < 4:
            raise ValueError(f"population: got {population}, expected at least 4: "
                             "a child has three parents other than the one it may replace")
        self.generations = check_steps(generations, "generations")
        self.target = None if target is None else check_target(target)

    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        targets = aimed_at(self.target, victim, random)
        final = images.clone()
        rows = torch.arange(len(images), device=images.device)
        for pixels in [*range(1, self.pixels, 2), self.pixels]:
            found, done = self._evolve(victim, images[rows], targets, random, pixels)
            final[rows] = found
            left = (~done).nonzero()[:, 0]
            if len(left) == 0:
                break
            if victim.rowwise:
                rows, victim, random = rows[left], victim.select(left), random.select(left)
                targets = None if targets is None else targets[left]
        return final

    def _evolve(
        self, victim: Query, images: Tensor, targets: Tensor | None, random: Draws, pixels: int
    ) -> tuple[Tensor, Tensor]:
        """(the best candidates N×C×H×W, which of them are broken)."""
        victim = victim.apart()
        final, done = images.clone(), torch.zeros_like(victim.labels, dtype=torch.bool)
        rows = torch.arange(len(images), device=images.device)
        members = _first_members(images, random, pixels, self.population)
        scores = torch.full_like(members[:, :, 0, 0], float("inf"))
        for generation in range(self.generations + 1):
            trial = members if generation == 0 else _children(members, random)
            trial_scores = _scores(victim, images, trial, targets)
            better = trial_scores < scores
            members = torch.where(better[:, :, None, None], trial, members)
            scores = torch.where(better, trial_scores, scores)
            best = members[torch.arange(len(members), device=members.device), scores.argmin(dim=1)]
            shown = _painted(images, best[:, None])[:, 0]
            fooled = broken(victim.logits(shown), victim.labels)
            before = done[rows]
            final[rows] = torch.where(before[:, None, None, None], final[rows], shown)
            done[rows] = before | fooled
            left = victim.going_on(~done[rows])
            if left is not None:
                rows, images = rows[left], images[left]
                members, scores = members[left], scores[left]
                victim, random = victim.select(left), random.select(left)
                targets = None if targets is None else targets[left]
                if len(left) == 0:
                    break
        return final, done


def _first_members(images: Tensor, random: Draws, pixels: int, population: int) -> Tensor:
    """The population N×P×pixels×(2 + C): row and column as shares of the image, and colours."""
    places = random.uniform(population, pixels, 2)
    colours = random.normal(population, pixels, images.shape[1]) * (127 / 255) + 128 / 255
    return torch.cat([places, colours.clamp(0.0, 1.0)], dim=3)


def _children(members: Tensor, random: Draws) -> Tensor:
    """A child for each member, of three others."""
    count = members.shape[1]
    first, second, third = _others(random.uniform(count, 3), count)
    image = torch.arange(len(members), device=members.device)[:, None]
    difference = members[image, second] - members[image, third]
    return (members[image, first] + _WEIGHT * difference).clamp(0.0, 1.0)


def _others(drawn: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Three of the `count` members, drawn for each of them from the others, without repetition.

    `drawn` N×count×3 are uniform numbers; the k-th picks among the members not yet taken.
    """
    taken = torch.arange(count, device=drawn.device).expand(drawn.shape[:2])[..., None]
    for place in range(3):
        left = count - 1 - place
        pick = (drawn[..., place] * left).long().clamp_max(left - 1)
        for before in taken.sort(dim=2).values.unbind(dim=2):
            pick = pick + (pick >= before)
        taken = torch.cat([taken, pick[..., None]], dim=2)
    return taken[..., 1], taken[..., 2], taken[..., 3]


def _painted(images: Tensor, members: Tensor) -> Tensor:
    """The images N×S×C×H×W with the pixels of members N×S×pixels×(2 + C) set."""
    height, width = images.shape[2:]
    row = (members[..., 0] * height).long().clamp_max(height - 1)
    column = (members[..., 1] * width).long().clamp_max(width - 1)
    place = row * width + column
    flat = images.flatten(2)[:, None].repeat(1, members.shape[1], 1, 1)
    for pixel in range(members.shape[2]):  # of two at one place, the later one counts
        colour = members[:, :, pixel, 2:, None]
        index = place[:, :, pixel, None, None].expand_as(colour)
        flat.scatter_(3, index, colour)
    return flat.reshape(*flat.shape[:3], height, width)


def _scores(
    victim: Query, images: Tensor, members: Tensor, targets: Tensor | None
) -> Tensor:
    """What is to be small, N×P: the label's log-odds, and −∞ where a member breaks the image; or
    minus the target's, and −∞ where a member reaches it."""
    found = []
    for part in parts(victim):
        view, first, scores = victim.select(part), 0, []
        aims = None if targets is None else targets[part]
        for size in groups(members.shape[1]):
            logits = ask(view, _painted(images[part], members[part, first : first + size]))
            scores.append(_away(logits, view.labels) if aims is None else _towards(logits, aims))
            first += size
        found.append(torch.cat(scores, dim=1))
    return torch.cat(found)


def _away(logits: Tensor, labels: Tensor) -> Tensor:
    fooled = torch.ne(logits.argmax(dim=2), labels[:, None])
    return torch.where(fooled, float("-inf"), log_odds(logits, labels))


def _towards(logits: Tensor, targets: Tensor) -> Tensor:
    reached = torch.eq(logits.argmax(dim=2), targets[:, None])
    return torch.where(reached, float("-inf"), -log_odds(logits, targets))
