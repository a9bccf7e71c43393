import pytest
import torch

from robench.attacks.balls import distances
from robench.attacks.draws import Draws
from robench.attacks.hop_skip_jump import HopSkipJump, _stepped

from ..peers import peer
from .closed_form import binary, exact_distances
from .networks import whole_view


def _on_the_boundary(norm="l2"):
    """A linear network, its images, their nearest points across the boundary, unit normals."""
    network, images, labels = binary(one_logit=False)
    exact = exact_distances(network, images, labels, "l2").float()
    weights = network.weights.detach()
    normal = (weights[1 - labels] - weights[labels]).reshape(images.shape)
    normal = normal / normal.flatten(1).norm(dim=1)[:, None, None, None]
    points = images + 1.0001 * exact[:, None, None, None] * normal
    query, log = whole_view(
        network, images, labels, epsilon=float("inf"), norm=norm, smallest=True, rowwise=True
    )
    return query, log, points, normal


def _draws(count):
    names = [str(row) for row in range(count)]
    return Draws.keyed(names, seed=0, attack="hop-skip-jump", device=torch.device("cpu"))


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_estimate_is_the_normal_of_the_boundary(norm):
    query, log, points, normal = _on_the_boundary(norm)
    radius = torch.full((len(points),), 0.05)
    found = HopSkipJump(norm=norm)._normal(query, points, radius, 1000, _draws(len(points)))
    assert torch.allclose(found.flatten(1).norm(dim=1), torch.ones(len(points)), atol=1e-5)
    cosine = (found * normal).flatten(1).sum(dim=1)
    assert float(cosine.min()) > 0.95
    assert set(log.forwards.tolist()) == {1000}


def test_where_all_decisions_agree_the_mean_direction_counts():
    query, _, points, normal = _on_the_boundary()
    deep = points + 0.05 * normal
    radius = torch.full((len(points),), 1e-4)
    found = HopSkipJump()._normal(query, deep, radius, 10, _draws(len(points)))
    back = HopSkipJump()._normal(query, points - 0.05 * normal, radius, 10, _draws(len(points)))
    assert torch.allclose(found, -back, atol=1e-2)
    assert torch.allclose(found.flatten(1).norm(dim=1), torch.ones(len(points)), atol=1e-5)


def test_a_step_is_halved_until_it_is_adversarial():
    query, log, points, normal = _on_the_boundary()
    deep = points + 0.03 * normal
    reach = torch.full((len(points),), 0.2)
    back = _stepped(query, deep, -normal, reach)
    moved = (back - deep).flatten(1).norm(dim=1)
    assert torch.allclose(moved, torch.full_like(moved, 0.025), atol=1e-4)  # 0.2/8 is the first
    ahead = _stepped(query, deep, normal, reach)
    assert torch.allclose((ahead - deep).flatten(1).norm(dim=1), reach, atol=1e-4)
    assert set(log.forwards.tolist()) == {20}


def test_where_no_step_is_adversarial_the_points_stay():
    query, _, points, normal = _on_the_boundary()
    stayed = _stepped(query, points, -normal, torch.full((len(points),), 1.0))
    assert torch.equal(stayed, points)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_on_a_linear_network_it_comes_near_the_exact_distance(norm):
    network, images, labels = binary(one_logit=False)
    images, labels = images[:8], labels[:8]
    exact = exact_distances(network, images, labels, norm)
    result = HopSkipJump(norm=norm, steps=15)(network, images, labels, epsilons=[10.0])[0]
    assert bool(result.success.all())
    assert bool((result.distance > 0.999 * exact).all())
    assert float((result.distance / exact).median()) < {"l2": 1.03, "linf": 1.15}[norm]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_comes_as_near_as_the_reference(cnn, cnn_and_36, norm):
    """One image at a time in Foolbox, whose steps depend on the batch, see the card."""
    foolbox = peer("foolbox")
    _, images, labels = cnn_and_36
    images, labels = images[:8], labels[:8]
    settings = {"norm": norm, "steps": 5, "samples": 60}
    ours = HopSkipJump(**settings)(cnn, images, labels, epsilons=[10.0])[0]
    network = foolbox.PyTorchModel(cnn, bounds=(0, 1), device="cpu")
    reference = foolbox.attacks.HopSkipJumpAttack(
        steps=5, initial_gradient_eval_steps=60, constraint=norm
    )
    torch.manual_seed(0)
    with torch.no_grad():
        found = [
            reference.run(network, image[None], foolbox.criteria.Misclassification(label[None]))
            for image, label in zip(images, labels, strict=True)
        ]
    theirs = distances(images, torch.cat(found), norm)
    assert bool(ours.success.all())
    assert 0.7 < float(ours.distance.mean()) / float(theirs.mean()) < 1.2


def test_what_it_costs(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    result = HopSkipJump(steps=3, samples=20)(cnn, images, labels, epsilons=[10.0])[0]
    assert bool(result.success.all())
    samples = 20 + 28 + 34  # 20·√t
    halvings = 9  # log₂ of 64^1.5
    once = samples + 3 * 10 + 4 * halvings + 1
    assert set(((result.forwards - once) % 32).tolist()) == {0}
    assert int(result.backwards.sum()) == 0
    capped = HopSkipJump(steps=3, samples=20, max_samples=21)(
        cnn, images, labels, epsilons=[10.0]
    )[0]
    assert set((result.forwards - capped.forwards).tolist()) == {7 + 13}
