import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robench.tiling import Tiling, parts

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def tiling(*small: int) -> Tiling:
    made = Tiling()
    made.small = small
    return made


@pytest.mark.parametrize(("small", "rows", "cuts"), [
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
def test_on_a_cpu_what_is_left_over_is_cut_in_small_pieces(small, rows, cuts):
    assert tiling(*small).cuts(CPU, rows, tile=32) == cuts


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
    assert tiling(32, 64, 128).cuts(CUDA, 300, tile=256) == [(256, 256), (64, 44)]


@given(rows=st.integers(0, 200), small=st.sets(st.sampled_from([1, 2, 4, 8, 12, 16, 20, 28])),
       device=st.sampled_from([CPU, CUDA]))
def test_every_row_is_asked_for_once_in_its_order(rows, small, device):
    cuts = tiling(*sorted(small)).cuts(device, rows, tile=32)
    assert sum(asked for _, asked in cuts) == rows
    assert all(0 < asked <= size for size, asked in cuts)
    batch = torch.arange(float(rows))[:, None]
    pieces = list(parts(batch, cuts))
    assert [len(piece) for piece, _ in pieces] == [size for size, _ in cuts]
    if pieces:
        assert torch.equal(torch.cat([piece[:asked] for piece, asked in pieces]), batch)


def test_small_pieces_are_looked_for_once_after_much_filler():
    made = Tiling()
    assert [made.time_to_look(CPU, 31) for _ in range(12)] == [False] * 10 + [True, False]
    made.small = (4, 8)
    made.start_again()
    assert made.small == ()
    assert made.time_to_look(CPU, 0)


def test_halved_tiles_know_no_small_pieces():
    made = tiling(4, 8)
    assert [made.halve(CPU) for _ in range(6)] == [16, 8, 4, 2, 1, 1]
    assert made.cuts(CPU, 3, tile=made.tile(CPU)) == [(1, 1)] * 3
