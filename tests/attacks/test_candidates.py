import pytest
import torch

from robench.attacks.candidates import ask, groups, parts

from .networks import MatesMatter, rows_seen, whole_view


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (31, [31]), (32, [32]), (33, [32, 1]), (100, [32, 32, 32, 4])]
)
def test_groups(count, sizes):
    assert list(groups(count)) == sizes


def test_parts_hold_every_row_once_and_few_at_a_time(cnn, right):
    query, _ = whole_view(cnn, *right, epsilon=0.1, rowwise=True)
    found = parts(query)
    assert torch.equal(torch.cat(found), torch.arange(len(query)))
    assert {len(part) for part in found[:-1]} == {8}


def test_mates_stay_together(cnn, right):
    query, _ = whole_view(cnn, *right, epsilon=0.1)
    assert [part.tolist() for part in parts(query)] == [list(range(len(query)))]


def test_a_group_is_asked_in_one_pass_and_counted(cnn, right):
    images, labels = right[0][:6], right[1][:6]
    query, log = whole_view(cnn, images, labels, epsilon=0.1, rowwise=True)
    candidates = torch.rand(6, 9, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with rows_seen(cnn) as seen:
        logits = ask(query, candidates)
    assert seen == [32, 32]
    assert log.forwards.tolist() == [9] * 6
    assert not bool(log.found.any())  # not watched
    with torch.no_grad():
        for place in range(9):
            expected = cnn(candidates[:, place])
            assert torch.allclose(logits[:, place], expected, atol=1e-4)


def test_mates_are_asked_with_their_own_kind(cnn, right):
    images, labels = right[0][:6], right[1][:6]
    network = MatesMatter(cnn)
    query, log = whole_view(network, images, labels, epsilon=1.0, norm="l0")
    candidates = images[:, None].repeat(1, 3, 1, 1, 1)
    candidates[:, 1] *= 0.9
    with torch.no_grad():
        expected = network(candidates[:, 1])
    with rows_seen(cnn) as seen:
        logits = ask(query, candidates)
    assert seen == [6, 6, 6]
    assert torch.allclose(logits[:, 1], expected, atol=1e-5)
    assert set(log.forwards[~log.found].tolist()) <= {3}
