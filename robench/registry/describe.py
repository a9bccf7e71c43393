"""What there is, told without importing third parties' code into this process.

Plugins import torch, and may fail. They are described by a second process, which prints their
cards as JSON; what it said of a plugin is remembered until the plugin's files change.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from robench.errors import UserError
from robench.registry.card import Kind
from robench.registry.plugins import Plugin
from robench.registry.registry import OWN, Registry

_TIMEOUT_S = 120
_COLUMNS = {"name", "kind", "summary", "origin", "error"}


def describe(registry: Registry, kind: Kind) -> list[dict[str, Any]]:
    """Everything of a kind by name: `name, kind, summary, origin, error` and the card's facts.

    `error` says why a broken or contested plugin cannot be used.
    """
    contested = {broken.name: broken for broken in registry.contested() if broken.kind == kind}
    rows = [{**card.model_dump(), "origin": OWN, "error": None} for card in registry.own(kind)]
    plugins = [plugin for plugin in registry.plugins()
               if plugin.kind == kind and plugin.name not in contested]
    rows += _described(plugins, registry.plugins())
    rows += [{"name": name, "kind": kind, "summary": "", "origin": broken.origin,
              "error": broken.error} for name, broken in contested.items()]
    return sorted(rows, key=lambda row: str(row["name"]))


def _described(wanted: list[Plugin], every: list[Plugin]) -> list[dict[str, Any]]:
    told = _remembered()
    if any(_mark(plugin) not in told for plugin in wanted):
        fresh = _ask()
        for plugin in every:
            told[_mark(plugin)] = fresh.get(f"{plugin.kind} {plugin.name}") or {
                "name": plugin.name, "kind": plugin.kind, "summary": "",
                "origin": plugin.origin, "error": fresh.get("", "could not be described"),
            }
        # A broken plugin may be mended by installing something else, so it is asked again.
        _remember({mark: row for mark, row in told.items() if not row["error"]})
    return [told[_mark(plugin)] for plugin in wanted]


def _ask() -> dict[str, Any]:
    """What a process of its own finds; "" holds why that process failed."""
    try:
        asked = subprocess.run(
            [sys.executable, "-m", "robench.registry.describe"], capture_output=True, text=True,
            timeout=_TIMEOUT_S, check=False,
        )
        return dict(json.loads(asked.stdout.splitlines()[-1]))  # imports may print before it
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        return {"": f"its import ended the process that describes it ({type(error).__name__})"}


def _tell() -> None:
    registry = Registry.discover()
    rows: dict[str, Any] = {}
    for plugin in registry.plugins():
        known = {"name": plugin.name, "kind": plugin.kind, "origin": plugin.origin}
        try:
            card = registry.get(plugin.kind, plugin.name).card
            row = {**json.loads(json.dumps(card.model_dump(), default=str)), "error": None}
        except UserError as error:
            row = {"summary": "", "error": error.what}
        rows[f"{plugin.kind} {plugin.name}"] = {**row, **known}
    print("\n" + json.dumps(rows))


def _mark(plugin: Plugin) -> str:
    """What a plugin's description depends on: its version and the state of its file."""
    module = plugin.entry_point.module
    try:
        spec = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    places = list(spec.submodule_search_locations or [spec.origin or ""]) if spec else []
    newest = max((path.stat().st_mtime_ns for place in places for path in _sources(place)),
                 default=0)
    return " ".join((plugin.kind, plugin.name, plugin.origin, plugin.entry_point.value,
                     *places, str(newest)))


def _sources(place: str) -> list[Path]:
    path = Path(place)
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def _memory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "robench" / "plugins.json"


def _remembered() -> dict[str, Any]:
    try:
        loaded = json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return {}
    rows = loaded if isinstance(loaded, dict) else {}
    return {mark: row for mark, row in rows.items()
            if isinstance(row, dict) and row.keys() >= _COLUMNS}


def _remember(rows: dict[str, Any]) -> None:
    try:
        path = _memory()
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}.tmp")
        beside.write_text(json.dumps(rows), encoding="utf-8")
        beside.replace(path)
    except (OSError, RuntimeError):  # a home that cannot be written costs time, nothing else
        return


if __name__ == "__main__":
    _tell()
