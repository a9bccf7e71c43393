"""Whole catalogues of networks: timm and torchvision."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

from torch import nn

from robench.errors import UserError, unknown
from robench.models.checkpoint import load_into, read
from robench.models.pretrained import timm_weights
from robench.normalisation import expecting

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def timm_model(
    *, name: str, num_classes: int, in_channels: int, image_size: tuple[int, int],
    pretrained: bool | str = False, **settings: Any,
) -> nn.Module:
    """`timm.create_model(name, …)` with its own mean and std; `settings` are passed on.

    `img_size` is passed to networks that are built for one size. `pretrained` may be a file with
    timm's weights of that network; a head for another number of classes is made anew.
    """
    import timm

    if not timm.is_model(name):
        raise unknown("model of timm", name, timm.list_models())
    if "img_size" in inspect.signature(timm.model_entrypoint(name)).parameters or _sized(name):
        settings = {"img_size": image_size, **settings}
    where = None
    if isinstance(pretrained, str):
        where = pretrained
        weights = read(Path(pretrained).expanduser())
        settings = {"pretrained_cfg_overlay": {"state_dict": weights}, **settings}
    try:
        network: nn.Module = timm.create_model(
            name, pretrained=bool(pretrained), num_classes=num_classes, in_chans=in_channels,
            **settings,
        )
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError) as error:
        raise UserError(f"timm cannot build '{name}': {_told(error)}", where=where) from error
    except OSError as error:
        raise UserError(
            f"pretrained: the weights of timm/{name} cannot be downloaded: {_told(error)}",
            expected=timm_weights(name),
        ) from error
    stated: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    return expecting(network, stated.get("mean", _IMAGENET[0]), stated.get("std", _IMAGENET[1]))


def torchvision_model(
    *, name: str, num_classes: int, in_channels: int, image_size: tuple[int, int],
    pretrained: bool | str = False, **settings: Any,
) -> nn.Module:
    """`torchvision.models.get_model(name, …)` for classification; `settings` are passed on.

    `pretrained` may be a file with torchvision's weights of that network for ImageNet.
    """
    import torchvision.models as catalogue

    names = catalogue.list_models(module=catalogue)
    if name not in names:
        raise unknown("model of torchvision", name, names)
    try:
        network: nn.Module = catalogue.get_model(
            name, weights="DEFAULT" if pretrained is True else None,
            **({} if pretrained else {"num_classes": num_classes}),
            **({"image_size": max(image_size)} if name.startswith("vit") else {}), **settings,
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"torchvision cannot build '{name}': {_told(error)}") from error
    except OSError as error:
        raise UserError(
            f"pretrained: the weights of torchvision/{name} cannot be downloaded: {_told(error)}",
            expected="a network connection, or pretrained: FILE with torchvision's weights",
        ) from error
    if isinstance(pretrained, str):
        load_into(network, read(Path(pretrained).expanduser()), where=pretrained)
    if pretrained:
        _replace_last_linear(network, num_classes)
    if in_channels != 3:
        _replace_first_convolution(network, in_channels)
    return expecting(network, *_IMAGENET)


def _sized(name: str) -> bool:
    return name.startswith(("vit_", "deit", "swin", "beit", "mixer_", "gmlp", "eva"))


def _replace_first_convolution(network: nn.Module, in_channels: int) -> None:
    """Channels as timm does it: the weights of three are averaged into each of the new ones."""
    for path, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            new = copy.deepcopy(layer)
            mean = layer.weight.detach().mean(dim=1, keepdim=True)
            new.weight = nn.Parameter(mean.repeat(1, in_channels, 1, 1) * (3 / in_channels))
            new.in_channels = in_channels
            network.set_submodule(path, new)
            return


def _replace_last_linear(network: nn.Module, num_classes: int) -> None:
    linears = [(path, layer) for path, layer in network.named_modules()
               if isinstance(layer, nn.Linear)]
    path, layer = linears[-1]
    network.set_submodule(path, nn.Linear(layer.in_features, num_classes))


def _told(error: BaseException) -> str:
    """The first line of an error, and the second where the first only announces it."""
    first, _, rest = str(error).partition("\n")
    return f"{first} {rest.strip().partition(chr(10))[0]}" if first.endswith(":") else first
