"""Devices by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.errors import UserError

if TYPE_CHECKING:
    import torch


def choose(name: str) -> torch.device:
    """The torch device of a name; "auto" is a CUDA device where there is one, else the CPU.

    Raises UserError for a device that is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    known = ["auto", "cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError("no such device", got=name, expected=f"one of {', '.join(known)}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError("that device is not there", got=name, expected=f"one of {', '.join(known)}")
    return device


def reading_waits(device: torch.device) -> bool:
    """Whether reading a value makes the host wait for all that the device was given to do."""
    return device.type == "cuda"


def describe(device: torch.device) -> str:
    """The device in words, with the model's name for a GPU."""
    import torch

    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"
