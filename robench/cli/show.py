"""`robench show`: the card of one thing, and the network of a model."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.text import Text

from robench.cli import console
from robench.cli.network import network_summary


def show(
    kind: Annotated[str, typer.Argument(help="model, attack, defense, dataset or recipe.")],
    name: Annotated[str, typer.Argument(help="Its name, as `robench list` has it.")],
    classes: Annotated[int, typer.Option(min=1, help="For a model's network: classes.")] = 2,
    image_size: Annotated[int, typer.Option(min=1, help="Its height and width, pixels.")] = 224,
    channels: Annotated[int, typer.Option(min=1, help="Its channels.")] = 3,
    depth: Annotated[int, typer.Option(min=1, help="How deep its layer table goes.")] = 1,
) -> None:
    """Print the card of one thing, and of a model its size, its cost and its layers."""
    from robench.errors import unknown
    from robench.registry import KINDS, Registry

    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    entry = Registry.discover().get(kind, name)
    card = entry.card
    screen = console.out()
    screen.print(Text.assemble((card.name, "bold"), f"  {card.kind} · {entry.origin} · "
                               f"version {card.version}"))
    screen.print(Text(card.summary))
    for title, values in (("settings", card.params), ("traits", card.traits),
                          ("paper", card.paper or {}), ("published", card.published)):
        if values:
            screen.print(Text(f"\n{title}", style="dim"))
            for key, value in values.items():
                screen.print(Text(f"  {key}: {_shown(value)}"))
    if card.open_params:
        screen.print(Text("  and others, which are passed on"))
    if card.alias_of:
        screen.print(Text(f"\nin a matrix: {card.alias_of}, pruned so: {_shown(card.pruning)}"))
    if card.notes:
        screen.print(Text("\nnotes", style="dim"))
        for note in card.notes:
            screen.print(Text(f"  – {note}"))
    screen.print(Text(f"\nmade by {card.factory}", style="dim"))
    if kind == "model" and not card.is_provider:
        for part in network_summary(entry, num_classes=classes, in_channels=channels,
                                    image_size=image_size, depth=depth):
            screen.print(part)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
