import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.tiling import Tiling, cuts, parts

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("small", "rows", "passes"), [
    ((), 40, [(32, 32), (32, 8)]),
    ((4, 8, 16), 3, [(4, 3)]),
    ((4, 8, 16), 12, [(8, 8), (4, 4)]),
    ((4, 8, 16), 13, [(16, 13)]),
    ((4, 8, 16), 21, [(16, 16), (8, 5)]),
    ((4, 8, 12, 16, 20, 24, 28), 21, [(24, 21)]),
    ((4, 8, 12, 16, 20, 24, 28), 23, [(24, 23)]),
    ((4, 8, 12, 16, 20, 24, 28), 41, [(32, 32), (12, 9)]),
    ((4, 8, 16), 61, [(32, 32), (32, 29)]),
    ((4, 8, 16), 53, [(32, 32), (16, 16), (8, 5)]),
    ((1, 2, 4, 8, 16), 7, [(8, 7)]),
    ((1, 2, 4, 8, 16), 5, [(8, 5)]),
    ((1, 2, 4, 8, 16), 2, [(2, 2)]),
    ((1, 2, 4, 8, 16), 23, [(16, 16), (8, 7)]),
])
def test_on_a_cpu_what_is_left_over_is_cut_in_small_pieces(small, rows, passes):
    assert cuts(CPU, rows, tile=32, small=small) == passes


@pytest.mark.parametrize(("device", "halved", "sizes"), [
    (CPU, 0, [1, 2, 4, 8, 12, 16, 20, 24, 28]), (CPU, 1, [1, 2, 4, 6, 8, 10, 12, 14]),
    (CPU, 4, [1]), (CPU, 5, []), (CUDA, 0, [8, 16, 32, 64, 128]),
])
def test_pieces_that_are_tried(device, halved, sizes):
    made = Tiling()
    for _ in range(halved):
        made.halve(device)
    assert made.candidates(device) == sizes


def test_on_a_gpu_it_is_filled_up_once():
    assert cuts(CUDA, 300, tile=256, small=[32, 64, 128]) == [(256, 256), (64, 44)]


@given(rows=st.integers(0, 200), small=st.sets(st.sampled_from([1, 2, 4, 8, 12, 16, 20, 28])),
       device=st.sampled_from([CPU, CUDA]))
def test_every_row_is_asked_for_once_in_its_order(rows, small, device):
    passes = cuts(device, rows, tile=32, small=sorted(small))
    assert sum(asked for _, asked in passes) == rows
    assert all(0 < asked <= size for size, asked in passes)
    batch = torch.arange(float(rows))[:, None]
    pieces = list(parts((batch, batch), passes))
    assert [len(piece) for (piece, _), _ in pieces] == [size for size, _ in passes]
    for place in range(2 if pieces else 0):
        asked_for = torch.cat([piece[place][:asked] for piece, asked in pieces])
        assert torch.equal(asked_for, batch)


class Recorded:
    """Sums of images and the images doubled, and how many rows each pass saw; below `rows` rows
    other bits."""

    def __init__(self, below: int = 0) -> None:
        self.below = below
        self.seen: list[int] = []
        self.asked = 0

    def __call__(self, batch, asked):
        (images,) = batch
        self.seen.append(len(images))
        self.asked += asked
        off = 1e-6 * (len(images) < self.below)
        return images.flatten(1).sum(dim=1, keepdim=True) + off, 2 * images


def images(rows: int) -> torch.Tensor:
    return torch.rand(rows, 1, 3, 3, generator=torch.Generator().manual_seed(rows)) + 0.1


def run(made: Tiling, compute: Recorded, rows: int, **how) -> list[int]:
    """The rows of the passes over a batch, whose results are looked at."""
    batch, before = images(rows), len(compute.seen)
    sums, doubled = made.run(compute, (batch,), tile=32, **how)
    assert torch.equal(doubled, 2 * batch)
    assert torch.allclose(sums, batch.flatten(1).sum(dim=1, keepdim=True), atol=0)
    return compute.seen[before:]


def test_a_small_piece_is_tried_on_the_last_rows_of_a_tile_before_it_is_used():
    made, compute = Tiling(), Recorded()
    assert run(made, compute, 36, kinds=["a"]) == [32, 4, 4]
    assert run(made, compute, 36, kinds=["a"]) == [32, 4]
    assert made.known(["a"]) == [4]
    assert compute.asked == 72


def test_without_a_whole_tile_the_filled_one_shows_it():
    made, compute = Tiling(), Recorded()
    assert run(made, compute, 7, kinds=["a"]) == [32, 8]
    assert run(made, compute, 7, kinds=["a"]) == [8]
    assert compute.asked == 14


@pytest.mark.parametrize(("rows", "size", "passes"), [(3, 4, 0), (12, 12, 0), (16, 16, 1),
                                                      (20, 20, 1), (27, 28, 7)])
def test_a_piece_is_tried_once_more_was_filled_up_than_it_costs(rows, size, passes):
    made, compute = Tiling(), Recorded()
    for _ in range(passes):
        assert run(made, compute, rows, kinds=["a"]) == [32]
    assert run(made, compute, rows, kinds=["a"]) == [32, size]
    assert run(made, compute, rows, kinds=["a"]) == [size]


def test_where_pieces_are_all_there_is_one_tile_is_computed_to_try_another():
    made, compute = Tiling(), Recorded()
    run(made, compute, 3, kinds=["a"])
    assert run(made, compute, 13, kinds=["a"]) == [4, 4, 4, 4]
    assert run(made, compute, 13, kinds=["a"]) == [32, 16]
    assert run(made, compute, 13, kinds=["a"]) == [16]


def test_a_piece_of_other_bits_is_never_used():
    made, compute = Tiling(), Recorded(below=20)
    assert run(made, compute, 36, kinds=["a"]) == [32, 4, 32]
    assert made.known(["a"]) == []
    assert 4 not in made.hoped_for(CPU)
    for _ in range(40):  # larger ones are tried in turn, and the first that does is used
        last = run(made, compute, 36, kinds=["a"])
    assert last == [32, 20]
    assert made.known(["a"]) == [20]


def test_a_piece_that_fails_is_never_used():
    """As of a network that squeezes a single row away, which whole tiles do not."""
    class Squeezed(Recorded):
        def __call__(self, batch, asked):
            if len(batch[0]) == 1:
                raise ValueError("no table")
            return super().__call__(batch, asked)

    made, compute = Tiling(), Squeezed()
    for _ in range(3):
        last = run(made, compute, 33, kinds=["a"])
    assert last == [32, 2]
    assert made.known(["a"]) == [2]


def test_what_does_for_a_pass_there_and_back_does_for_one_there():
    made, compute = Tiling(), Recorded()
    run(made, compute, 36, kinds=["back"])
    assert run(made, compute, 36, kinds=["there", "back"]) == [32, 4]
    assert run(made, compute, 34, kinds=["there", "back"]) == [32, 4]
    assert run(made, compute, 34, kinds=["there", "back"]) == [32, 2, 2]
    assert run(made, compute, 34, kinds=["back"]) == [32, 4]
    assert made.known(["there"]) == [2]


def test_whole_tiles_only_without_a_kind_and_known_pieces_only_where_nothing_is_tried():
    made, compute = Tiling(), Recorded()
    assert run(made, compute, 36) == [32, 32]
    assert run(made, compute, 36, kinds=["a"], tries=False) == [32, 32]
    assert run(made, compute, 36, kinds=["a"]) == [32, 4, 4]
    assert run(made, compute, 36, kinds=["a"], tries=False) == [32, 4]


@pytest.mark.parametrize("batch", [torch.zeros(36, 1, 3, 3), torch.full((36, 1, 3, 3), 0.5)])
def test_nothing_is_learned_from_even_images(batch):
    made, compute = Tiling(), Recorded()
    for _ in range(3):
        made.run(compute, (batch,), tile=32, kinds=["a"])
    assert compute.seen == 3 * [32, 32]
    assert run(made, compute, 36, kinds=["a"]) == [32, 4, 4]


def test_images_that_show_nothing_are_computed_in_the_pieces_that_are_known():
    made, compute = Tiling(), Recorded()
    run(made, compute, 4, kinds=["a"])
    for _ in range(4):
        made.run(compute, (torch.zeros(15, 1, 3, 3),), tile=32, kinds=["a"])
    assert compute.seen[2:] == [4, 4, 4, 4, 32, 4, 4, 4, 4, 32]


def test_nothing_is_learned_from_gradients_of_zero():
    made, seen = Tiling(), []

    def compute(batch, asked):
        seen.append(len(batch[0]))
        return batch[0].flatten(1), torch.zeros_like(batch[0])

    made.run(compute, (images(36),), tile=32, kinds=["a"])
    assert seen == [32, 32]


def test_no_rows_are_one_tile_of_nothing():
    compute = Recorded()
    made = Tiling().run(compute, (torch.empty(0, 1, 3, 3),), tile=32, kinds=["a"])
    assert [len(each) for each in made] == [0, 0]
    assert compute.seen == [32]


@settings(deadline=None)
@given(rows=st.lists(st.integers(0, 100), min_size=1, max_size=30), below=st.integers(0, 32))
def test_results_are_those_of_whole_tiles(rows, below):
    made, compute = Tiling(), Recorded(below)
    for count in rows:
        run(made, compute, count, kinds=["a"])
    assert compute.asked == sum(rows)
    assert all(size >= below for size in made.known(["a"]))


def test_halved_tiles_know_no_small_pieces():
    made, compute = Tiling(), Recorded()
    run(made, compute, 36, kinds=["a"])
    assert [made.halve(CPU) for _ in range(6)] == [16, 8, 4, 2, 1, 1]
    assert made.known(["a"]) == []
    assert cuts(CPU, 3, tile=made.tile(CPU), small=[]) == [(1, 1)] * 3
