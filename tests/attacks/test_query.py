import pytest
import torch
from torch import nn
from torch.nn import functional

from robench.attacks.losses import cross_entropy, margin
from robench.errors import VictimError

from .networks import Linear, backwards_seen, whole_view


def _one_pixel() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Three grey images of one pixel; class 1 above one half, class 0 below."""
    network = Linear(torch.tensor([[-1.0], [1.0]]), torch.tensor([0.5, -0.5]))
    return network, torch.tensor([0.2, 0.3, 0.4])[:, None, None, None], torch.zeros(3).long()


def _pixels(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None]


def test_a_call_gives_the_networks_logits_and_counts_one_pass(cnn, right):
    images, labels = right[0][:40], right[1][:40]
    query, log = whole_view(cnn, images, labels, epsilon=0.1)
    assert torch.equal(query(images), cnn(images))
    assert log.forwards.tolist() == [1] * 40
    assert log.backwards.tolist() == [0] * 40
    query.logits(images)
    assert log.forwards.tolist() == [2] * 40


def test_a_backward_through_a_call_is_counted(cnn, right):
    images, labels = right[0][:5], right[1][:5]
    query, log = whole_view(cnn, images, labels, epsilon=0.1)
    leaf = images.clone().requires_grad_(True)
    cross_entropy(query(leaf), labels).sum().backward()
    assert log.backwards.tolist() == [1] * 5
    assert not log.gradient_seen.logical_not().any()
    assert bool(log.gradient_alive.all())


def test_a_gradient_is_autograds(cnn, right):
    images, labels = right[0][:32], right[1][:32]
    query, log = whole_view(cnn, images, labels, epsilon=0.1)
    leaf = images.clone().requires_grad_(True)
    loss = functional.cross_entropy(cnn(leaf), labels, reduction="sum")
    (expected,) = torch.autograd.grad(loss, leaf)
    assert torch.equal(query.gradient(images), expected)
    assert log.forwards.tolist() == log.backwards.tolist() == [1] * 32


def test_of_several_losses_an_image_pays_for_those_it_asks_for():
    network, images, labels = _one_pixel()
    query, log = whole_view(network, images, labels, epsilon=1.0)

    def lost(logits, labels):  # of which no image has a gradient that is finite
        return (logits * float("inf")).sum(dim=1)

    ways = torch.tensor([1, 2, 0])
    flat = [lambda logits, labels: 0 * logits[:, 0], margin, lost]
    _, gradients = query.logits_and_gradients(images, flat, ways=ways)
    assert len(gradients) == 3
    assert log.forwards.tolist() == [1, 1, 1]
    assert log.backwards.tolist() == [1, 2, 0]
    assert log.gradient_alive.tolist() == [False, True, False]
    with pytest.raises(VictimError, match="gradients"):
        query.logits_and_gradients(images, flat, ways=torch.tensor([1, 3, 1]))


def test_a_budget_is_for_the_losses_that_an_image_asks_for():
    network, images, labels = _one_pixel()
    query, log = whole_view(network, images, labels, epsilon=1.0)
    log.propagations = 3
    query.logits_and_gradients(images, [margin] * 3, ways=torch.tensor([1, 2, 3]))
    assert log.ended.tolist() == [False, False, True]
    assert log.backwards.tolist() == [1, 2, 0]


def test_a_gradient_of_another_loss(cnn, right):
    images, labels = right[0][:8], right[1][:8]
    query, _ = whole_view(cnn, images, labels, epsilon=0.1)
    leaf = images.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(margin(cnn(leaf), labels).sum(), leaf)
    assert torch.allclose(query.gradient(images, margin), expected, atol=1e-6)


def test_the_nearest_miss_is_kept_until_an_iterate_breaks_the_image():
    network, images, labels = _one_pixel()
    query, log = whole_view(network, images, labels, epsilon=0.25)
    query.logits(_pixels(0.4, 0.4, 0.5))
    query.logits(_pixels(0.3, 0.45, 0.6))
    assert log.found.tolist() == [False, False, True]
    assert log.best.flatten().tolist() == pytest.approx([0.4, 0.45, 0.6])
    assert log.prediction.tolist() == [0, 0, 1]
    assert log.first_success.tolist() == [-1, -1, 2]
    query.logits(_pixels(0.4, 0.55, 0.65))
    assert log.best.flatten().tolist() == pytest.approx([0.4, 0.55, 0.6])
    assert log.first_success.tolist() == [-1, 3, 2]


def test_an_iterate_outside_the_ball_or_the_box_does_not_count():
    network, images, labels = _one_pixel()
    query, log = whole_view(network, images, labels, epsilon=0.25)
    query.logits(_pixels(0.9, 0.56, 0.66))
    assert log.found.tolist() == [False, False, False]
    dark, labels = _pixels(0.9), torch.ones(1).long()
    query, log = whole_view(network, dark, labels, epsilon=2.0)
    query.logits(_pixels(-0.1))
    assert log.found.tolist() == [False]
    query.logits(_pixels(0.0))
    assert log.found.tolist() == [True]


def test_an_iterate_outside_by_rounding_counts():
    network = Linear(torch.tensor([[0.0], [1.0]]), torch.tensor([0.905, 0.0]))
    images, labels = _pixels(0.9), torch.zeros(1).long()
    query, log = whole_view(network, images, labels, epsilon=0.01)
    out_by_rounding = torch.nextafter(images + 0.01, torch.tensor(2.0))
    assert float(out_by_rounding.double() - images.double()) > 0.01
    query.logits(out_by_rounding)
    assert log.found.tolist() == [True]


def test_a_broken_image_costs_nothing_more():
    network, images, labels = _one_pixel()
    query, log = whole_view(network, images, labels, epsilon=0.5)
    query.gradient(_pixels(0.7, 0.3, 0.4))
    query.gradient(_pixels(0.7, 0.8, 0.4))
    query.logits(_pixels(0.7, 0.8, 0.4))
    assert log.forwards.tolist() == [1, 2, 3]
    assert log.backwards.tolist() == [1, 2, 2]


def test_the_pass_that_breaks_an_image_counts_there_and_back():
    network, images, labels = _one_pixel()
    by_call, log_by_call = whole_view(network, images, labels, epsilon=0.5)
    asked, log_asked = whole_view(network, images, labels, epsilon=0.5)
    for pixels in (_pixels(0.7, 0.3, 0.4), _pixels(0.7, 0.8, 0.4)):
        asked.gradient(pixels)
        leaf = pixels.requires_grad_(True)
        cross_entropy(by_call(leaf), labels).sum().backward()
    assert log_by_call.backwards.tolist() == log_asked.backwards.tolist() == [1, 2, 2]


def test_a_search_for_the_smallest_keeps_the_nearest_break_and_counts_on():
    network, images, labels = _one_pixel()
    query, log = whole_view(network, images, labels, epsilon=float("inf"), smallest=True)
    query.logits(_pixels(0.9, 0.4, 0.9))
    query.logits(_pixels(0.6, 0.4, 1.5))
    query.logits(_pixels(0.8, 0.4, 0.9))
    assert log.found.tolist() == [True, False, True]
    assert log.best.flatten().tolist() == pytest.approx([0.6, 0.3, 0.9])
    assert log.distance[0].item() == pytest.approx(0.4)
    assert log.forwards.tolist() == [3, 3, 3]
    assert log.first_success.tolist() == [1, -1, 1]


def test_a_batch_of_another_length_is_counted_evenly_and_not_watched():
    network, images, labels = _one_pixel()
    query, log = whole_view(network, images, labels, epsilon=0.9)
    query.logits(_pixels(0.9, 0.9, 0.9, 0.9))
    assert log.forwards.tolist() == [2, 2, 2]
    assert log.found.tolist() == [False, False, False]


def test_of_queries_ahead_those_behind_the_first_that_stops_were_never_asked():
    network, images, labels = _one_pixel()
    query, log = whole_view(network, images, labels, epsilon=0.9)
    query.logits(images)
    # Of the second query the third image is better than before; the third breaks the second.
    ahead = torch.stack([_pixels(0.1, 0.2, 0.3), _pixels(0.1, 0.2, 0.45), _pixels(0.1, 0.8, 0.3)])
    never = lambda logits: torch.zeros(len(logits), dtype=torch.bool)  # noqa: E731
    last, logits = query.until(ahead, never)
    assert last == 1
    assert torch.equal(logits, network(ahead[1]))
    assert log.forwards.tolist() == [3, 3, 3]
    assert log.found.tolist() == [False] * 3
    assert log.best.flatten().tolist() == pytest.approx([0.2, 0.3, 0.45])
    last, _ = query.until(ahead[[0, 2, 1]], never)
    assert last == 1
    assert log.found.tolist() == [False, True, False]
    assert log.first_success.tolist() == [-1, 5, -1]
    last, _ = query.until(ahead[[0, 0, 0]], lambda logits: torch.arange(9) == 3)
    assert last == 1
    # Of an image that is broken nothing stops.
    assert query.until(ahead[[2, 0]], lambda logits: torch.arange(6) == 1)[0] == 1
    assert log.forwards.tolist() == [9, 5, 9]


def test_on_a_budget_nothing_is_asked_ahead():
    network, images, labels = _one_pixel()
    query, log = whole_view(network, images, labels, epsilon=0.9)
    log.propagations = 7
    assert query.room() == 1
    with pytest.raises(ValueError, match="got 2 queries ahead, expected 1"):
        query.until(torch.stack([images, images]), lambda logits: logits[:, 0] > 9)


def test_a_selection_writes_into_the_same_log():
    network, images, labels = _one_pixel()
    query, log = whole_view(network, images, labels, epsilon=0.5)
    some = query.select(torch.tensor([2, 1])).select(torch.tensor([1]))
    some.logits(_pixels(0.7))
    assert log.forwards.tolist() == [0, 1, 0]
    assert log.found.tolist() == [False, True, False]
    assert log.best.flatten().tolist() == pytest.approx([0.2, 0.7, 0.4])


def test_rows_are_left_behind_only_where_it_saves_a_tile(cnn, right):
    images, labels = right[0][:40], right[1][:40]
    query, log = whole_view(cnn, images, labels, epsilon=0.1, rowwise=True)
    assert query.kept() is None
    log.found[:7] = True
    assert query.kept() is None
    log.found[:8] = True
    assert query.kept().tolist() == list(range(8, 40))
    log.found[:] = True
    assert query.kept().tolist() == []


def test_a_network_whose_rows_mix_keeps_its_batch(cnn, right):
    images, labels = right[0][:40], right[1][:40]
    query, log = whole_view(cnn, images, labels, epsilon=0.1, rowwise=False)
    log.found[:] = True
    assert query.kept() is None


def test_the_gradient_at_the_clean_images_is_computed_once(cnn, right):
    images, labels = right[0][:32], right[1][:32]
    query, log = whole_view(cnn, images, labels, epsilon=0.1)
    with backwards_seen(cnn) as seen:
        first, again = query.clean_gradient(), query.clean_gradient()
    assert seen == [32]
    assert torch.equal(first, again)
    assert log.backwards.tolist() == [2] * 32


def test_a_part_of_the_rows_does_not_stand_for_all(cnn, right):
    images, labels = right[0][:32], right[1][:32]
    query, _ = whole_view(cnn, images, labels, epsilon=0.1, rowwise=True)
    some = query.select(torch.arange(4))
    with backwards_seen(cnn) as seen:
        part = some.clean_gradient()
        whole = query.clean_gradient()
        shared = some.clean_gradient()
    assert len(seen) == 2
    assert torch.equal(part, whole[:4])
    assert torch.equal(shared, whole[:4])


@pytest.mark.parametrize("by_call", [True, False])
def test_a_gradient_of_zeros_is_noticed(by_call):
    network = Linear(torch.zeros(2, 1), torch.tensor([1.0, 0.0]))
    images, labels = _pixels(0.2, 0.3), torch.zeros(2).long()
    query, log = whole_view(network, images, labels, epsilon=0.1)
    if by_call:
        leaf = images.clone().requires_grad_(True)
        cross_entropy(query(leaf), labels).sum().backward()
    else:
        query.gradient(images)
    assert bool(log.gradient_seen.all())
    assert not bool(log.gradient_alive.any())
