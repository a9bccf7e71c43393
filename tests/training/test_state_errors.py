import json

import pytest
import safetensors.torch
import torch
from torch import nn

from robench.errors import StoreError, VictimError
from robench.training.state import TrainingState, tensors_of

from .stand_ins import small_network
from .test_state import state_of, trained


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_damaged_bytes(damage: bytes | None) -> None:
    data = state_of(*trained()).to_bytes()
    with pytest.raises(StoreError, match="not a whole training state"):
        TrainingState.from_bytes(data[:-50] if damage is None else damage)


def test_a_checkpoint_is_no_state() -> None:
    with pytest.raises(StoreError, match="not a whole training state"):
        TrainingState.from_bytes(safetensors.torch.save({"weight": torch.ones(2)}))


def test_another_format() -> None:
    data = state_of(*trained()).to_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    told = json.loads(header["__metadata__"]["training"])
    header["__metadata__"]["training"] = json.dumps(told | {"format": 99})
    text = json.dumps(header).encode()
    changed = len(text).to_bytes(8, "little") + text + data[8 + length :]
    with pytest.raises(StoreError, match="another format, got 99"):
        TrainingState.from_bytes(changed)


@pytest.mark.parametrize(("seed", "epochs"), [(6, 4), (5, 9)])
def test_another_training(seed: int, epochs: int) -> None:
    network = small_network()
    optimizer = torch.optim.Adam(network.parameters())
    with pytest.raises(StoreError, match="another training, got 'seed 5, 4 epochs'"):
        state_of(*trained()).restore(network, optimizer, seed=seed, epochs=epochs)


@pytest.mark.parametrize(
    ("network", "tensor"), [(small_network(outputs=3), "10.bias"), (nn.Linear(2, 2), "1.bias")]
)
def test_another_network(network: nn.Module, tensor: str) -> None:
    optimizer = torch.optim.Adam(network.parameters())
    before = tensors_of(network)
    with pytest.raises(StoreError, match=f"another network: tensor '{tensor}'"):
        state_of(*trained()).restore(network, optimizer, seed=5, epochs=4)
    assert all(torch.equal(before[name], value) for name, value in tensors_of(network).items())


def test_a_network_with_more_than_tensors() -> None:
    class Talking(nn.Linear):
        def get_extra_state(self) -> dict[str, int]:
            return {"calls": 3}

    with pytest.raises(VictimError, match=r"'_extra_state' in its state, got .*\n.*tensors only"):
        tensors_of(Talking(2, 2))
