import pytest
import torch
from torch import nn

import robench
from robench.attacks.balls import distances
from robench.attacks.decisions import starting_points, to_boundary
from robench.attacks.draws import Draws
from robench.errors import UnattackedWarning

from .closed_form import binary, exact_distances
from .networks import whole_view


def _draws(count):
    names = [str(row) for row in range(count)]
    return Draws.keyed(names, seed=0, attack="boundary", device=torch.device("cpu"))


class _Smooth(nn.Module):
    """Class 1 where neighbouring pixels are alike, as in no image of independent pixels."""

    def forward(self, images):
        rough = images.diff(dim=3).abs().mean(dim=(1, 2, 3)) - 0.1
        return torch.stack([rough, -rough], dim=1)


@pytest.mark.parametrize("rowwise", [True, False])
def test_a_start_is_found_for_every_class(rowwise):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(12, 1, 8, 8, generator=generator)
    images[6:] = 0.5
    labels = torch.tensor([0] * 6 + [1] * 6)
    query, log = whole_view(
        _Smooth(), images, labels, epsilon=float("inf"), norm="l2", smallest=True, rowwise=rowwise
    )
    points, found = starting_points(query, images, _draws(12))
    assert bool(found.all())
    with torch.no_grad():
        assert bool(torch.ne(_Smooth()(points).argmax(1), labels).all())
    assert set(log.forwards.tolist()) == {32}


class _Constant(nn.Module):
    def forward(self, images):
        return torch.tensor([1.0, 0.0]).expand(len(images), 2)


def test_where_nothing_is_adversarial_the_image_stays_and_the_search_ends():
    images, labels = torch.full((3, 1, 4, 4), 0.5), torch.zeros(3, dtype=torch.long)
    query, log = whole_view(
        _Constant(), images, labels, epsilon=float("inf"), norm="l2", smallest=True, rowwise=True
    )
    points, found = starting_points(query, images, _draws(3))
    assert not bool(found.any())
    assert torch.equal(points, images)
    assert set(log.forwards.tolist()) == {1024}


def test_only_images_without_a_start_go_on_searching():
    images = torch.full((4, 1, 4, 4), 0.2)
    images[2:] = 0.8
    labels = torch.tensor([0, 0, 1, 1])

    class Bright(nn.Module):  # an image of class 1 finds no darker one
        def forward(self, pixels):
            score = pixels.mean(dim=(1, 2, 3)) - 0.001
            return torch.stack([-score, score], dim=1)

    with torch.no_grad():
        labels = Bright()(images).argmax(1)
    labels[:2] = 0  # broken as they are, so by almost any image
    query, log = whole_view(
        Bright(), images, labels, epsilon=float("inf"), norm="l2", smallest=True, rowwise=True
    )
    _, found = starting_points(query, images, _draws(4))
    assert found[:2].all()
    assert log.forwards[:2].tolist() == [32, 32]
    assert bool((log.forwards[2:] > 32).all())


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_bisection_ends_at_the_boundary(norm):
    network, images, labels = binary(one_logit=False)
    exact = exact_distances(network, images, labels, norm)
    weights = network.weights.detach()
    normal = (weights[1 - labels] - weights[labels]).reshape(images.shape)
    unit = normal.sign() if norm == "linf" else normal / normal.flatten(1).norm(dim=1)[
        :, None, None, None
    ]
    far = images + 1.02 * exact.max().float() * unit
    assert float(far.min()) >= 0.0
    assert float(far.max()) <= 1.0
    query, log = whole_view(
        network, images, labels, epsilon=float("inf"), norm=norm, smallest=True
    )
    found = to_boundary(query, images, far, norm=norm, halvings=14)
    away = distances(images, found, norm)
    assert torch.allclose(away.double(), exact, rtol=1e-2, atol=1e-4)
    with torch.no_grad():
        assert bool(torch.ne(network(found).argmax(1), labels).all())
    assert set(log.forwards.tolist()) == {14}


class Rare(torch.nn.Module):
    """Another class only where columns are white and black in turn, as in no random image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        striped = images[..., ::2].mean(dim=(1, 2, 3)) - images[..., 1::2].mean(dim=(1, 2, 3))
        return torch.stack([0.95 - striped, striped - 0.95], dim=1)


@pytest.mark.parametrize("name", ["boundary", "hop-skip-jump"])
def test_images_without_a_start_are_told(name):
    images = torch.full((3, 1, 6, 6), 0.5)
    attack, labels = robench.attack(name, steps=2), torch.zeros(3, dtype=torch.int64)
    with pytest.warns(UnattackedWarning, match=f"{name}: no image to begin with was found for 3"):
        (result,) = attack(Rare(), images, labels)
    assert result.unstarted.tolist() == [True, True, True]
    assert not bool(result.success.any())


class Strict(torch.nn.Module):
    """The same with three classes, which ART's Sign-OPT needs."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(Rare()(images), (0, 1), value=-2.0)


@pytest.mark.parametrize(("name", "settings"), [
    ("art/boundary", {"init_size": 5}), ("art/hop-skip-jump", {"init_size": 5}),
    ("art/geo-da", {"max_iter": 600}), ("art/sign-opt", {"num_trial": 5}),
])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arts_decision_attacks_tell_them_too(name, settings):
    images = torch.full((2, 1, 8, 8), 0.5)
    attack, labels = robench.attack(name, **settings), torch.zeros(2, dtype=torch.int64)
    with pytest.warns(UnattackedWarning, match=f"{name}: no image to begin with was found for 2"):
        (result,) = attack(Strict(), images, labels)
    assert result.unstarted.tolist() == [True, True]
    assert not bool(result.success.any())


def test_a_row_with_images_without_a_start_is_flagged(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "robench.attacks.decisions._random_images",
        lambda random, count, shape: random.uniform(count, *shape) * 0.0 + 0.5,
    )
    run = robench.run({
        "name": "m", "datasets": [{"digits": {"limit": {"train": 40, "test": 6}}}],
        "models": [{"small-cnn": {"width": 2}}], "recipes": [{"standard": {"epochs": 1}}],
        "attacks": [{"boundary": {"steps": 2}}, "fgsm"], "epsilons": [0.1],
    }, store=tmp_path)
    flags = run.leaderboard().set_index("attack")["flags"]
    assert ["no-start" in str(flags[name]).split(",") for name in ("boundary", "fgsm")] == [
        True, False]
