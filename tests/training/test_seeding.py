import pytest
import torch

from robench.training.seeding import derived_seed, generator, reproducible, shuffled

CPU = torch.device("cpu")


def draw(seed: int, *purpose: int | str) -> list[float]:
    with reproducible(CPU, seed, *purpose):
        return torch.rand(4).tolist()


def test_inside_is_seeded_and_outside_untouched() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    first = draw(0, "training", 1)
    assert torch.equal(torch.rand(4), expected)
    assert draw(0, "training", 1) == first
    assert draw(0, "training", 2) != first
    assert draw(1, "training", 1) != first


def test_outside_is_untouched_after_an_error() -> None:
    before = torch.get_rng_state()
    deterministic = torch.backends.cudnn.deterministic
    with pytest.raises(ZeroDivisionError), reproducible(CPU, 0):
        torch.rand(4 // (0 * torch.rand(1).int().item()))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.backends.cudnn.deterministic is deterministic


def test_purposes_do_not_run_together() -> None:
    assert derived_seed(1, 23) != derived_seed(12, 3)
    seeds = {derived_seed(seed, "order", epoch) for seed in range(20) for epoch in range(20)}
    assert len(seeds) == 400


def test_order_is_a_permutation_of_seed_and_epoch() -> None:
    order = shuffled(50, 0, 1)
    assert sorted(order.tolist()) == list(range(50))
    assert order.tolist() == shuffled(50, 0, 1).tolist()
    assert order.tolist() != shuffled(50, 0, 2).tolist()
    assert order.tolist() != shuffled(50, 1, 1).tolist()


def test_a_generator_is_apart_from_the_global_one() -> None:
    before = torch.get_rng_state()
    torch.rand(3, generator=generator(CPU, 0, "training", 1))
    assert torch.equal(torch.get_rng_state(), before)
