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
    ((4, 8, 16), 13, [(8, 8), (4, 4), (4, 1)]),
    ((4, 8, 16), 21, [(16, 16), (4, 4), (4, 1)]),
    ((4, 8, 16), 61, [(32, 32), (32, 29)]),
    ((4, 8, 16), 53, [(32, 32), (16, 16), (4, 4), (4, 1)]),
    ((1, 2, 4, 8, 16), 7, [(8, 7)]),
    ((1, 2, 4, 8, 16), 5, [(4, 4), (1, 1)]),
    ((1, 2, 4, 8, 16), 23, [(16, 16), (8, 7)]),
])
def test_on_a_cpu_what_is_left_over_is_cut_in_small_pieces(small, rows, cuts):
    assert tiling(*small).cuts(CPU, rows, tile=32) == cuts


def test_on_a_gpu_it_is_filled_up_once():
    assert tiling(32, 64, 128).cuts(CUDA, 300, tile=256) == [(256, 256), (64, 44)]


@given(rows=st.integers(0, 200), small=st.sets(st.sampled_from([1, 2, 4, 8, 16])),
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
    assert [made.time_to_look(CPU, 31) for _ in range(6)] == [False] * 4 + [True, False]
    made.small = (4, 8)
    made.start_again()
    assert made.small == ()
    assert made.time_to_look(CPU, 0)


def test_halved_tiles_know_no_small_pieces():
    made = tiling(4, 8)
    assert [made.halve(CPU) for _ in range(6)] == [16, 8, 4, 2, 1, 1]
    assert made.cuts(CPU, 3, tile=made.tile(CPU)) == [(1, 1)] * 3
