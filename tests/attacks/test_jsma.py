import pytest
import torch

from robench.attacks.balls import distances
from robench.attacks.jsma import JSMA
from robench.victim import Victim

from .brute_pairs import best_by_trying, score
from .networks import Linear, MatesMatter, images_seen, small_cnn


def _one_run(network, image, label, target, *, theta, gamma, once, sign):
    """Algorithm 2 of the paper as it is written, with all pairs tried: each iterate."""
    original, current = image.flatten(), image.flatten().clone()
    iterates = [image.clone()]
    while int(network(iterates[-1][None]).argmax()) == label:
        jacobian = torch.autograd.functional.jacobian(
            lambda pixels: network(pixels.reshape(image.shape)[None])[0], current
        ) * sign
        gain = jacobian[target].tolist()
        relief = (-(jacobian.sum(dim=0) - jacobian[target])).tolist()
        changed = current != original
        domain = (current < 1 if sign > 0 else current > 0) & ~(changed & once)
        if int(changed.sum()) + 2 > int(gamma * len(current)):
            domain &= changed
        left = domain.nonzero()[:, 0].tolist()
        best = best_by_trying(gain, relief, left)
        if best == 0:
            break
        pair = next([p, q] for p in left for q in left
                    if p < q and score(gain, relief, p, q) == best)
        current = current.clone()
        current[pair] = (current[pair] + sign * theta).clamp(0, 1)
        iterates.append(current.reshape(image.shape))
    return iterates


@pytest.mark.parametrize(("settings", "theta", "once", "sign"), [
    ({"theta": 0.25}, 0.25, False, 1),
    ({"theta": 0.25, "direction": "decreasing"}, 0.25, False, -1),
    ({"theta": 0.5, "changes_per_feature": 1}, 0.5, True, 1),
    ({"theta": 1.0}, 1.0, False, 1),
])
def test_it_ends_where_the_papers_algorithm_does(cnn_and_8, settings, theta, once, sign):
    cnn, images, labels = cnn_and_8
    result = JSMA(target="next", gamma=0.3, **settings)(cnn, images, labels, epsilons=[64])[0]
    alike = 0
    for row in range(8):
        reference = _one_run(cnn, images[row], int(labels[row]), (int(labels[row]) + 1) % 10,
                             theta=theta, gamma=0.3, once=once, sign=sign)
        broken = int(cnn(reference[-1][None]).argmax()) != int(labels[row])
        if bool(result.success[row]) == broken:
            end = reference[-1] if broken else images[row]
            alike += bool((end - result.adversarial[row]).abs().max() < 1e-5)
    assert alike >= 7  # rounding may exchange two pairs that are as good


def _linear(weights):
    """Two classes: logits ∓(w·x − 0.5·Σw − 1)/2, so that grey images have a gap of 1."""
    bias = -0.5 * weights.sum() - 1
    return Linear(torch.stack([-weights / 2, weights / 2]), torch.stack([-bias / 2, bias / 2]))


def test_on_a_linear_network_no_fewer_pixels_do():
    """With steps of one size, the largest weights are the fewest, here by twos."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        weights = torch.randn(64, generator=generator).abs() * 0.3
        gains = (0.4 * weights).sort(descending=True).values.cumsum(dim=0)
        fewest = int((gains <= 1).sum()) + 1
        image = torch.full((1, 1, 8, 8), 0.5)
        result = JSMA(theta=0.4, gamma=1.0, changes_per_feature=1)(
            _linear(weights), image, torch.tensor([0]), epsilons=[64]
        )[0]
        assert int(result.distance) == fewest + fewest % 2
        if fewest % 2 == 0:
            assert float((result.adversarial != image).sum()) == fewest


def test_a_saturating_feature_is_moved_to_the_end_and_no_further():
    weights = torch.zeros(64)
    weights[[3, 17]], weights[5] = 0.95, 0.2  # two to the end bring 0.95, and then others help
    image = torch.full((1, 1, 8, 8), 0.5)
    result = JSMA(gamma=1.0)(_linear(weights), image, torch.tensor([0]), epsilons=[64])[0]
    found = result.adversarial.flatten()
    assert result.success.tolist() == [True]
    assert found[[3, 17]].tolist() == [1.0, 1.0]
    assert 0.5 < float(found[5]) < 1.0


@pytest.mark.parametrize("pairs", [1, 4])
@pytest.mark.parametrize("direction", ["increasing", "decreasing"])
@pytest.mark.parametrize("changes", [None, 1, 2])
def test_what_it_may_change(cnn, right, direction, changes, pairs):
    images, labels = right[0][:12], right[1][:12]
    attack = JSMA(theta=0.3, gamma=0.2, direction=direction, changes_per_feature=changes,
                  pairs_per_step=pairs, target="next")
    with images_seen(cnn) as seen:
        attack(cnn, images, labels, epsilons=[64])
    moved = False
    for batch in seen[1:]:
        delta = torch.from_numpy(batch)[:, None] - images
        changed = delta.abs().flatten(2).sum(dim=2).amin(dim=1, keepdim=True)
        assert changed.shape[1] == 1
        nearest = delta.abs().flatten(2).sum(dim=2).argmin(dim=1)
        mine = delta[torch.arange(len(batch)), nearest]
        signed = mine if direction == "increasing" else -mine
        assert float(signed.min()) >= 0.0
        assert int((mine != 0).flatten(1).sum(dim=1).max()) <= int(0.2 * 64)
        if changes is not None:
            assert float(signed.max()) <= 0.3 * changes + 1e-6
        moved |= float(signed.max()) > 0
    assert moved


def test_all_targets_find_what_any_of_them_does(cnn, right):
    images, labels = right[0][:10], right[1][:10]
    settings = {"theta": 1.0, "gamma": 0.3}
    best = JSMA(**settings)(cnn, images, labels, epsilons=[64])[0]
    singles = [JSMA(target=target, **settings)(cnn, images, labels, epsilons=[64])[0]
               for target in (*range(10), "likeliest", "least-likely")]
    away = torch.stack([torch.where(one.success, one.distance, 1e9) for one in singles])
    nearest = away.amin(dim=0)
    assert torch.equal(best.success, nearest < 1e9)
    assert torch.equal(best.distance[best.success], nearest[best.success])
    assert bool((best.forwards >= singles[-2].forwards).all())
    assert int(best.success.sum()) > int(singles[0].success.sum())


def test_a_run_is_one_forward_and_two_backwards_a_step(cnn, right):
    images, labels = right
    result = JSMA(theta=0.5, target="next")(cnn, images, labels, epsilons=[64])[0]
    # One forward for the targets, and one to judge what is returned.
    assert torch.equal(2 * (result.forwards - 2), result.backwards)
    assert int(result.backwards.min()) >= 4
    assert len(set(result.forwards.tolist())) > 3
    done = result.success
    assert torch.equal(result.first_success[done], result.forwards[done] - 1)


def test_a_bound_on_the_steps(cnn, right):
    images, labels = right[0][:8], right[1][:8]
    result = JSMA(theta=0.1, gamma=1.0, max_steps=5, target="next")(
        cnn, images, labels, epsilons=[64])[0]
    assert int(result.forwards.max()) == 1 + 6 + 1


def test_one_run_gives_the_whole_curve(cnn, right):
    images, labels = right[0][:16], right[1][:16]
    attack = JSMA(theta=1.0, gamma=0.3)
    results = attack(cnn, images, labels, epsilons=[0, 2, 4, 6, 8, 19])
    counts = [int(result.success.sum()) for result in results]
    assert counts == sorted(counts)
    assert counts[0] == 0 < counts[2] < counts[-1]
    for result in results:
        assert bool((result.distance <= result.epsilon).all())
        assert torch.equal(result.distance, distances(images, result.adversarial, "l0"))


@pytest.mark.parametrize("pairs", [1, 3])
def test_no_image_depends_on_its_batch(cnn, right, pairs):
    images, labels = right[0][:40], right[1][:40]
    attack = JSMA(theta=1.0, pairs_per_step=pairs)
    whole = attack(cnn, images, labels, epsilons=[64])[0]
    rows = torch.tensor([33, 2, 17])
    some = attack(cnn, images[rows], labels[rows], epsilons=[64])[0]
    for name in ("adversarial", "success", "forwards", "backwards", "first_success"):
        assert torch.equal(getattr(whole, name)[rows], getattr(some, name)), name


def test_a_network_whose_rows_mix_keeps_its_batch_whole(cnn, right):
    images, labels = right[0][:12], right[1][:12]
    victim = Victim(MatesMatter(cnn), rowwise=False)
    with images_seen(cnn) as seen:
        result = JSMA(theta=1.0, target="likeliest")(victim, images, labels, epsilons=[64])[0]
    assert {len(batch) for batch in seen} == {12}
    assert int(result.success.sum()) > 0


def test_features_are_values_of_channels_and_distances_count_pixels():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = small_cnn(in_channels=3).eval()
        images = torch.rand(12, 3, 8, 8)
    labels = network(images).argmax(dim=1).detach()
    result = JSMA(theta=1.0, gamma=0.2)(network, images, labels, epsilons=[64])[0]
    values = (result.adversarial != images).flatten(1).sum(dim=1)
    assert int(result.success.sum()) > 0
    assert int(values.max()) <= int(0.2 * 192)
    assert bool((result.distance <= values).all())
    assert bool((result.distance < values).any())


def test_several_pairs_a_step_are_fewer_passes(cnn, right):
    images, labels = right[0][:32], right[1][:32]
    one, four = (JSMA(gamma=0.5, target="likeliest", pairs_per_step=pairs)(
        cnn, images, labels, epsilons=[64])[0] for pairs in (1, 4))
    assert float(four.forwards.float().mean()) < 0.5 * float(one.forwards.float().mean())
    both = one.success & four.success
    assert int(both.sum()) > 0.8 * len(labels)
    assert float(four.distance[both].mean()) < 1.1 * float(one.distance[both].mean())


def test_disjoint_pairs_are_changed_once_each(cnn, right):
    images, labels = right[0][:12], right[1][:12]
    attack = JSMA(theta=0.1, gamma=0.5, pairs_per_step=4, disjoint=True, target="next", max_steps=1)
    with images_seen(cnn) as seen:
        attack(cnn, images, labels, epsilons=[64])
    moves = [torch.from_numpy(batch)[:12].reshape(images.shape) - images for batch in seen]
    stepped = next(move for move in moves if float(move.abs().max()) > 0)
    assert float(stepped.max()) <= 0.1 + 1e-6
    assert int((stepped != 0).flatten(1).sum(dim=1).max()) == 8


def test_one_logit_breaks_as_its_halves_do(cnn_and_8):
    weights = torch.randn(1, 64, generator=torch.Generator().manual_seed(1)) * 0.2
    images = cnn_and_8[1]
    bias = -(images.flatten(1) @ weights.T).mean(dim=0)
    one = Linear(weights, bias)
    two = Linear(torch.cat([-weights / 2, weights / 2]), torch.cat([-bias / 2, bias / 2]))
    labels = (one(images)[:, 0] > 0).long()
    assert set(labels.tolist()) == {0, 1}
    attack = JSMA(theta=0.5, gamma=1.0)
    single = attack(one, images, labels, epsilons=[64])[0]
    double = attack(two, images, labels, epsilons=[64])[0]
    assert bool(single.success.all())
    assert torch.equal(single.distance, double.distance)


class _NoGradient(torch.nn.Module):
    def forward(self, images):
        return torch.nn.functional.one_hot(images.flatten(1).argmax(dim=1) % 3, 3).float()


def test_without_a_gradient_every_run_ends_at_once(right):
    images = right[0][:6]
    labels = _NoGradient()(images).argmax(dim=1)
    result = JSMA()(_NoGradient(), images, labels, epsilons=[64])[0]
    assert not bool(result.success.any())
    assert set(result.forwards.tolist()) == {1 + 2 + 1}
