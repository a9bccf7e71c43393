"""Settings, files and images that the defense invgan refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from robench.defenses.invgan import invgan
from robench.errors import UserError
from robench.models.autoencoder import DenoisingAutoencoder

from .images import pixels
from .test_invgan_defense import gan, saved


@pytest.mark.parametrize(("settings", "told"), [
    ({"refine_steps": -1}, "refine_steps, got -1"),
    ({"refine_steps": 2.0}, "refine_steps, got 2.0"),
    ({"refine_learning_rate": 0.0}, "refine_learning_rate, got 0.0"),
    ({"refine_learning_rate": float("nan")}, "refine_learning_rate, got nan"),
    ({"checkpoint": None}, "the path of a trained InvGAN"),
    ({"checkpoint": ""}, "the path of a trained InvGAN"),
    ({"checkpoint": 3}, "the path of a trained InvGAN"),
])
def test_settings(settings: dict[str, object], told: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", gan(8, 8))
    with pytest.raises(UserError, match=told):
        invgan(nn.Flatten(), **{"checkpoint": path, **settings})


def test_files_that_hold_none(tmp_path: Path) -> None:
    def kept(name: str, tensors: dict[str, Tensor]) -> str:
        save_file(tensors, tmp_path / name)
        return str(tmp_path / name)

    whole = gan(8, 8).state_dict()
    broken = {name: tensor for name, tensor in whole.items() if name != "encoder.layers.4.bias"}
    longer = {**whole, "generator.layers.0.bias": torch.zeros(3)}
    flat = {**whole, "encoder.layers.1.weight": torch.zeros(4, 3)}
    for checkpoint, told in (
        (str(tmp_path / "nowhere.safetensors"), "no such checkpoint"),
        (kept("other.safetensors", DenoisingAutoencoder(1, width=4).state_dict()),
         "no InvGAN: the file has no 'encoder.layers.1.weight'"),
        (saved(tmp_path / "half.safetensors", gan(8, 8), without="generator."),
         "no InvGAN: the file has no 'generator.layers.0.weight'"),
        (kept("flat.safetensors", flat), "no InvGAN: the file has no 'encoder.layers.1.weight'"),
        (kept("broken.safetensors", broken), "lacks 'layers.4.bias'"),
        (kept("longer.safetensors", longer), "'layers.0.bias' has another shape"),
        (saved(tmp_path / "oblong.safetensors", gan(44, 30), without="critic."),
         "smallest map has .* a square, in a file without the critic"),
    ):
        with pytest.raises(UserError, match=f"(?s){told}"):
            invgan(nn.Flatten(), checkpoint=checkpoint)


@pytest.mark.parametrize(("shape", "got"), [
    ((1, 3, 28, 28), "3×28×28"), ((1, 1, 24, 24), "1×24×24"), ((1, 1, 28, 40), "1×28×40"),
    ((1, 1, 7, 7), "1×7×7"),
])
def test_images_that_do_not_fit(shape: tuple[int, ...], got: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", gan(28, 28))
    for steps in (0, 2):
        guarded = invgan(nn.Flatten(), checkpoint=path, refine_steps=steps)
        with pytest.raises(UserError, match="trained on images of 1×32×32") as caught:
            guarded(pixels(*shape))
        assert f"images of {got}" in str(caught.value)
        assert "a.safetensors" in str(caught.value)
