"""Feature maps of timm's networks: the network without what comes after its last map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robench.errors import UserError, unknown
from robench.models.checkpoint import load_into, read

_SMALLEST = 16
"""Pixels a side: these networks halve the image five times, and smaller ones are all padding."""

_SIZES = (16, 32, 48, 64, 75, 96, 128, 160, 192, 224, 299)


class Backbone(nn.Module):
    """A timm network up to its last feature map: pixels to N×`channels`×h×w.

    What the map does not pass through (pooling, classifier) is taken out of the network. `mean`
    and `std` are those that the network expects, one value for each channel of the image.
    """

    def __init__(
        self, network: nn.Module, channels: int, *, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.network = network
        self.channels = channels
        self.mean = tuple(mean)
        self.std = tuple(std)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.forward_features(images)  # type: ignore[operator]
        return features


def feature_map(
    name: str, pretrained: bool | str, *, in_channels: int, image_size: tuple[int, int]
) -> Backbone:
    """The backbone of timm's `name` for images of `image_size`.

    `pretrained`: False for weights drawn at random, True for timm's, downloaded once, or a path
    to a local file of them (safetensors or a state dict, named as in timm; a classifier in it is
    left out). The first convolution is adapted to `in_channels` as timm does it. Raises UserError
    naming `backbone`, `image_size` or `pretrained`.
    """
    import timm

    if not isinstance(name, str) or not timm.is_model(name):
        raise unknown("backbone: network of timm", name, timm.list_models())
    if not isinstance(pretrained, (bool, str)):
        raise UserError("pretrained", got=pretrained, expected="true, false or a file's path")
    channels, unused = _tried(name, in_channels, image_size)
    network = _made(name, pretrained is True, in_channels)
    for part in unused:
        setattr(network, part, nn.Identity())
    if isinstance(pretrained, str):
        _load(network, Path(pretrained).expanduser(), unused, in_channels)
    stated: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    mean, std = (
        _per_channel(stated.get(key, default), in_channels)
        for key, default in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225)))
    )
    return Backbone(network, channels, mean=mean, std=std)


def _made(name: str, pretrained: bool, in_channels: int) -> nn.Module:
    import timm

    try:
        network: nn.Module = timm.create_model(
            name, pretrained=pretrained, num_classes=0, in_chans=in_channels
        )
    except Exception as error:
        # a missing network shows as one of many exceptions, some not an OSError
        first = str(error).partition("\n")[0]
        if not pretrained:
            raise UserError(f"backbone: timm cannot build it: {first}", got=name) from error
        raise UserError(
            f"pretrained: the weights of timm/{name} cannot be downloaded: {first}",
            expected=f"a network connection, or pretrained: FILE with the weights of timm/{name} "
                     "(safetensors, or a state dict)",
        ) from error
    return network


def _tried(name: str, in_channels: int, image_size: tuple[int, int]) -> tuple[int, list[str]]:
    """Channels of the map, and the parts of the network that it does not pass through.

    Computed on shapes alone (torch's meta device), which costs no arithmetic.
    """
    with torch.device("meta"):
        skeleton = _made(name, False, in_channels).eval()
    used: set[str] = set()
    handles = [
        module.register_forward_hook(lambda *_, part=part: used.add(part))
        for part, child in skeleton.named_children() for module in child.modules()
    ]
    channels = _map_channels(skeleton, in_channels, image_size)
    for handle in handles:
        handle.remove()
    if channels is None:
        raise _unfit(name, skeleton, in_channels, image_size)
    return channels, [part for part, _ in skeleton.named_children() if part not in used]


def _map_channels(
    skeleton: nn.Module, in_channels: int, image_size: tuple[int, int]
) -> int | None:
    """The channels of the map N×C×h×w, or None where there is no such map."""
    if min(image_size) < _SMALLEST:
        return None
    images = torch.empty(1, in_channels, *image_size, device="meta")
    try:
        with torch.no_grad():
            features = skeleton.forward_features(images)  # type: ignore[operator]
    except (RuntimeError, ValueError, AssertionError, AttributeError, TypeError, IndexError):
        return None
    if not isinstance(features, Tensor) or features.dim() != 4 or 0 in features.shape:
        return None
    channels = features.shape[1]
    # a map with the channels last would be read as one of h channels
    return channels if channels == getattr(skeleton, "num_features", channels) else None


def _unfit(
    name: str, skeleton: nn.Module, in_channels: int, image_size: tuple[int, int]
) -> UserError:
    for side in _SIZES:
        if side > min(image_size) and _map_channels(skeleton, in_channels, (side, side)):
            return UserError("image_size", got=tuple(image_size),
                             expected=f"at least {side} pixels a side for backbone {name}")
    return UserError("backbone", got=name,
                     expected="a convolutional network of timm, which has a feature map C×h×w")


def _load(network: nn.Module, path: Path, unused: Sequence[str], in_channels: int) -> None:
    from timm.models import adapt_input_conv

    kept = {
        key: tensor for key, tensor in read(path).items()
        if not any(part in unused for part in key.split(".")[:2])  # the first may be "module"
    }
    for layer in _first_convolutions(network):
        for key, tensor in kept.items():
            if key.endswith(f"{layer}.weight") and tensor.dim() == 4 and tensor.shape[1] == 3:
                kept[key] = adapt_input_conv(in_channels, tensor)
    load_into(network, kept, where=f"pretrained: {path}")


def _first_convolutions(network: nn.Module) -> Sequence[str]:
    named = (getattr(network, "pretrained_cfg", None) or {}).get("first_conv") or ()
    return (named,) if isinstance(named, str) else tuple(named)


def _per_channel(values: Sequence[float], in_channels: int) -> list[float]:
    if len(values) == in_channels:
        return list(values)
    return [sum(values) / len(values)] * in_channels
