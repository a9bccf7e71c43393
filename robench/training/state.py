"""The state of a training after an epoch, as bytes: safetensors, with JSON for the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from robench.errors import StoreError, VictimError
from robench.training.monitor import EpochReport

_FORMAT = 1
_LENGTH_BYTES = 8  # a safetensors file begins with the length of its JSON header


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """What is needed to go on after an epoch as if nothing had happened.

    `network` and `best` are the tensors of the network after the last epoch and after the best
    one; `optimizer` holds, per parameter index, the tensors, numbers and Nones an optimizer
    keeps. `history` is one report per finished epoch. All tensors are copies on the CPU.
    The learning rate, the order of the data and all random draws are functions of `seed` and
    the epoch, so that they need no state.
    """

    seed: int
    epochs: int
    network: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    optimizer: Mapping[int, Mapping[str, Tensor | float | None]]
    history: tuple[EpochReport, ...]

    @property
    def epoch(self) -> int:
        """The last finished epoch, from 1."""
        return len(self.history)

    def to_bytes(self) -> bytes:
        """The state as one safetensors file; tensors keep their dtype and bits."""
        tensors = {f"network/{name}": tensor for name, tensor in self.network.items()}
        tensors |= {
            f"best/{name}": tensor
            for name, tensor in self.best.items()
            if tensor is not self.network.get(name)  # the best epoch may be the last one
        }
        numbers: dict[str, dict[str, float | None]] = {}
        for index, entries in self.optimizer.items():
            for name, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{index}/{name}"] = value
                else:
                    numbers.setdefault(str(index), {})[name] = value
        header = {
            "format": _FORMAT,
            "seed": self.seed,
            "epochs": self.epochs,
            "optimizer": numbers,
            "history": [asdict(report) for report in self.history],
        }
        text = json.dumps(header, allow_nan=False)
        return safetensors.torch.save(dict(tensors), metadata={"training": text})

    @classmethod
    def from_bytes(cls, data: bytes) -> TrainingState:
        """The state `to_bytes` wrote; StoreError where `data` is something else or damaged."""
        try:
            tensors = safetensors.torch.load(data)
            header = _header(data)
            if header["format"] != _FORMAT:
                raise StoreError(
                    "the training state has another format",
                    got=header["format"],
                    expected=str(_FORMAT),
                )
            optimizer: dict[int, dict[str, Tensor | float | None]] = {
                int(index): dict(entries) for index, entries in header["optimizer"].items()
            }
            parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}}
            for path, tensor in tensors.items():
                part, name = path.split("/", 1)
                if part == "optimizer":
                    index, name = name.split("/", 1)
                    optimizer.setdefault(int(index), {})[name] = tensor
                else:
                    parts[part][name] = tensor
            parts["best"] = parts["network"] | parts["best"]
            return cls(
                seed=header["seed"],
                epochs=header["epochs"],
                optimizer=optimizer,
                history=tuple(EpochReport(**report) for report in header["history"]),
                **parts,
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise StoreError(f"not a whole training state ({error})") from error

    def restore(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, *, seed: int, epochs: int
    ) -> None:
        """Put the state into `network` and a fresh `optimizer`.

        Raises StoreError, touching neither, where it is the state of another training.
        """
        if (self.seed, self.epochs) != (seed, epochs):
            raise StoreError(
                "the training state is of another training",
                got=f"seed {self.seed}, {self.epochs} epochs",
                expected=f"seed {seed}, {epochs} epochs",
            )
        expected, got = _shapes(tensors_of(network)), _shapes(self.network)
        for name in sorted({*expected, *got}):
            if expected.get(name) != got.get(name):
                raise StoreError(
                    f"the training state is of another network: tensor '{name}'",
                    got=got.get(name, "none"),
                    expected=str(expected.get(name, "none")),
                )
        network.load_state_dict(dict(self.network))
        fresh = optimizer.state_dict()
        optimizer.load_state_dict(
            {
                # an optimizer keeps the very tensors it is given, and changes them
                "state": _copied(self.optimizer),
                "param_groups": fresh["param_groups"],
            }
        )


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Copies of the network's parameters and buffers on the CPU, by their state-dict names."""
    tensors = {}
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise VictimError(
                f"the network keeps '{name}' in its state", got=value, expected="tensors only"
            )
        tensors[name] = _copy(value)
    return tensors


def optimizer_entries(
    optimizer: torch.optim.Optimizer,
) -> dict[int, dict[str, Tensor | float | None]]:
    """Copies of what `optimizer` keeps per parameter, by the parameter's index."""
    return _copied(optimizer.state_dict()["state"])


def _copied(
    state: Mapping[int, Mapping[str, Tensor | float | None]],
) -> dict[int, dict[str, Tensor | float | None]]:
    return {
        index: {
            name: _copy(value) if isinstance(value, Tensor) else value
            for name, value in entries.items()
        }
        for index, entries in state.items()
    }


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def _header(data: bytes) -> Any:
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
    return json.loads(header["__metadata__"]["training"])
