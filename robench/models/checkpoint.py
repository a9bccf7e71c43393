"""Weights from and to files: safetensors, or a state dict loaded without running code."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from robench.errors import UserError, nearest

_NESTED = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "model.", "network.")


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint. Raises UserError where the file holds none."""
    if not path.is_file():
        names = [file.name for file in path.parent.glob("*")] if path.parent.is_dir() else []
        raise UserError("no such checkpoint", where=str(path), nearest=nearest(path.name, names))
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError) as error:
        raise UserError(f"not a checkpoint: {_first_line(error)}", where=str(path),
                        expected="safetensors, or a state dict saved by torch") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            "the checkpoint holds more than tensors, and code from a file is not run",
            where=str(path), expected="a state dict: torch.save(model.state_dict(), …)",
        ) from error
    for name in _NESTED:
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
            break
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise UserError("not a state dict", where=str(path), got=type(loaded).__name__,
                        expected="a mapping from names to tensors")
    return dict(loaded)


def load_into(network: nn.Module, tensors: dict[str, Tensor], *, where: str) -> None:
    """Put a checkpoint into the network it was made for.

    Prefixes that wrappers leave in names (`module.`) are taken off. Raises UserError naming the
    first tensor that is missing, left over or of another shape.
    """
    wanted = network.state_dict()
    tensors = without_prefix(tensors, wanted)
    for name, tensor in wanted.items():
        if name not in tensors and not name.endswith("num_batches_tracked"):
            raise UserError(f"the checkpoint lacks '{name}'", where=where,
                            nearest=nearest(name, tensors),
                            expected=f"{len(wanted)} tensors, one for each of the model's")
        if name in tensors and tensors[name].shape != tensor.shape:
            raise UserError(f"the checkpoint's '{name}' has another shape", where=where,
                            got=list(tensors[name].shape), expected=f"{list(tensor.shape)}")
    extra = sorted(set(tensors) - set(wanted))
    if extra:
        raise UserError(f"the checkpoint holds '{extra[0]}', which the model does not have",
                        where=where, nearest=nearest(extra[0], wanted))
    network.load_state_dict({**wanted, **tensors})


def without_prefix(tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` without what a wrapper put before all their names, if they need that to fit."""
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors) and tensors.keys().isdisjoint(wanted):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
