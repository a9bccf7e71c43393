import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from robench.attacks.checks import check_batch, check_epsilons, check_labels, content_ids


@given(st.lists(st.floats(0, 10), min_size=1, max_size=8))
def test_epsilons_of_any_iterable_are_numbers_in_their_order(epsilons):
    assert check_epsilons(epsilons) == epsilons
    assert check_epsilons(iter(epsilons)) == epsilons
    assert check_epsilons(np.array(epsilons)) == epsilons
    assert check_epsilons(torch.tensor(epsilons, dtype=torch.float64)) == epsilons


def test_where_none_is_needed_it_is_infinite():
    assert check_epsilons(None, needed=False) == [math.inf]
    assert check_epsilons(None, needed=False, bounded=False) == [math.inf]


def test_pixels_are_counted():
    assert check_epsilons([0, 3, 2.0], norm="l0") == [0.0, 3.0, 2.0]


def test_a_batch_that_fits():
    images, labels = torch.rand(3, 1, 4, 4), torch.tensor([0, 2, 1])
    check_batch(images, labels, image_ids=["a", "b", "c"])
    check_labels(labels, num_classes=3)
    check_batch(images[:0], labels[:0], image_ids=[])
    check_labels(labels[:0], num_classes=3)
    check_batch(torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1), torch.tensor([0]))


def test_content_ids_name_the_pixels():
    images = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    names = content_ids(images)
    assert len(set(names)) == 4
    assert content_ids(images[[2, 0]]) == [names[2], names[0]]
    assert content_ids(images.to(memory_format=torch.channels_last)) == names
    changed = images.clone()
    changed[1, 0, 0, 0] += 1e-3
    assert [one == other for one, other in zip(content_ids(changed), names, strict=True)] == [
        True, False, True, True
    ]
