"""What `robench show model` prints of the network itself: its size, its cost, its layers."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from robench.registry import Entry

_SHOWN_AT_MOST = 400


def network_summary(
    entry: Entry, *, num_classes: int, in_channels: int, image_size: int, depth: int
) -> Iterator[RenderableType]:
    """What to print of a model's network at its default settings. Raises UserError, as the model
    does, where it cannot be built so."""
    from robench.models.build import bare
    from robench.models.summary import summarise

    size = (image_size, image_size)
    network = bare(entry.load(), num_classes=num_classes, in_channels=in_channels,
                   image_size=size, settings=entry.card.params)
    summary = summarise(network, in_channels=in_channels, image_size=size, depth=depth)
    yield Text(f"\nnetwork for {num_classes} classes, {in_channels}×{image_size}×{image_size}",
               style="dim")
    yield Text(f"  parameters: {summary.parameters:,} ({summary.parameters / 1e6:.2f} M)")
    yield Text(f"  FLOPs of one image: {summary.flops:,} ({summary.flops / 1e9:.2f} G; a "
               "multiplication and an addition are two)")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("layer", overflow="fold")
    table.add_column("kind", overflow="fold")
    for title in ("gives", "parameters", "MFLOPs"):
        table.add_column(title, justify="right", no_wrap=True)
    for layer in summary.layers[:_SHOWN_AT_MOST]:
        indent = "  " * (layer.depth - 1)
        table.add_row(
            Text(indent + layer.name), Text(layer.kind), "×".join(map(str, layer.output)),
            f"{layer.parameters:,}" if layer.parameters else "–",
            f"{layer.flops / 1e6:,.2f}" if layer.flops else "–",
        )
    yield Padding(table, (1, 0, 0, 2))
    if len(summary.layers) > _SHOWN_AT_MOST:
        yield Text(f"  … and {len(summary.layers) - _SHOWN_AT_MOST} more", style="dim")
