import math

import numpy as np
import pytest
import torch
from scipy import stats

from robench.attacks.balls import distances
from robench.attacks.draws import Draws
from robench.attacks.noise import Noise
from robench.attacks.query import Query
from robench.attacks.square import Square
from robench.attacks.square_search import _bumps

from ..peers import peer
from .closed_form import binary, exact_distances
from .hardened import hardened_cnn
from .networks import Linear, images_seen, load_digit_images, trained_cnn

CPU = torch.device("cpu")


def _reference(network, **settings):
    torchattacks = peer("torchattacks")
    return torchattacks.Square(network, **settings)


def _drawing(drawn, *, norm, epsilon, queries, network):
    """The reference, with the numbers `drawn` in place of its own."""
    reference = peer("torchattacks").Square(
        network, norm={"linf": "Linf", "l2": "L2"}[norm], eps=epsilon, n_queries=queries
    )

    def take(shape):
        count = math.prod(shape)
        values, drawn[:] = drawn[:count], drawn[count:]
        return torch.tensor(values).reshape(shape)

    def random_int(low=0, high=1, shape=(1,)):
        return (low + (high - low) * take(shape)).long()

    def eta(side):
        return _bumps(side, CPU) if float(take((1,))) < 0.5 else _bumps(side, CPU).T

    reference.random_int, reference.eta = random_int, eta
    reference.random_choice = lambda shape: torch.sign(2 * take(shape) - 1)
    return reference


def _candidates(*, side=12, queries=200, channels=1, count=30, epsilon=0.1):
    """What Square shows a network that no candidate makes less sure, as N×queries×C×H×W."""
    images = torch.full((count, channels, side, side), 0.5)
    images += torch.linspace(-0.1, 0.1, count)[:, None, None, None]
    network = Linear(torch.zeros(2, channels * side * side), torch.tensor([1.0, 0.0]))
    labels = torch.zeros(count, dtype=torch.long)
    with images_seen(network) as seen:
        Square(queries=queries)(network, images, labels, epsilons=[epsilon])
    shown = np.stack([batch[:count] for batch in seen])[1:]  # the first is the clean prediction
    return shown[:queries].swapaxes(0, 1) - images.numpy()[:, None]


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 7, 8, 11])
def test_a_bump_is_the_references(side):
    reference = _reference(torch.nn.Identity())
    reference.device = CPU
    theirs, ours = reference.eta(side), _bumps(side, CPU)
    apart = min(float((theirs - turned).abs().max()) for turned in (ours, ours.T))
    assert apart <= 1e-6
    assert float(ours.square().sum()) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("queries", [7, 100, 1000, 5000, 10000])
def test_the_schedule_is_the_references(queries):
    reference = _reference(torch.nn.Identity(), n_queries=queries)
    attack = Square(queries=queries)
    for query in range(queries):
        assert attack._share(query) == reference.p_selection(query), query


def test_the_start_has_stripes_at_both_ends_of_the_ball():
    start = _candidates(channels=3, queries=2)[:, 0]
    assert np.abs(np.abs(start) - 0.1).max() < 1e-6
    assert np.ptp(start, axis=2).max() < 1e-6  # one value in each column of a channel
    signs = (start[:, :, 0] > 0).ravel()
    assert stats.binomtest(int(signs.sum()), len(signs)).pvalue > 0.001


def test_a_candidate_changes_one_square_of_the_scheduled_side():
    queries, side = 200, 12
    deltas = _candidates(queries=queries, side=side)
    start, attack = deltas[:, :1], Square(queries=queries)
    places: dict[int, list[int]] = {}
    for query in range(queries - 1):
        expected = max(round(math.sqrt(attack._share(query) * side * side)), 1)
        moved = (np.abs(deltas[:, query + 1] - start[:, 0]) > 1e-6)[:, 0]
        values = np.abs(deltas[:, query + 1])
        assert np.abs(values - 0.1).max() < 1e-6
        for image in moved:
            rows, columns = np.nonzero(image)
            if len(rows):  # columns of that sign already do not move
                assert np.ptp(rows) == expected - 1
                assert np.ptp(columns) < expected
                places.setdefault(expected, []).append(int(rows.min()))
    counts = np.bincount(places[1], minlength=side)
    assert counts[-1] == 0  # as in the authors' code: the last row keeps its start
    assert stats.chisquare(counts[:-1]).pvalue > 0.001


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.05), ("l2", 0.5)])
def test_from_the_same_numbers_every_iterate_is_the_references(norm, epsilon, channels):
    side, queries = 10, 60
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(1, channels, side, side, generator=generator)
    weights = torch.randn(2, channels * side**2, generator=generator)
    network = Linear(weights, -(images.flatten(1) @ weights.T)[0])
    network.bias.data[0] += 100.0  # nothing breaks it
    labels = torch.zeros(1, dtype=torch.long)
    draws = Draws.keyed(["0"], seed=0, attack="square", device=CPU)
    tiles = (side // 2, side // 2, 1 + channels)
    start = draws.uniform(*((channels, 1, side) if norm == "linf" else tiles))
    each = draws.uniform(queries - 1, 5 + channels)[0]
    if norm == "linf":  # one square, and nothing to turn
        each = torch.cat([each[:, :2], each[:, 5:]], dim=1)
    drawn = [*start.flatten().tolist(), *each.flatten().tolist(), *([0.5] * 99)]
    with images_seen(network) as theirs:
        _drawing(drawn, norm=norm, epsilon=epsilon, queries=queries, network=network)(
            images, labels
        )
    with images_seen(network) as ours:
        Square(norm=norm, queries=queries)(
            network, images, labels, epsilons=[epsilon], image_ids=["0"]
        )
    # In L2 the root of what the ball leaves free shows by how much iterates stay inside it.
    tolerance = {"linf": 1e-6, "l2": 1e-3}[norm]
    for query in range(queries):
        apart = np.abs(ours[1 + query][0] - theirs[1 + query][0]).max()
        assert apart <= tolerance, query


def _robust(kind, norm, epsilon, *, count, queries, seeds):
    """Robust accuracy on `count` digits by seed: by Square, and by the reference.

    The reference draws one square for all images of a batch, so its runs differ more than ours:
    it gets two and a half times as many.
    """
    network = trained_cnn() if kind == "standard" else hardened_cnn()
    images, labels = (values[1400:] for values in load_digit_images())
    with torch.no_grad():
        rows = torch.eq(network(images).argmax(dim=1), labels).nonzero()[:count, 0]
    images, labels = images[rows], labels[rows]
    ours = [
        Square(norm=norm, queries=queries)(
            network, images, labels, epsilons=[epsilon], seed=seed
        )[0].success.logical_not().float().mean().item() for seed in range(seeds)
    ]
    theirs = []
    for seed in range(5 * seeds // 2):
        reference = _reference(network, norm={"linf": "Linf", "l2": "L2"}[norm], eps=epsilon,
                               n_queries=queries, seed=seed)
        with torch.no_grad():
            predicted = network(reference(images, labels)).argmax(1)
        theirs.append(torch.eq(predicted, labels).float().mean().item())
    return np.array(ours), np.array(theirs)


def _deviation(runs):
    """The standard error of the mean of independent runs."""
    return runs.std(ddof=1) / math.sqrt(len(runs))


@pytest.mark.parametrize(("kind", "epsilon"), [("standard", 0.1), ("hardened", 0.15)])
def test_it_breaks_about_as_many_as_the_reference(kind, epsilon):
    ours, theirs = _robust(kind, "linf", epsilon, count=100, queries=40, seeds=4)
    deviation = math.hypot(_deviation(ours), _deviation(theirs))
    assert 0.1 < theirs.mean() < 0.95  # else nothing would be compared
    assert deviation < 0.02
    assert abs(ours.mean() - theirs.mean()) <= 2.5 * deviation


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "norm", "epsilon"), [
    ("standard", "linf", 0.1), ("standard", "l2", 0.6),
    ("hardened", "linf", 0.15), ("hardened", "l2", 0.8),
])
def test_robust_accuracy_is_the_references_within_half_a_point(kind, norm, epsilon):
    """Of the mean over the seeds, which is known to less than half a point."""
    ours, theirs = _robust(kind, norm, epsilon, count=200, queries=120, seeds=40)
    assert 0.1 < theirs.mean() < 0.9
    assert math.hypot(_deviation(ours), _deviation(theirs)) < 0.005
    assert abs(ours.mean() - theirs.mean()) <= 0.005


@pytest.mark.parametrize(("norm", "epsilon", "draws"), [("linf", 0.1, 100), ("l2", 0.8, 100)])
def test_no_far_image_breaks_and_more_than_by_noise(cnn, right, norm, epsilon, draws):
    network, images, labels = binary(one_logit=False)
    exact = exact_distances(network, images, labels, norm)
    middle = 1.5 * float(exact.median())
    result = Square(norm=norm, queries=draws)(network, images, labels, epsilons=[middle])[0]
    assert 0 < int(result.success.sum())
    assert not bool((result.success & (exact >= middle)).any())
    result = Square(norm=norm, queries=draws)(cnn, *right, epsilons=[epsilon])[0]
    noise = Noise(norm=norm, draws=draws)(cnn, *right, epsilons=[epsilon])[0]
    assert int(result.success.sum()) > 1.2 * int(noise.success.sum())


def test_a_survivor_costs_all_queries_and_a_broken_image_those_to_its_break(cnn, right):
    result = Square(queries=80)(cnn, *right, epsilons=[0.1])[0]
    assert 0 < int(result.success.sum()) < len(result)
    # What is returned is judged once more.
    assert set(result.forwards[~result.success].tolist()) == {81}
    assert torch.equal(result.forwards[result.success], result.first_success[result.success])
    assert set(result.backwards.tolist()) == {0}


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_images_leave_the_batch_without_a_trace(cnn, right, norm):
    """Many break at the start, before any square is drawn."""
    images, labels = right
    epsilon = {"linf": 0.3, "l2": 2.5}[norm]
    attack = Square(norm=norm, queries=70)
    whole = attack(cnn, images, labels, epsilons=[epsilon])[0]
    assert int((whole.first_success == 1).sum()) > 5
    for row in (0, 17, 40):
        alone = attack(cnn, images[[row]], labels[[row]], epsilons=[epsilon])[0]
        assert torch.equal(alone.adversarial[0], whole.adversarial[row])
        assert int(alone.forwards) == int(whole.forwards[row])


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.12), ("l2", 1.0)])
@pytest.mark.parametrize("target", [None, "next"])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_queries_ahead_leave_no_trace(cnn, right, norm, epsilon, target, count, monkeypatch):
    images, labels = right[0][:count], right[1][:count]
    attack = Square(norm=norm, queries=200, target=target)
    ahead = _counted(monkeypatch)
    monkeypatch.setattr("robench.attacks.view._ROOM", 1)
    expected = attack(cnn, images, labels, epsilons=[epsilon])[0]
    assert set(ahead) == {1}
    for room in (2 * count, 64 * count):
        ahead.clear()
        monkeypatch.setattr("robench.attacks.view._ROOM", room)
        found = attack(cnn, images, labels, epsilons=[epsilon])[0]
        assert max(ahead) > 1
        for name in ("adversarial", "success", "margin", "forwards", "first_success"):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_on_a_budget_and_of_unsure_networks_no_query_is_asked_ahead(cnn, right, monkeypatch):
    images, labels = right[0][:2], right[1][:2]
    ahead = _counted(monkeypatch)
    Square(queries=90).spending(40)(cnn, images, labels, epsilons=[0.01])
    assert set(ahead) == {1}
    cnn.register_forward_hook(lambda *_: None)
    Square(queries=90)(cnn, images, labels, epsilons=[0.01])
    assert set(ahead) == {1}


def _counted(monkeypatch):
    """How many queries are computed at a time; grows as they are."""
    ahead, until = [], Query.until

    def counting(self, candidates, stops):
        ahead.append(len(candidates))
        return until(self, candidates, stops)

    monkeypatch.setattr(Query, "until", counting)
    return ahead


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 9), (1, 4, 4), (3, 5, 3), (1, 14, 14)])
def test_images_of_any_size(norm, shape):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, *shape, generator=generator)
    network = Linear(torch.randn(3, math.prod(shape), generator=generator), torch.zeros(3))
    with torch.no_grad():
        labels = network(images).argmax(1)
    result = Square(norm=norm, queries=60)(network, images, labels, epsilons=[0.01])[0]
    assert bool(torch.isfinite(result.adversarial).all())
    assert bool((distances(images, result.adversarial, norm) <= 0.01).all())
    # It moved: a perturbation uses the ball up, where the box lets it.
    assert bool((distances(images, result.adversarial, norm) > 0.004).all())


@pytest.mark.parametrize("channels", [1, 3])
def test_an_l2_candidate_is_as_long_as_epsilon(channels):
    images = torch.full((6, channels, 10, 10), 0.5)
    network = Linear(torch.zeros(2, channels * 100), torch.tensor([1.0, 0.0]))
    with images_seen(network) as seen:
        Square(norm="l2", queries=50)(
            network, images, torch.zeros(6, dtype=torch.long), epsilons=[0.7]
        )
    deltas = np.stack(seen[1:])[:, :6] - 0.5
    lengths = np.sqrt(np.square(deltas.astype(np.float64)).sum(axis=(2, 3, 4)))
    assert np.abs(lengths - 0.7).max() < 1e-5
