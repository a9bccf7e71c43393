"""Sizes of images that ART's attacks cannot take: refused before any pass, and only those."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robench
from robench.registry import Registry

from .art_cases import ALL, at

SQUARE_L2 = {"norm": "l2", "max_iter": 3}


class Linear(nn.Module):
    """A linear network for images of any one size, which counts its calls."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        values = shape[0] * shape[1] * shape[2]
        self.weight = nn.Parameter(torch.randn(10, values, generator=generator) / values**0.5)
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return 5 * images.flatten(1) @ self.weight.T


def _attacked(name: str, settings: dict[str, Any], *size: int) -> Linear:
    """The network, after one image of that size was attacked, which it does not break soon."""
    network = Linear(1, *size)
    images = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))
    labels = network(images).argmax(dim=1)
    network.calls = 0
    attack = robench.attack(name, **{**ALL[name], **settings})
    attack(network, images, labels, epsilons=at(attack, 1.0 if attack.norm == "l0" else 1e-3))
    return network


@pytest.mark.parametrize(("name", "settings", "size", "said"), [
    ("art/square", {}, (9, 13), "art/square: got images of 9×13 pixels, expected both sides longer "
                                "than 10, that of the first square, .* 0.8 of the image: lower p_"),
    ("art/square", {}, (3, 17), "3×17 pixels, expected both sides longer than 6"),
    ("art/square", {"p_init": 0.7}, (9, 13), "9×13 pixels, expected both sides longer than 9"),
    ("art/square", {"norm": "l2"}, (9, 13), "norm: got l2 for images of 9×13 pixels, expected linf,"
                                            " or sides of at least 10: art/square"),
    ("art/square", {"norm": "l2", "p_init": 0.1}, (24, 11), "24×11 pixels, expected a width of at "
                                                            "least 20"),
    ("art/auto-attack", {}, (9, 13), "art/auto-attack: got images of 9×13 pixels, expected both "
                                     "sides longer than 10, .* a share of 0.8 of the image$"),
    ("art/auto-attack", {"norm": "l2"}, (8, 8), "images of 8×8 pixels, .*art/auto-attack"),
    ("art/simba", {}, (9, 13), "art/simba: got images of 9×13 pixels, expected square ones"),
    ("art/simba", {}, (17, 3), "art/simba: got images of 17×3 pixels, expected square ones"),
    ("art/simba", {}, (3, 17), "art/simba: got images of 3×17 pixels, expected square ones"),
    ("art/simba", {"attack": "px", "order": "diag"}, (17, 3), "17×3 pixels, expected square ones"),
    ("art/simba", {}, (3, 3), "freq_dim: got 4 for images of 3×3 pixels, expected at most 3"),
    ("art/simba", {"stride": 3}, (8, 8), "stride: got 3 for images of 8×8 pixels and freq_dim 4, "
                                         "expected a divisor of 4"),
    ("art/geo-da", {}, (9, 13), "art/geo-da: got images of 9×13 pixels, expected square ones"),
    ("art/zoo", {"use_resize": True}, (9, 13), "art/zoo: got images of 9×13 .* use_resize false"),
    ("art/saliency-map", {}, (1, 1), "art/saliency-map: got images of one value, expected more"),
], ids=str)
def test_a_size_that_art_cannot_take_is_refused_before_a_pass(name, settings, size, said) -> None:
    network = Linear(1, *size)
    images, labels = torch.full((2, 1, *size), 0.5), torch.zeros(2).long()
    attack = robench.attack(name, **settings)
    with pytest.raises(ValueError, match=said):
        attack(network, images, labels, epsilons=[1.0])
    assert network.calls == 0


@pytest.mark.parametrize(("name", "settings", "sizes"), [
    ("art/square", {}, [(5, 5), (8, 8), (28, 32), (32, 28)]),
    ("art/square", {"p_init": 0.6}, [(9, 13), (13, 9)]),
    ("art/square", SQUARE_L2, [(10, 10), (14, 15), (28, 32)]),
    ("art/square", {**SQUARE_L2, "p_init": 0.1}, [(24, 20), (11, 24)]),
    ("art/auto-attack", {}, [(5, 5), (28, 32)]),
    ("art/simba", {}, [(4, 4), (9, 9)]), ("art/simba", {"stride": 2}, [(8, 8)]),
    ("art/simba", {"attack": "px", "max_iter": 300}, [(9, 13), (17, 3), (3, 17)]),
    ("art/zoo", {}, [(9, 13), (17, 3)]), ("art/zoo", {"use_resize": True}, [(9, 9)]),
    ("art/saliency-map", {}, [(1, 2)]),
], ids=str)
def test_what_is_not_refused_runs(name, settings, sizes) -> None:
    for size in sizes:
        assert _attacked(name, settings, *size).calls > 1


@pytest.mark.parametrize(("name", "settings", "size"), [
    ("art/square", {}, (4, 4)), ("art/square", {}, (9, 13)), ("art/square", {}, (13, 9)),
    ("art/square", {"p_init": 0.7}, (9, 13)), ("art/square", SQUARE_L2, (9, 9)),
    ("art/square", SQUARE_L2, (13, 20)), ("art/square", {**SQUARE_L2, "p_init": 0.1}, (24, 11)),
    ("art/auto-attack", {}, (9, 13)), ("art/simba", {}, (17, 3)), ("art/simba", {}, (3, 17)),
    ("art/simba", {"attack": "px", "order": "diag", "max_iter": 300, "epsilon": 1e-5},
     (17, 3)),
    ("art/simba", {"stride": 3}, (8, 8)), ("art/geo-da", {}, (9, 13)),
    ("art/zoo", {"use_resize": True, "max_iter": 3}, (9, 13)), ("art/saliency-map", {}, (1, 1)),
], ids=str)
def test_what_is_refused_is_what_art_fails_on(name, settings, size, monkeypatch) -> None:
    """Where nothing is refused, ART raises, or its arithmetic breaks down."""
    made = type(robench.attack(name, **{**ALL[name], **settings}))
    with pytest.raises(ValueError, match="got"):
        _attacked(name, settings, *size)
    monkeypatch.setattr(made, "check_ready", lambda *_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises((ValueError, IndexError, RuntimeWarning)):
            _attacked(name, settings, *size)


def test_simba_would_leave_out_a_part_of_the_image_unseen(monkeypatch) -> None:
    """Of 9×13 pixels, the last four columns, which alone have a say here."""
    class Right(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            grey = images[:, :, :, 9:].mean(dim=(1, 2, 3)) - 0.5
            return torch.stack([grey, -grey], dim=1)

    images = torch.full((1, 1, 9, 13), 0.501)
    attack = robench.attack("art/simba", max_iter=300)
    monkeypatch.setattr(type(attack), "check_ready", lambda *_: None)
    result = attack(Right(), images, torch.zeros(1).long(), epsilons=[9.0])[0]
    assert not bool(result.success.any())
    px = robench.attack("art/simba", max_iter=300, attack="px")
    assert bool(px(Right(), images, torch.zeros(1).long(), epsilons=[9.0])[0].success.all())


@pytest.mark.parametrize("name", ["art/square", "art/auto-attack", "art/simba", "art/geo-da",
                                  "art/zoo", "art/saliency-map"])
def test_the_card_says_so(name) -> None:
    notes = " ".join(Registry.discover().get("attack", name).card.notes)
    assert any(word in notes for word in ("square images only", "both sides of an image",
                                          "more than one value"))
