"""What holds of every native attack, in every norm, on any network, images and epsilons."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.attacks.balls import NORMS, Norm
from robench.attacks.base import Attack
from robench.attacks.fgsm import FGSM
from robench.attacks.result import AttackResult
from robench.registry import Registry
from robench.victim import Victim

from .native_cases import NAMES, UNIT, made

# The widths of all layers are multiples of 16: of others, some processors' kernels compute the
# last bits by the place of a row in its batch, which no attack can help.
_WIDTH = 16
_SHAPES = [(1, 4, 4), (1, 4, 8), (3, 4, 4), (1, 8, 8)]


Make = Callable[[], Attack]


def _makers() -> dict[tuple[str, Norm], Make]:
    """The attacks of `native_cases`, each in every norm it has."""
    found: dict[tuple[str, Norm], Make] = {}
    for name in NAMES:
        attack = made(name)
        params = Registry.discover().get("attack", name).card.params
        given = {key: getattr(attack, key) for key in params}
        for norm in NORMS if "norm" in params else (attack.norm,):
            make = partial(type(attack), **given | ({"norm": norm} if "norm" in params else {}))
            with contextlib.suppress(ValueError):
                found[name, make().norm] = make
    return found


MAKERS = _makers()


class _First(nn.Module):
    """The first `count` of what it is given."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, logits: Tensor) -> Tensor:
        return logits[:, : self.count]


def _network(kind: str, shape: tuple[int, int, int], classes: int) -> nn.Module:
    channels, height, width = shape
    pixels = height * width
    return nn.Sequential(*{
        "linear": [nn.Flatten(), nn.Linear(channels * pixels, _WIDTH)],
        "dense": [nn.Flatten(), nn.Linear(channels * pixels, 2 * _WIDTH), nn.ReLU(),
                  nn.Linear(2 * _WIDTH, _WIDTH)],
        "convolution": [nn.Conv2d(channels, _WIDTH, 3, padding=1), nn.ReLU(), nn.Flatten(),
                        nn.Linear(_WIDTH * pixels, _WIDTH)],
    }[kind], _First(classes))


@dataclass(frozen=True)
class _Example:
    """An attack on some images of a network; `make` makes another one of it."""

    make: Make
    network: nn.Module
    images: Tensor
    labels: Tensor
    epsilons: list[float]
    seed: int

    def attack(self) -> Attack:
        attack = self.make()
        if attack.learns:
            others = torch.rand(16, *self.images.shape[1:],
                                generator=torch.Generator().manual_seed(self.seed))
            attack.fit(self.network, others, _predicted(self.network, others),
                       epsilons=self.epsilons, seed=self.seed)
        return attack

    def by(self, attack: Attack, rows: Tensor | None = None, **named: Any) -> list[AttackResult]:
        rows = torch.arange(len(self.images)) if rows is None else rows
        named = {"epsilons": self.epsilons, "seed": self.seed, **named}
        return attack(self.network, self.images[rows], self.labels[rows], **named)


def _one_by_one(network: nn.Module) -> Victim:
    victim, device = Victim(network), torch.device("cpu")
    while victim.tile(device, 1) > 1:
        victim.halve_tiles(device)
    return victim


def _predicted(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return network(images).argmax(dim=1)


@st.composite
def _examples(draw: st.DrawFn) -> _Example:
    name, norm = draw(st.sampled_from(sorted(MAKERS)))
    kind = draw(st.sampled_from(["linear", "dense", "convolution"]))
    shape, classes = draw(st.sampled_from(_SHAPES)), draw(st.sampled_from([2, 3, 5, 16]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
        network = _network(kind, shape, classes)
        images = torch.rand(draw(st.integers(1, 6)), *shape)
        # Pixels at the edge of the box are where projections go wrong.
        images = torch.where(torch.rand_like(images) < 0.2, images.round(), images)
    factors = draw(st.lists(st.floats(0, 3), min_size=1, max_size=3))
    epsilons = [factor * UNIT[norm] for factor in factors]
    if norm == "l0":
        epsilons = [float(round(epsilon)) for epsilon in epsilons]  # it counts pixels
    return _Example(
        make=MAKERS[name, norm], images=images,
        # As it is, or in tiles of one image, where each leaves the batch as soon as it is broken.
        network=network if draw(st.booleans()) else _one_by_one(network),
        labels=_predicted(network, images), epsilons=draw(st.permutations([0.0, *epsilons])),
        seed=draw(st.integers(0, 2**31)),
    )


def _assert_same(one: AttackResult, other: AttackResult, *, rows: Tensor | None = None) -> None:
    """All that is said of the images, bit for bit; of `rows` of both, if not of all."""
    for item in fields(AttackResult):
        left, right = getattr(one, item.name), getattr(other, item.name)
        if isinstance(left, Tensor):
            chosen = slice(None) if rows is None else rows
            assert torch.equal(left[chosen], right[chosen]), item.name


def _assert_inside(result: AttackResult, images: Tensor, norm: Norm) -> None:
    """Measured by the definitions, in float32; sums of many pixels are rounded to it once."""
    found = result.adversarial.numpy()
    assert found.dtype == np.float32
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    delta = np.abs(found - images.numpy())
    exact = delta.astype(np.float64)
    away = {
        "linf": delta.max(axis=(1, 2, 3)),
        "l2": np.sqrt(np.square(exact).sum(axis=(1, 2, 3))),
        "l1": exact.sum(axis=(1, 2, 3)),
        "l0": (delta > 0).any(axis=1).sum(axis=(1, 2)),
    }[norm].astype(np.float32)
    assert (away <= np.float32(result.epsilon)).all()
    assert (away == result.distance.numpy()).all()


def _just_found(unlimited: AttackResult, norm: Norm) -> list[float]:
    """The epsilons at which an image just counts as broken, and just does not."""
    at = unlimited.distance[unlimited.success].tolist()
    return [*at, *(each - 1 if norm == "l0" else float(np.nextafter(np.float32(each), 0))
                   for each in at)]


def _assert_read_off(results: list[AttackResult], unlimited: AttackResult, images: Tensor) -> None:
    """An attack that looks for the nearest finds the same at all epsilons."""
    for result in results:
        near = unlimited.success & (unlimited.distance <= result.epsilon)
        assert torch.equal(result.success, near)
        expected = torch.where(near[:, None, None, None], unlimited.adversarial, images)
        assert torch.equal(result.adversarial, expected)


def _climbing(results: list[AttackResult]) -> list[AttackResult]:
    return sorted(results, key=lambda result: result.epsilon)


def _assert_five_things(example: _Example, parts: list[Tensor]) -> None:
    """Inside ball and box; nothing at epsilon 0; no fewer broken at a larger one; the same for an
    image in any of the `parts` of the rows, which are all of them in another order; and that, by
    another instance, with the same seed."""
    attack = example.attack()
    results = example.by(attack)
    assert [result.epsilon for result in results] == example.epsilons
    if attack.budget == "minimum":
        unlimited = example.by(attack, epsilons=None)[0]
        more = [*example.epsilons, *_just_found(unlimited, attack.norm)]
        alone = example.by(attack, epsilons=more, ladder=False)
        _assert_read_off(alone, unlimited, example.images)
    else:
        alone = example.by(attack, ladder=False)

    for result in (*results, *alone):
        _assert_inside(result, example.images, attack.norm)

    for zero in (_climbing(results)[0], _climbing(alone)[0]):
        assert zero.epsilon == 0.0
        assert torch.equal(zero.adversarial, example.images)
        assert torch.equal(zero.prediction, example.labels)
        assert not bool(zero.success.any())

    # Without the ladder an image may be broken at the smaller epsilon alone: a longer step may end
    # where it is right again, and a longer path anywhere. What the ladder leaves standing fares as
    # without it.
    for smaller, larger in pairwise(_climbing(results)):
        assert bool(larger.success[smaller.success].all())
        _assert_same(smaller, larger, rows=smaller.success)
    broken = torch.zeros(len(example.images), dtype=torch.bool)
    asked = alone[: len(results)]
    for one, other in zip(_climbing(results), _climbing(asked), strict=True):
        _assert_same(one, other, rows=~broken)
        broken = one.success

    once_more = example.attack()
    for rows in parts:
        for whole, part in zip(results, example.by(once_more, rows), strict=True):
            _assert_same(whole.select(rows), part)


@st.composite
def _with_parts(draw: st.DrawFn) -> tuple[_Example, list[Tensor]]:
    """An example, and its rows in another order, in one part or two."""
    example = draw(_examples())
    order = torch.tensor(draw(st.permutations(range(len(example.images)))))
    cut = draw(st.integers(0, len(order) - 1))
    return example, [part for part in (order[:cut], order[cut:]) if len(part)]


# Of epsilons so small that nothing is learned, and of searches that find nothing to begin with.
quiet = pytest.mark.filterwarnings("ignore::UserWarning")


def test_every_attack_is_drawn_in_every_norm_it_has():
    assert {name for name, _ in MAKERS} == set(NAMES)
    assert {norm for name, norm in MAKERS if name == "pgd"} == {"linf", "l2", "l1"}
    assert {norm for name, norm in MAKERS if name == "fmn"} == set(NORMS)


@quiet
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=_with_parts())
def test_any_attack_keeps_to_ball_ladder_order_and_seed(drawn):
    _assert_five_things(*drawn)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@quiet
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=_with_parts())
def test_so_it_does_in_many_more_examples(drawn):
    _assert_five_things(*drawn)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), norm=st.sampled_from(["linf", "l2"]),
       factors=st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_a_longer_step_undoes_nothing_where_one_direction_is_right_everywhere(
    seed, norm, factors
):
    """On a linear network of two classes a single step needs no ladder for that: every pixel only
    ever adds to the wrong class."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, images = _network("linear", (1, 4, 4), 2), torch.rand(20, 1, 4, 4)
    labels = _predicted(network, images)
    results = FGSM(norm=norm)(network, images, labels, ladder=False,
                              epsilons=sorted(2 * UNIT[norm] * factor for factor in factors))
    for smaller, larger in pairwise(results):
        lost = smaller.success & ~larger.success
        assert not bool((lost & (smaller.margin < -1e-5)).any())  # nearer, rounding decides
