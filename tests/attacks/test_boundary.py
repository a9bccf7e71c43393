import pytest
import torch

from robench.attacks import boundary
from robench.attacks.balls import distances
from robench.attacks.boundary import Boundary, _proposals, _Steps

from ..peers import peer
from .closed_form import binary, exact_distances


def _steps(count=1, **settings):
    return _Steps(count, Boundary(**settings), torch.device("cpu"))


def test_the_two_steps_are_as_long_as_said():
    """Off the edge of the box: one along the sphere, one towards the image."""
    generator = torch.Generator().manual_seed(0)
    images = torch.full((5, 3, 6, 6), 0.5)
    points = images + 0.02 * torch.randn(images.shape, generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    sphere_step, source_step = (
        torch.linspace(low, 2 * low, 5, dtype=torch.float64) for low in (0.1, 0.02)
    )
    sphere, candidate, away = _proposals(images, points, noise, sphere_step, source_step)
    assert torch.allclose(away.float(), distances(images, points, "l2"))
    assert torch.allclose(distances(images, sphere, "l2"), away.float(), rtol=1e-4)
    tangent = sphere_step / (sphere_step.square() + 1).sqrt()  # the sine of the angle between
    cosine = torch.cosine_similarity((points - images).flatten(1), (sphere - images).flatten(1))
    assert torch.allclose((1 - cosine.double().square()).sqrt(), tangent, rtol=1e-2)
    expected = (1 - source_step) * away
    assert torch.allclose(distances(images, candidate, "l2").double(), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("on_sphere", "stepped", "sphere", "source"),
    [
        (60, 60, 1.5, 1.5 * 1.5**3),  # after 30, 60 and 90 notes of the step
        (60, 20, 1.5, 1.5),
        (10, 20, 1 / 1.5, 1 / 1.5),
        (30, 20, 1.0, 1.0),
        (30, 0, 1.0, 1 / 1.5**3),
    ],
)
def test_steps_adapt_to_their_rates(on_sphere, stepped, sphere, source):
    """Rates in percent, spread evenly; the sphere's takes a hundred notes, the step's thirty."""
    steps = _steps()
    for note in range(100):
        yes = [torch.tensor([(note * rate) % 100 < rate]) for rate in (on_sphere, stepped)]
        steps.note(*yes)
    assert float(steps.sphere) == pytest.approx(0.01 * sphere)
    assert float(steps.source) == pytest.approx(0.01 * source)


def test_steps_adapt_image_by_image():
    steps = _steps(2)
    for _ in range(100):
        steps.note(torch.tensor([True, False]), torch.tensor([False, False]))
    assert steps.sphere.tolist() == pytest.approx([0.015, 0.01 / 1.5])
    some = steps.select(torch.tensor([1]))
    some.note(torch.tensor([True]), torch.tensor([True]))
    assert some.sphere.tolist() == pytest.approx([0.01 / 1.5])
    assert len(steps.sphere) == 2


def test_on_a_linear_network_it_comes_near_the_exact_distance():
    network, images, labels = binary(one_logit=False)
    images, labels = images[:8], labels[:8]
    exact = exact_distances(network, images, labels, "l2")
    attack = Boundary(steps=1200, sphere_step=0.1, source_step=0.05)
    result = attack(network, images, labels, epsilons=[10.0])[0]
    assert bool(result.success.all())
    assert bool((result.distance > 0.999 * exact).all())
    assert float((result.distance / exact).median()) < 1.06


def test_it_comes_as_near_as_the_reference(cnn, cnn_and_36):
    foolbox = peer("foolbox")
    _, images, labels = cnn_and_36
    images, labels = images[:16], labels[:16]
    ours = Boundary(steps=800)(cnn, images, labels, epsilons=[10.0])[0]
    network = foolbox.PyTorchModel(cnn, bounds=(0, 1), device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        found = foolbox.attacks.BoundaryAttack(steps=800).run(
            network, images, foolbox.criteria.Misclassification(labels)
        )
    theirs = distances(images, found, "l2")
    assert bool(ours.success.all())
    assert float(ours.distance.mean()) < 1.1 * float(theirs.mean())
    assert float(ours.distance.mean()) > 0.7 * float(theirs.mean())


def test_more_steps_come_nearer_and_cost_eleven_tenths_a_step(cnn, cnn_and_8):
    _, images, labels = cnn_and_8
    few, many = (Boundary(steps=steps)(cnn, images, labels, epsilons=[10.0])[0]
                 for steps in (50, 300))
    assert bool((many.distance <= few.distance).all())
    assert float(many.distance.mean()) < 0.99 * float(few.distance.mean())
    # A search of 32 for a start, ten bisections, and the judgement of what is returned.
    assert torch.equal(many.forwards - few.forwards, torch.full((8,), 275, dtype=torch.int32))
    assert set(((few.forwards - 55 - 11) % 32).tolist()) == {0}
    assert int(many.backwards.sum()) == 0


def test_a_converged_walk_ends(cnn, cnn_and_8, monkeypatch):
    _, images, labels = cnn_and_8
    monkeypatch.setattr(boundary, "_CONVERGED", 0.0099)
    result = Boundary(steps=2000)(cnn, images, labels, epsilons=[10.0])[0]
    assert int(result.forwards.min()) < int(result.forwards.max())
    assert bool(result.success.all())
