import threading

import pytest
import torch
from torch import nn

from robench.freezing import frozen


def network() -> nn.Module:
    built = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    built[0].eval()
    built[2].weight.requires_grad_(False)
    return built


def state(network: nn.Module) -> list[object]:
    return [*(module.training for module in network.modules()),
            *(weight.requires_grad for weight in network.parameters()),
            *(buffer.tolist() for buffer in network.buffers())]


def is_frozen(network: nn.Module) -> bool:
    return not any(module.training for module in network.modules()) and not any(
        weight.requires_grad for weight in network.parameters())


def test_modes_flags_and_buffers_are_as_before_afterwards():
    looked_at = network()
    before = state(looked_at)
    with frozen(looked_at):
        assert is_frozen(looked_at)
        looked_at[1].running_mean.fill_(7.0)
        with frozen(looked_at[1]):
            assert is_frozen(looked_at)
        assert is_frozen(looked_at)
    assert state(looked_at) == before


def test_an_error_inside_leaves_nothing_frozen():
    looked_at = network()
    before = state(looked_at)
    with pytest.raises(ZeroDivisionError), frozen(looked_at):
        raise ZeroDivisionError
    assert state(looked_at) == before
    with frozen(looked_at):
        assert is_frozen(looked_at)
    assert state(looked_at) == before


def test_threads_may_look_at_networks_that_share_parts():
    shared = network()
    others = [shared, nn.Sequential(shared, nn.Linear(2, 2))]
    before = [state(each) for each in others]
    inside, first_left, seen = threading.Barrier(2), threading.Event(), []

    def leaves_first() -> None:
        with frozen(others[0]):
            inside.wait(timeout=30)
        first_left.set()

    def stays() -> None:
        with frozen(others[1]):
            inside.wait(timeout=30)
            first_left.wait(timeout=30)
            seen.append(is_frozen(others[1]))

    threads = [threading.Thread(target=work) for work in (leaves_first, stays)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert seen == [True]
    assert [state(each) for each in others] == before


def test_a_networks_own_form_of_eval_is_called():
    class Announces(nn.Linear):
        told = 0

        def train(self, mode: bool = True) -> nn.Module:
            self.told += not mode
            return super().train(mode)

    looked_at = Announces(2, 2)
    with frozen(looked_at):
        assert looked_at.told == 1
    assert looked_at.training
    assert torch.is_grad_enabled()
