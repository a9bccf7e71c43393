"""Settings and images that the residual shrinkage networks cannot be built for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from robench.errors import UserError
from robench.models.drsn import drsn, drsn_tvl
from robench.models.shrinkage import ResidualShrinkageUnit, Shrinkage

SHAPE: dict[str, Any] = {"num_classes": 3, "in_channels": 1, "image_size": (64, 64)}
SMALL = {"backbone": "mobilenetv3_small_050", "width": 8, "units": 1}


@pytest.mark.parametrize(("settings", "told"), [
    ({"width": 0}, "width, got 0\n  expected a whole number ≥ 1"),
    ({"width": 2.0}, "width, got 2.0"),
    ({"units": True}, "units, got True"),
    ({"dropout": 1.0}, "dropout, got 1.0\n  expected a number of at least 0 and below 1"),
    ({"dropout": "0.3"}, "dropout, got '0.3'"),
    ({"threshold": "channel"}, "threshold, got 'channel'\n  expected channel-wise or shared"),
    ({"fc_reduction": 0}, "fc_reduction, got 0"),
    ({"fc_reduction": 1.5}, "fc_reduction, got 1.5"),
    ({"head": "detect"}, "did you mean 'detection'"),
    ({"head": "detection"}, "clean from attacked images, got 3\n  expected num_classes 2"),
])
def test_settings_of_both(settings: dict[str, Any], told: str) -> None:
    for factory, others in ((drsn, {}), (drsn_tvl, SMALL)):
        with pytest.raises(UserError) as caught:
            factory(**SHAPE, **{**others, **settings})
        assert told in str(caught.value)


@pytest.mark.parametrize(("size", "settings", "told"), [
    ((64, 15), {}, "image_size, got (64, 15)\n  expected at least 16 pixels a side"),
    ((3, 28), {}, "image_size, got (3, 28)\n  expected at least 4 pixels a side"),
    ((8, 8), {"stem": "strided"}, "at least 16 pixels"),
    ((64, 64), {"stem": "imagenet"}, "stem, got 'imagenet'\n  expected auto or small or strided"),
])
def test_drsn_images_and_stem(
    size: tuple[int, int], settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError) as caught:
        drsn(**{**SHAPE, "image_size": size}, **settings)
    assert told in str(caught.value)


@pytest.mark.parametrize(("size", "backbone", "told"), [
    ((28, 28), "vgg11", "image_size, got (28, 28)\n  expected at least 32 pixels a side"),
    ((64, 64), "inception_v3", "at least 75 pixels a side for backbone inception_v3"),
    ((64, 15), "mobilenetv3_small_050", "image_size, got (64, 15)\n  expected at least 16"),
    ((64, 64), "vit_tiny_patch16_224", "backbone, got 'vit_tiny_patch16_224'\n  expected a conv"),
    ((224, 224), "swin_tiny_patch4_window7_224", "which has a feature map"),
    ((64, 64), "efficientnet_b77", "unknown backbone: network of timm 'efficientnet_b77'"),
    ((64, 64), 7, "unknown backbone"),
])
def test_backbones_and_their_images(size: tuple[int, int], backbone: Any, told: str) -> None:
    with torch.device("meta"), pytest.raises(UserError) as caught:
        drsn_tvl(**{**SHAPE, "image_size": size}, backbone=backbone)
    assert told in str(caught.value)


@pytest.mark.parametrize("error", [
    OSError("no route to huggingface.co"), RuntimeError("No pretrained weights exist"),
    ConnectionError("Name or service not known"),
])
def test_weights_that_cannot_be_downloaded(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = timm.create_model

    def offline(name: str, *, pretrained: bool = False, **settings: Any) -> Any:
        if pretrained:
            raise error
        return made(name, **settings)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError) as caught:
        drsn_tvl(**SHAPE, **SMALL, pretrained=True)
    assert str(error) in str(caught.value)
    assert "pretrained: the weights of timm/mobilenetv3_small_050" in str(caught.value)
    assert "pretrained: FILE with the weights" in str(caught.value)


def test_weights_of_another_network(tmp_path: Path) -> None:
    weights = timm.create_model("mobilenetv3_small_050").state_dict()
    path = tmp_path / "weights.safetensors"
    for change, told in (
        ({"conv_stem.weight": torch.zeros(8, 3, 3, 3)}, "'conv_stem.weight' has another shape"),
        ({"bn1.weight": None}, "lacks 'bn1.weight'"),
        ({"blocks.9.weight": torch.zeros(2)}, "holds 'blocks.9.weight'"),
    ):
        changed = {**weights, **change}
        save_file({name: tensor for name, tensor in changed.items() if tensor is not None}, path)
        with pytest.raises(UserError) as caught:
            drsn_tvl(**SHAPE, **SMALL, pretrained=str(path))
        assert told in str(caught.value)
        assert f"pretrained: {path}" in str(caught.value)
    with pytest.raises(UserError, match="no such checkpoint"):
        drsn_tvl(**SHAPE, **SMALL, pretrained=str(tmp_path / "absent.safetensors"))
    with pytest.raises(UserError, match="pretrained, got 1"):
        drsn_tvl(**SHAPE, **SMALL, pretrained=1)  # type: ignore[arg-type]


def test_units_check_their_settings() -> None:
    with pytest.raises(UserError, match="threshold"):
        Shrinkage(4, threshold="none")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="fc_reduction"):
        ResidualShrinkageUnit(4, 4, fc_reduction=-1)
