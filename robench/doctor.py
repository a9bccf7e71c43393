"""The state of an installation: libraries, device, plugins, store, data."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from robench.errors import UserError
from robench.registry import KINDS, Registry
from robench.registry.describe import describe
from robench.store import Store, default_folder

_NEEDED = {"torch": "torch", "torchvision": "torchvision", "timm": "timm",
           "adversarial-robustness-toolbox": "art.attacks.evasion", "kornia": "kornia.enhance",
           "scikit-learn": "sklearn", "pandas": "pandas", "pyarrow": "pyarrow"}
_EXTRA = ("medmnist", "foolbox", "torchattacks")


@dataclass(frozen=True)
class Finding:
    """`ok` is None for what is neither right nor wrong."""

    subject: str
    message: str
    ok: bool | None = True


def examine() -> list[Finding]:
    """Everything worth knowing, in the order it matters."""
    findings = [Finding("python", platform.python_version())]
    findings += [_library(name, module) for name, module in _NEEDED.items()]
    findings += [_extra(name) for name in _EXTRA]
    findings += [_device(), _store(), _data()]
    return findings + _plugins()


def _library(name: str, module: str) -> Finding:
    try:
        import_module(module)
        return Finding(name, version(name))
    except Exception as error:  # a broken installation may raise anything
        return Finding(name, f"cannot be imported: {type(error).__name__}: {error}", ok=False)


def _extra(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        return Finding(name, "not installed (optional)", ok=None)


def _device() -> Finding:
    from robench.device import choose, describe

    try:
        return Finding("device", describe(choose("auto")))
    except Exception as error:  # no torch, or a driver that fails in its own way
        return Finding("device", f"{type(error).__name__}: {error}", ok=False)


def _store() -> Finding:
    folder = default_folder()
    try:
        runs = len(Store(folder).run_ids())
    except UserError as error:
        return Finding("store", str(error).replace("\n ", ";"), ok=False)
    place = folder if folder.exists() else next(p for p in folder.absolute().parents if p.exists())
    if not os.access(place, os.W_OK):
        return Finding("store", f"{folder} cannot be written", ok=False)
    return Finding("store", f"{folder} · {runs} runs")


def _data() -> Finding:
    named = os.environ.get("ROBENCH_DATA")
    if not named:
        return Finding("ROBENCH_DATA", "not set: data files are looked for where paths say",
                       ok=None)
    found = Path(named).is_dir()
    return Finding("ROBENCH_DATA", named if found else f"{named} is no folder", ok=found)


def _plugins() -> list[Finding]:
    registry = Registry.discover()
    rows = [row for kind in KINDS for row in describe(registry, kind)
            if row["origin"] != "robench"]
    if not rows:
        return [Finding("plugins", "none", ok=None)]
    return [Finding(f"{row['kind']} {row['name']}", row["error"] or f"from {row['origin']}",
                    ok=not row["error"]) for row in rows]
