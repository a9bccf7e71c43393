"""A denoising auto-encoder out of a file, in front of any network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import robench
from robench import api
from robench.defenses.autoencoder import autoencoder
from robench.defenses.medrdf import medrdf
from robench.errors import UserError
from robench.models.autoencoder import DenoisingAutoencoder
from robench.testing import check_defense

from .images import linear, pixels, seeded


@pytest.fixture
def trained() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = DenoisingAutoencoder(1, width=4)
        made(torch.rand(8, 1, 16, 16))  # batch statistics other than those of a new one
    return made.eval()


def saved(path: Path, module: nn.Module, prefix: str = "") -> str:
    save_file({prefix + name: tensor for name, tensor in module.state_dict().items()}, path)
    return str(path)


def test_the_network_sees_denoised_pixels(trained: nn.Module, tmp_path: Path) -> None:
    network, images = linear(1, 16), pixels(3, 1, 16, 16)
    guarded = autoencoder(network, checkpoint=saved(tmp_path / "a.safetensors", trained)).eval()
    assert torch.equal(guarded(images), network(trained(images)))


def test_the_denoiser_of_a_stored_network_is_taken(trained: nn.Module, tmp_path: Path) -> None:
    whole = nn.ModuleDict({"denoiser": trained, "classifier": nn.Linear(3, 2)})
    guarded = autoencoder(linear(1, 16), checkpoint=saved(tmp_path / "a.safetensors", whole))
    images = pixels(2, 1, 16, 16)
    assert torch.equal(guarded.eval()[0](images), trained(images))
    torch.save(whole.state_dict(), tmp_path / "a.pt")
    again = autoencoder(linear(1, 16), checkpoint=str(tmp_path / "a.pt"))
    assert torch.equal(again.eval()[0](images), trained(images))


def test_it_is_conformant_for_the_channels_it_has(trained: nn.Module, tmp_path: Path) -> None:
    for channels in (1, 3):
        path = saved(tmp_path / f"{channels}.safetensors", DenoisingAutoencoder(channels, width=4))
        checks = check_defense(_for_channels, checkpoint=path, channels=channels)
        assert [check.name for check in checks if not check.passed] == []


def _for_channels(network: nn.Module, *, checkpoint: str = "", channels: int = 1) -> nn.Module:
    if next(network.parameters()).shape[1] != channels:
        raise UserError("other channels")
    return autoencoder(network, checkpoint=checkpoint)


def test_medrdf_takes_one_too(trained: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", trained)
    guarded = medrdf(linear(1, 16), copies=3, denoiser="autoencoder", checkpoint=path).eval()
    assert seeded(guarded, pixels(2, 1, 16, 16)).shape == (2, 3)


@pytest.mark.parametrize(("shape", "told"), [
    ((1, 3, 16, 16), r"trained for 1 channels, got 'images of 3×16×16'"),
    ((1, 1, 7, 16), "too small for the auto-encoder, got '7×16'"),
])
def test_images_that_do_not_fit(trained, tmp_path: Path, shape, told: str) -> None:
    guarded = autoencoder(nn.Flatten(), checkpoint=saved(tmp_path / "a.safetensors", trained))
    with pytest.raises(UserError, match=told) as caught:
        guarded(pixels(*shape))
    assert "a.safetensors" in str(caught.value)


def test_files_that_hold_none(tmp_path: Path) -> None:
    other = saved(tmp_path / "other.safetensors", nn.Linear(3, 2))
    broken = DenoisingAutoencoder(1, width=4).state_dict()
    del broken["last.bias"]
    save_file(broken, tmp_path / "broken.safetensors")
    for checkpoint, told in (
        (None, "the path of"), ("", "the path of"), (other, "no denoising auto-encoder"),
        (str(tmp_path / "nowhere.safetensors"), "no such checkpoint"),
        (str(tmp_path / "broken.safetensors"), "lacks 'last.bias'"),
    ):
        with pytest.raises(UserError, match=told):
            autoencoder(nn.Flatten(), checkpoint=checkpoint)


def matrix(checkpoint: str, **others: object) -> dict[str, object]:
    return {"name": "guarded", "datasets": [{"digits": {"limit": {"train": 60, "test": 20}}}],
            "models": [{"small-cnn": {"width": 4}}], "recipes": [{"standard": {"epochs": 1}}],
            "defenses": [{"autoencoder": {"checkpoint": checkpoint}}], "attacks": ["fgsm"],
            "epsilons": [0.1], **others}


def test_in_a_matrix_the_content_counts_and_not_the_path(trained, tmp_path: Path) -> None:
    def key(path: str) -> str:
        (cell,) = api.plan(matrix(path), store=tmp_path / "store").prepared.plan.cells
        return cell.key

    first = key(saved(tmp_path / "a.safetensors", trained))
    assert key(saved(tmp_path / "b.safetensors", trained)) == first
    with torch.no_grad():
        trained.last.bias.add_(1.0)
    assert key(saved(tmp_path / "a.safetensors", trained)) != first


def test_a_matrix_runs_with_it(trained: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", trained)
    board = robench.run(matrix(path), store=tmp_path / "store").leaderboard()
    assert board["defense"].tolist()[0] == "autoencoder"


def test_what_does_not_fit_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    colour = saved(tmp_path / "c.safetensors", DenoisingAutoencoder(3, width=4))
    for path, told in ((colour, "trained for 3 channels"), ("nowhere.safetensors", "cannot read")):
        with pytest.raises(UserError, match=told) as caught:
            robench.run(matrix(path), store=tmp_path / "store")
        assert "defenses[0]" in str(caught.value)
    assert not list((tmp_path / "store").glob("**/*.safetensors"))
