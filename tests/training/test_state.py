import json
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from robench.training.monitor import EpochReport
from robench.training.state import TrainingState, optimizer_entries, tensors_of

from .stand_ins import small_network

REPORT = EpochReport(
    epoch=1, epochs=4, learning_rate=0.1, loss=0.1 + 0.2, train_accuracy=0.5,
    validation_accuracy=1 / 3, robust_accuracy=None, validation_loss=2.5, selection_value=1 / 3,
    criterion="validation accuracy", selected=True, seconds=1.5, seconds_left=4.5,
)  # fmt: skip


def trained(
    kind: type[torch.optim.Optimizer] = torch.optim.Adam, **settings: float
) -> tuple[nn.Module, torch.optim.Optimizer]:
    network = small_network()
    optimizer = kind(network.parameters(), lr=0.01, **settings)
    step(network, optimizer)
    return network, optimizer


def step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    random = torch.Generator().manual_seed(1)
    images = torch.rand(8, 1, 8, 8, generator=random)
    network.eval()
    functional.cross_entropy(network(images), torch.arange(8) % 2).backward()
    optimizer.step()
    optimizer.zero_grad()


def state_of(network: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
    return TrainingState(
        seed=5, epochs=4, network=tensors_of(network), best=tensors_of(small_network()),
        optimizer=optimizer_entries(optimizer), history=(REPORT,),
    )  # fmt: skip


def test_bytes_and_back() -> None:
    state = state_of(*trained())
    back = TrainingState.from_bytes(state.to_bytes())
    assert (back.seed, back.epochs, back.epoch) == (5, 4, 1)
    assert back.history == (REPORT,)
    for part in ("network", "best"):
        kept, found = getattr(state, part), getattr(back, part)
        assert kept.keys() == found.keys()
        for name in kept:
            assert kept[name].dtype == found[name].dtype
            assert torch.equal(kept[name], found[name])
    assert back.optimizer.keys() == state.optimizer.keys()
    assert torch.equal(back.optimizer[0]["exp_avg_sq"], state.optimizer[0]["exp_avg_sq"])


def test_remarks_are_kept_and_states_from_before_there_were_any_are_read() -> None:
    told = replace(REPORT, remark="overfitting × 2", stop=True)
    state = replace(state_of(*trained()), history=(told,))
    assert TrainingState.from_bytes(state.to_bytes()).history == (told,)
    data = state_of(*trained()).to_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    training = json.loads(header["__metadata__"]["training"])
    for name in ("remark", "stop"):
        del training["history"][0][name]
    header["__metadata__"]["training"] = json.dumps(training)
    old = json.dumps(header).encode()
    back = TrainingState.from_bytes(len(old).to_bytes(8, "little") + old + data[8 + length :])
    assert back.history == (REPORT,)


def test_nan_bits_and_odd_tensors_are_kept() -> None:
    tensors = {
        "a/b": torch.tensor([float("nan"), -0.0, float("inf")]),
        "half": torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
        "none": torch.zeros(0, 3),
        "number": torch.tensor(7),
    }
    optimizer = {0: {"kept": None, "rate": 0.1, "buffer": torch.ones(2)}, 3: {"step": 4}}
    state = replace(state_of(*trained()), network=tensors, optimizer=optimizer)
    back = TrainingState.from_bytes(state.to_bytes())
    assert back.network.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back.network[name].dtype == tensor.dtype
        assert back.network[name].shape == tensor.shape
    bits = [tensors["a/b"].view(torch.int32), back.network["a/b"].view(torch.int32)]
    assert torch.equal(*bits)
    assert (back.optimizer[0]["kept"], back.optimizer[0]["rate"]) == (None, 0.1)
    assert back.optimizer[3] == {"step": 4}
    assert torch.equal(back.optimizer[0]["buffer"], torch.ones(2))


def test_bytes_are_plain_safetensors_with_json() -> None:
    data = state_of(*trained()).to_bytes()
    names = safetensors.torch.load(data).keys()
    assert {"network/1.weight", "best/1.weight", "optimizer/0/exp_avg"} <= names
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    told = json.loads(header["__metadata__"]["training"])
    assert told["history"][0]["criterion"] == "validation accuracy"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.Adam, {}),
        (torch.optim.AdamW, {"weight_decay": 0.1}),
        (torch.optim.SGD, {"momentum": 0.9}),
        (torch.optim.SGD, {}),
    ],
)
def test_a_restored_training_takes_the_same_next_step(
    kind: type[torch.optim.Optimizer], settings: dict[str, float]
) -> None:
    network, optimizer = trained(kind, **settings)
    state = TrainingState.from_bytes(state_of(network, optimizer).to_bytes())
    other = small_network()
    fresh = kind(other.parameters(), lr=0.01, **settings)
    state.restore(other, fresh, seed=5, epochs=4)
    step(network, optimizer)
    step(other, fresh)
    assert all(map(torch.equal, network.parameters(), other.parameters()))


def test_restoring_twice_gives_the_same() -> None:
    state = state_of(*trained())
    before = state.to_bytes()
    network = small_network()
    optimizer = torch.optim.Adam(network.parameters())
    state.restore(network, optimizer, seed=5, epochs=4)
    step(network, optimizer)
    assert state.to_bytes() == before


def test_tied_and_transposed_weights() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    network[1].register_buffer("turned", torch.rand(3, 2).t())
    tensors = tensors_of(network)
    state = replace(state_of(*trained()), network=tensors)
    back = TrainingState.from_bytes(state.to_bytes())
    assert torch.equal(back.network["1.turned"], network[1].turned)
    assert torch.equal(back.network["0.weight"], back.network["1.weight"])
