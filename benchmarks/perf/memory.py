"""How much memory a piece of work takes at its peak, in GB: on a GPU that of its allocator, on a
CPU that of the whole process."""

from __future__ import annotations

import re
from pathlib import Path

import torch

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_NAN = float("nan")


def forget_peak(device: torch.device) -> None:
    """What is held now is the highest from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _FORGET.exists():
        _FORGET.write_text("5")


def held(device: torch.device) -> float:
    """Now; NaN on a system that does not tell."""
    return torch.cuda.memory_allocated(device) / 1e9 if device.type == "cuda" else _told("VmRSS")


def peak(device: torch.device) -> float:
    """At the highest since `forget_peak`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return _told("VmHWM")


def _told(name: str) -> float:
    if not (_STATUS.exists() and _FORGET.exists()):
        return _NAN
    match = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return int(match[1]) * 1024 / 1e9 if match else _NAN
