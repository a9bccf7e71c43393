import itertools

import pytest
import torch
from torch import nn

from robench.attacks.balls import distances
from robench.attacks.draws import Draws
from robench.attacks.one_pixel import OnePixel, _away, _first_members, _others, _painted, _towards

from .networks import Linear


def _draws(count):
    names = [str(row) for row in range(count)]
    return Draws.keyed(names, seed=0, attack="one-pixel", device=torch.device("cpu"))


def _tiny(channels=1, side=4, count=40, lead=0.0):
    """A linear network, of which some images break by one pixel, some by more."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, channels, side, side, generator=generator)
    weights = torch.randn(3, channels * side**2, generator=generator)
    bias = -(images.flatten(1) @ weights.T).mean(dim=0)
    bias[0] += lead  # so that images of class 0 take more pixels
    network = Linear(weights, bias)
    with torch.no_grad():
        return network, images, network(images).argmax(dim=1)


def _breaks(network, images, labels, pixels):
    """By brute force: whether some `pixels` pixels at the ends of the box break each image.

    On a linear network no colour in between does better.
    """
    channels, height, width = images.shape[1:]
    colours = torch.tensor(list(itertools.product([0.0, 1.0], repeat=channels * pixels)))
    found = torch.zeros(len(images), dtype=torch.bool)
    for places in itertools.combinations(range(height * width), pixels):
        for colour in colours:
            changed = images.flatten(2).clone()
            changed[:, :, list(places)] = colour.reshape(channels, pixels)
            found |= torch.ne(network(changed.reshape(images.shape)).argmax(1), labels)
    return found


@pytest.mark.parametrize(("channels", "pixels"), [(1, 1), (3, 1), (1, 2)])
def test_it_breaks_what_brute_force_breaks(channels, pixels):
    network, images, labels = _tiny(channels, lead=2.0 * (pixels - 1))
    with torch.no_grad():
        possible = _breaks(network, images, labels, pixels)
    assert 5 < int(possible.sum()) < len(images)
    result = OnePixel(pixels=pixels, population=60, generations=15)(
        network, images, labels, epsilons=[pixels]
    )[0]
    assert not bool((result.success & ~possible).any())
    assert int(result.success.sum()) >= 0.9 * int(possible.sum())
    assert set(result.distance[result.success].tolist()) <= set(range(1, pixels + 1))


def test_one_three_and_five_pixels_are_one_search():
    network, images, labels = _tiny()
    attack = OnePixel(population=40, generations=8)
    curve = attack(network, images, labels, epsilons=[0, 1, 2, 3, 5])
    broken = [int(result.success.sum()) for result in curve]
    assert broken[0] == 0
    assert 0 < broken[1] <= broken[2] <= broken[3] <= broken[4]
    assert broken[1] < broken[4]
    alone = OnePixel(pixels=1, population=40, generations=8)(
        network, images, labels, epsilons=[1]
    )[0]
    assert torch.equal(alone.success, curve[1].success)
    assert torch.equal(alone.adversarial[alone.success], curve[1].adversarial[alone.success])


@pytest.mark.parametrize("pixels", [1, 2, 3, 4, 5])
def test_no_more_pixels_change_than_allowed(cnn, cnn_and_8, pixels):
    _, images, labels = cnn_and_8
    result = OnePixel(pixels=pixels, population=10, generations=2)(
        cnn, images, labels, epsilons=[64]
    )[0]
    assert float(distances(images, result.adversarial, "l0").max()) <= pixels


class _Constant(nn.Module):
    def forward(self, images):
        return torch.tensor([1.0, 0.0, 0.0]).expand(len(images), 3)


@pytest.mark.parametrize(("pixels", "searches"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4)])
def test_what_it_costs(pixels, searches):
    images, labels = torch.full((3, 1, 5, 5), 0.5), torch.zeros(3, dtype=torch.long)
    result = OnePixel(pixels=pixels, population=35, generations=4)(
        _Constant(), images, labels, epsilons=[8]
    )[0]
    assert set(result.forwards.tolist()) == {searches * 5 * 36 + 1}
    assert int(result.backwards.sum()) == 0


def test_the_first_members_are_those_of_the_paper():
    images = torch.zeros(50, 3, 8, 8)
    members = _first_members(images, _draws(50), 2, 100)
    assert members.shape == (50, 100, 2, 5)
    places, colours = members[..., :2], members[..., 2:]
    assert float(places.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(places.min()) >= 0.0
    assert float(places.max()) < 1.0
    assert float(colours.median()) == pytest.approx(128 / 255, abs=0.01)
    # As much of a normal of deviation 127/255 lies beyond the box.
    assert float((colours == 0).float().mean()) == pytest.approx(0.157, abs=0.01)


@pytest.mark.parametrize("count", [4, 5, 12])
def test_parents_are_three_others_each_as_often(count):
    times = torch.zeros(count, count)
    for first, second, third in zip(*_others(_draws(3000).uniform(count, 3), count), strict=True):
        parents = torch.stack([first, second, third], dim=1)
        own = torch.cat([parents, torch.arange(count)[:, None]], dim=1)
        assert all(len(set(row.tolist())) == 4 for row in own)
        times.scatter_add_(1, parents, torch.ones(count, 3))
    expected = 3000 * 3 / (count - 1)
    off = times[~torch.eye(count, dtype=torch.bool)]
    assert float((off - expected).abs().max()) < 5 * expected**0.5
    assert float(times.diagonal().sum()) == 0


def test_members_are_painted_at_their_places():
    images = torch.full((1, 2, 3, 4), 0.5)
    members = torch.tensor([[[[0.0, 0.0, 0.1, 0.2], [0.99, 1.0, 0.3, 0.4]],
                             [[0.4, 0.3, 0.6, 0.7], [0.4, 0.3, 0.8, 0.9]]]])
    painted = _painted(images, members)[0]
    assert painted[0, :, 0, 0].tolist() == pytest.approx([0.1, 0.2])
    assert painted[0, :, 2, 3].tolist() == pytest.approx([0.3, 0.4])
    assert painted[1, :, 1, 1].tolist() == pytest.approx([0.8, 0.9])  # the later of two
    assert [int((candidate != 0.5).any(0).sum()) for candidate in painted] == [2, 1]
    assert float(images.min()) == 0.5


def test_confident_predictions_are_told_apart():
    logits = torch.tensor([[[60.0, 0.0, 0.0], [59.0, 0.0, 0.0], [1.0, 2.0, 0.0], [0.1, 0.0, 0.0]]])
    odds = _away(logits, torch.tensor([0]))[0]
    assert float(odds[1]) < float(odds[0])
    assert float(odds[2]) == float("-inf")
    assert float(odds[3]) == pytest.approx(0.1 - torch.tensor(2.0).log().item())


def test_what_is_more_probable_to_be_the_target_is_better_and_what_is_one_is_best():
    logits = torch.tensor([[[60.0, 0.0, 0.0], [60.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.5, 1.0]]])
    scores = _towards(logits, torch.tensor([1]))[0]
    assert float(scores[1]) < float(scores[0])
    assert float(scores[2]) == float("-inf")
    assert float(scores[3]) > float("-inf")  # broken, but not as aimed
