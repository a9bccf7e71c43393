import pytest
import torch

from robench.attacks.balls import distances
from robench.attacks.fmn import FMN, _into_l0, _into_l1, _into_l2, _into_linf

from ..peers import peer
from .closed_form import binary, exact_distances, five_classes
from .minimum import TRAINED, network_and_images


def _foolbox(norm):
    """Foolbox's attack; in L2 with the projection that it leaves out."""
    foolbox = peer("foolbox")
    import eagerpy
    if norm != "l2":
        names = {"linf": "LInfFMNAttack", "l1": "L1FMNAttack", "l0": "L0FMNAttack"}
        return getattr(foolbox.attacks, names[norm])()

    class Mended(foolbox.attacks.L2FMNAttack):
        def project(self, x, x0, epsilon):
            size = (x - x0).flatten(1).norms.l2(axis=-1)
            share = eagerpy.minimum(1, epsilon / eagerpy.maximum(size, 1e-12))
            return x0 + (x - x0) * share.reshape((-1, 1, 1, 1))

    return Mended()


def _theirs(network, images, labels, norm):
    foolbox = peer("foolbox")
    model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    found = _foolbox(norm).run(model, images, foolbox.criteria.Misclassification(labels))
    with torch.no_grad():
        broken = network(found).argmax(dim=1) != labels
    return torch.where(broken, distances(images, found, norm), torch.inf)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
@pytest.mark.parametrize("trained", TRAINED)
def test_the_distances_are_foolboxs(cnn, digits, norm, trained):
    network, images, labels = network_and_images(trained, cnn, digits, 32)
    result = FMN(norm=norm)(network, images, labels, epsilons=[99.0])[0]
    ours = torch.where(result.success, result.distance, torch.inf)
    theirs = _theirs(network, images, labels, norm)
    assert float(ours.median()) <= 1.02 * float(theirs.median())
    if norm != "l0":  # where Foolbox keeps a pixel more than it should
        found = torch.isfinite(theirs) & (theirs > 0)
        assert bool(torch.isfinite(ours[found]).all())
        near = (ours[found] / theirs[found] - 1).abs() < 0.02
        assert float(near.float().mean()) >= 0.9


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("task", [lambda: binary(one_logit=False), five_classes])
def test_on_a_linear_network_it_reaches_the_boundary(task, norm):
    network, images, labels = task()
    exact = exact_distances(network, images, labels, norm)
    result = FMN(norm=norm)(network, images, labels, epsilons=[9.0])[0]
    assert bool(result.success.all())
    assert float((result.distance.double() / exact).median()) == pytest.approx(1.0, abs=1e-3)
    assert float((result.distance.double() - exact).max()) < 1e-3


def test_an_overshoot_breaks_what_the_edge_of_the_box_protects(cnn, right):
    plain, beyond = (
        FMN(norm="l1", overshoot=overshoot)(cnn, *right, epsilons=[99.0])[0]
        for overshoot in (1e-4, 0.02)
    )
    assert int(plain.success.sum()) < int(beyond.success.sum())
    assert float(beyond.distance[plain.success].median()) <= float(
        plain.distance[plain.success].median())


def test_every_image_costs_the_same(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    result = FMN(steps=7)(cnn, images, labels, epsilons=[9.0])[0]
    assert set(result.forwards.tolist()) == {8}
    assert set(result.backwards.tolist()) == {7}
    targeted = FMN(steps=7, target="next")(cnn, images, labels, epsilons=[9.0])[0]
    assert set(targeted.forwards.tolist()) == {9}


def test_it_steers_to_its_target(cnn, right):
    images, labels = right[0][:32], right[1][:32]
    for target in (3, "next"):
        result = FMN(target=target, overshoot=0.02)(cnn, images, labels, epsilons=[99.0])[0]
        wanted = torch.full_like(labels, 3) if target == 3 else (labels + 1) % 10
        wanted = torch.where(wanted == labels, (labels + 1) % 10, wanted)
        share = (result.prediction == wanted)[result.success].float().mean()
        assert float(share) > 0.5


def test_projections_onto_balls_of_their_own():
    offset = torch.randn(30, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    for norm, into in (("linf", _into_linf), ("l2", _into_l2), ("l1", _into_l1)):
        size = distances(torch.zeros_like(offset), offset, norm)
        radius = size * torch.linspace(0, 2, 30)
        inside = into(offset, radius)
        reached = distances(torch.zeros_like(offset), inside, norm)
        assert torch.allclose(reached, torch.minimum(size, radius), rtol=1e-5, atol=1e-6), norm
        assert torch.allclose(inside[radius >= size], offset[radius >= size])
    # Of the points of the L1 ball none is nearer: all that moved, moved as far.
    moved = (offset - inside).abs().flatten(1)
    stayed = inside.flatten(1) != 0
    for row in range(1, 15):
        cut = moved[row][stayed[row]]
        assert float(cut.max() - cut.min()) < 1e-5
        assert bool((moved[row][~stayed[row]] <= cut.max() + 1e-5).all())


def test_the_l0_ball_counts_pixels_over_channels():
    offset = torch.tensor([[[[3.0, 0.0, 1.0]], [[0.0, 2.0, 1.9]]]])
    kept = _into_l0(offset.expand(3, -1, -1, -1), torch.tensor([1.0, 2.0, 3.0]))
    places = (kept != 0).any(dim=1)[:, 0]
    assert places.tolist() == [[True, False, False], [True, False, True], [True, True, True]]
