"""Third parties' things, found by their entry points; loaded only when they are asked for."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from robench.registry.card import KINDS, Card, Kind, attached

GIVEN_BY_ROBENCH: dict[Kind, tuple[str, ...]] = {
    "model": ("num_classes", "in_channels", "image_size"),
    "attack": (),
    "defense": ("network",),
    "dataset": (),
    "recipe": ("network", "dataset", "device", "seed", "monitor"),
}


@dataclass(frozen=True)
class Plugin:
    """One entry point of one installed distribution."""

    kind: Kind
    name: str
    distribution: str
    version: str
    entry_point: EntryPoint

    @property
    def origin(self) -> str:
        return f"{self.distribution} {self.version}"

    def load(self) -> Any:
        return self.entry_point.load()

    def card(self) -> Card:
        """The card of the loaded thing; raises whatever its import or its card raises."""
        thing = self.load()
        described = attached(thing)
        first_line = (inspect.getdoc(thing) or "").partition("\n")[0]
        params, open_params = _settings(thing, self.kind)
        traits = {
            name: getattr(thing, name)
            for name in ("norm", "budget", "access", "differentiable", "stochastic")
            if isinstance(getattr(thing, name, None), (str, bool))
        }
        return Card(
            name=self.name, kind=self.kind, factory=self.entry_point.value, params=params,
            open_params=open_params, summary=described.get("summary") or first_line or self.name,
            version=described["version"] if described else int(getattr(thing, "version", 1)),
            traits={**traits, **described.get("traits", {})}, paper=described.get("paper"),
            published=described.get("published", {}), notes=described.get("notes", ()),
            check=described.get("check", {}), check_apart=described.get("check_apart", {}),
        )


@dataclass(frozen=True)
class Broken:
    """A plugin that cannot be used, and why."""

    kind: Kind
    name: str
    origin: str
    error: str


def find() -> list[Plugin]:
    """Every installed entry point of robench's groups, each once."""
    found, installed = {}, entry_points()  # asked once: each time reads every distribution
    for kind in KINDS:
        for entry_point in installed.select(group=f"robench.{kind}s"):
            distribution = entry_point.dist
            name = distribution.name if distribution else "unknown distribution"
            version = distribution.version if distribution else "?"
            plugin = Plugin(kind, entry_point.name, name, version, entry_point)
            found[kind, entry_point.name, name, entry_point.value] = plugin
    return list(found.values())


def _settings(thing: Any, kind: Kind) -> tuple[dict[str, Any], bool]:
    signature = inspect.signature(thing)
    params: dict[str, Any] = {}
    open_params = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            open_params = True
        elif parameter.name not in GIVEN_BY_ROBENCH[kind]:
            empty = parameter.default is parameter.empty
            params[parameter.name] = None if empty else parameter.default
    return params, open_params
