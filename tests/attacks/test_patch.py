import math

import pytest
import torch

from robench.attacks.draws import Draws
from robench.attacks.patch import Patch

from .networks import Linear, images_seen, whole_view


def _boxes(images, candidates):
    """(height, width, pixels changed) of what differs, per image."""
    for image, candidate in zip(images, candidates, strict=True):
        places = (image != candidate).any(dim=0).nonzero()
        if len(places):
            down, across = (places.amax(dim=0) - places.amin(dim=0) + 1).tolist()
            yield down, across, len(places)


@pytest.mark.parametrize(("epsilon", "side"), [(1, 1), (4, 2), (8, 2), (12, 3), (64, 8), (1e6, 8)])
def test_the_patch_is_the_largest_square_of_so_many_pixels(cnn, right, epsilon, side):
    images, labels = 0.1 + 0.8 * right[0][:12], right[1][:12]
    with images_seen(cnn) as seen:
        Patch(steps=3, locations=2)(cnn, images, labels, epsilons=[epsilon])
    drawn = [box for batch in seen[1:3] for box in _boxes(images, torch.from_numpy(batch[:12]))]
    assert drawn
    assert {(down, across) for down, across, _ in drawn} == {(side, side)}
    assert {pixels for *_, pixels in drawn} == {side * side}


def test_every_place_is_drawn(cnn):
    images, labels = torch.full((400, 1, 8, 8), 0.5), torch.zeros(400).long()
    network = Linear(torch.zeros(2, 64), torch.tensor([1.0, 0.0]))
    with images_seen(network) as seen:
        Patch(steps=1, locations=1)(network, images, labels, epsilons=[36],
                                    image_ids=[str(row) for row in range(400)])
    first = torch.cat([torch.from_numpy(batch) for batch in seen[13:26]])[:400]
    corners = [tuple((image[0] != 0.5).nonzero().amin(dim=0).tolist()) for image in first]
    counts = [corners.count((down, across)) for down in range(3) for across in range(3)]
    assert sum(counts) == 400
    assert min(counts) > 20


def test_on_a_linear_network_the_patch_goes_all_the_way():
    """Within the square each pixel ends where its weight wants it: no other patch does better."""
    weights = torch.randn(64, generator=torch.Generator().manual_seed(0))
    network = Linear(torch.stack([-weights, weights]), torch.tensor([100.0, 0.0]))
    images = torch.full((6, 1, 8, 8), 0.5)
    images += 0.01 * torch.arange(6)[:, None, None, None]
    labels = torch.zeros(6).long()
    result = Patch(locations=1)(network, images, labels, epsilons=[16])[0]
    changed = result.adversarial != images
    best = (weights > 0).float().reshape(1, 1, 8, 8).expand_as(images)
    assert set(changed.flatten(1).sum(dim=1).tolist()) == {16}
    assert torch.equal(result.adversarial[changed], best[changed])


def test_larger_patches_and_more_places_break_more(cnn, right):
    small, large = Patch(steps=15, locations=1)(cnn, *right, epsilons=[4, 25])
    more = Patch(steps=15, locations=4)(cnn, *right, epsilons=[4])[0]
    counts = [int(result.success.sum()) for result in (small, more, large)]
    assert 0 < counts[0] < counts[1] < counts[2]
    for result in (small, large, more):
        assert bool((result.distance <= result.epsilon).all())
    # The places of the first round are the same, so what broke there breaks again.
    assert bool(more.success[small.success].all())


def test_counts(cnn, right):
    result = Patch(steps=5, locations=3)(cnn, *right, epsilons=[4])[0]
    standing = ~result.success
    assert set(result.backwards[standing].tolist()) == {15}
    assert set(result.forwards[standing].tolist()) == {16}
    assert torch.equal(result.forwards[result.success], result.first_success[result.success])


def test_no_image_depends_on_its_batch(cnn, right):
    images, labels = right
    attack = Patch(steps=6, locations=3)
    whole = attack(cnn, images, labels, epsilons=[9])[0]
    assert 3 < int(whole.success.sum()) < len(images)
    rows = torch.tensor([40, 3, 21, 8])
    some = attack(cnn, images[rows], labels[rows], epsilons=[9])[0]
    for name in ("adversarial", "success", "forwards", "backwards", "first_success"):
        assert torch.equal(getattr(whole, name)[rows], getattr(some, name)), name


def test_a_target_is_where_the_patch_leads(cnn, right):
    images, labels = right[0][right[1] != 3][:24], right[1][right[1] != 3][:24]
    query, _ = whole_view(cnn, images, labels, epsilon=36, norm="l0")
    shares = []
    for target in (None, 3):
        draws = Draws.keyed([str(row) for row in range(24)], seed=0, attack="patch",
                            device=images.device)
        last = Patch(steps=20, locations=1, target=target).perturb(
            query, images, labels, epsilon=36, random=draws)
        shares.append(float((cnn(last).argmax(dim=1) == 3).float().mean()))
    assert shares[0] < 0.5
    assert shares[1] > 0.9


def test_colour_patches_change_all_channels():
    network = Linear(torch.randn(2, 48, generator=torch.Generator().manual_seed(0)),
                     torch.tensor([50.0, 0.0]))
    images = torch.full((4, 3, 4, 4), 0.5)
    result = Patch(steps=4, locations=1)(network, images, torch.zeros(4).long(), epsilons=[4])[0]
    assert result.distance.tolist() == [4.0] * 4
    assert int((result.adversarial != images).sum()) > 4 * math.isqrt(4) ** 2
