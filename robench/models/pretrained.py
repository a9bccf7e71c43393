"""ImageNet weights, from timm's catalogue or from a local file, into networks built on theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from timm.models import adapt_input_conv
from torch import Tensor, nn

from robench.errors import UserError, nearest
from robench.models.checkpoint import read, without_prefix

_FIRST = "conv1.weight"
_HEAD = "fc."


def start_from_imagenet(
    network: nn.Module, timm_name: str, pretrained: bool | str, *, in_channels: int,
    added: Sequence[str] = (),
) -> None:
    """Put ImageNet weights into `network`, whose tensors are named as in timm's `timm_name`.

    `pretrained`: False leaves the network as it is; True takes timm's weights, downloaded once; a
    path takes those of a local file (safetensors, or a state dict). Tensors with one of `added`
    in their name are the network's own and keep their first values, and so does the head (`fc.`)
    where the number of classes is another. The first convolution is adapted to `in_channels` as
    timm does it. Raises UserError, naming `pretrained`, where the weights are not to be had or do
    not fit; the network is then untouched.
    """
    if pretrained is False:
        return
    if pretrained is True:
        weights, where = _downloaded(timm_name), f"timm/{timm_name}"
    elif isinstance(pretrained, str):
        weights, where = read(Path(pretrained).expanduser()), pretrained
    else:
        raise UserError("pretrained", got=pretrained, expected="true, false or a file's path")
    own = network.state_dict()
    weights = without_prefix(weights, own)
    if _FIRST in weights and weights[_FIRST].shape[1] == 3 != in_channels:
        weights[_FIRST] = adapt_input_conv(in_channels, weights[_FIRST])
    fitting = {
        name: _fitting(name, tensor, weights, where)
        for name, tensor in own.items()
        if not (_is_counter(name) or _is_own(name, tensor, weights, added))
    }
    left = [name for name in weights if name not in own and not name.startswith(_HEAD)]
    if left:
        raise UserError(f"pretrained: '{left[0]}' is no tensor of this network", where=where,
                        nearest=nearest(left[0], own))
    network.load_state_dict({**own, **fitting})


def timm_weights(timm_name: str) -> str:
    """How to get the weights of `timm_name` where there is no network connection."""
    return (f"a network connection, or pretrained: FILE with the weights of timm/{timm_name} "
            "(safetensors, or a state dict)")


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _is_own(name: str, tensor: Tensor, weights: dict[str, Tensor], added: Sequence[str]) -> bool:
    if name.startswith(_HEAD):
        return name not in weights or weights[name].shape != tensor.shape
    return any(part in name for part in added)


def _fitting(name: str, tensor: Tensor, weights: dict[str, Tensor], where: str) -> Tensor:
    if name not in weights:
        raise UserError(f"pretrained: the file lacks '{name}'", where=where,
                        nearest=nearest(name, weights))
    if weights[name].shape != tensor.shape:
        raise UserError(f"pretrained: '{name}' has another shape", where=where,
                        got=list(weights[name].shape), expected=f"{list(tensor.shape)}")
    return weights[name]


def _downloaded(timm_name: str) -> dict[str, Tensor]:
    import timm

    try:
        network = timm.create_model(timm_name, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"pretrained: the weights of timm/{timm_name} cannot be downloaded: "
            f"{str(error).partition(chr(10))[0]}",
            expected=timm_weights(timm_name),
        ) from error
    return dict(network.state_dict())
