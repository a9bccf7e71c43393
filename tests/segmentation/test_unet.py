"""U-Net: the paper's widths, any image size, and what every network of robench must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import robench
from robench.normalisation import Normalize
from robench.registry import Registry
from robench.segmentation.unet import UNet, unet


@pytest.fixture(scope="module")
def narrow() -> nn.Module:
    network = robench.model("unet", num_classes=1, in_channels=3, image_size=32, width=4)
    with torch.no_grad():  # statistics of real passes, so that eval mode is not trivial
        network.train()(torch.rand(4, 3, 32, 32))
    return network.eval()


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def expected_parameters(width: int, *, in_channels: int, maps: int) -> int:
    """Counted from the description: 3×3 convolutions without bias, two BatchNorm vectors each."""
    widths = [width * 2**scale for scale in range(5)]

    def pair(before: int, after: int) -> int:
        return 9 * after * (before + after) + 4 * after

    down = sum(pair(a, b) for a, b in zip([in_channels, *widths], widths, strict=False))
    up = sum(2 * w * w * 4 + w + pair(2 * w, w) for w in widths[:-1])
    return down + up + width * maps + maps


@pytest.mark.parametrize(
    ("width", "in_channels", "maps"), [(64, 3, 1), (64, 1, 2), (16, 3, 1), (4, 3, 5)]
)
def test_parameters(width: int, in_channels: int, maps: int) -> None:
    with torch.device("meta"):
        network = unet(num_classes=maps, in_channels=in_channels, image_size=(256, 256),
                       width=width)
    assert parameters(network) == expected_parameters(width, in_channels=in_channels, maps=maps)
    if (width, in_channels, maps) == (64, 3, 1):
        assert parameters(network) == 31_037_633


def test_the_card_states_the_counts() -> None:
    card = Registry.discover().get("model", "unet").card
    counts = []
    for width in (64, 16):
        with torch.device("meta"):
            counts.append(parameters(unet(num_classes=1, in_channels=3, image_size=(256, 256),
                                          width=width)))
    assert any(f"{counts[0]:,}" in note and f"{counts[1]:,}" in note for note in card.notes)
    assert card.traits == {"stochastic": False, "task": "segmentation"}
    assert card.params == {"width": 64}


def test_scales_of_the_default() -> None:
    """Channels and map sizes on the way down and up, as drawn in the paper."""
    with torch.device("meta"):
        network = unet(num_classes=1, in_channels=3, image_size=(256, 256))
        seen: list[tuple[int, ...]] = []
        assert isinstance(network, UNet)
        for stage in [*network.encoder, *network.decoder]:
            stage.register_forward_hook(lambda _module, _given, maps: seen.append(maps.shape[1:]))
        network(torch.empty(1, 3, 256, 256))
    down = [(64, 256, 256), (128, 128, 128), (256, 64, 64), (512, 32, 32), (1024, 16, 16)]
    assert seen == [*down, *reversed(down[:-1])]


def test_first_weights_follow_he() -> None:
    torch.manual_seed(0)
    network = unet(num_classes=1, in_channels=3, image_size=(32, 32), width=16)
    assert isinstance(network, UNet)
    weight = network.encoder[2][3].weight  # 64 to 64 channels
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)


@pytest.mark.parametrize(
    ("size", "channels", "maps"), [((32, 32), 3, 1), ((48, 16), 1, 2), ((33, 47), 3, 3)]
)
def test_forward_and_backward(size: tuple[int, int], channels: int, maps: int) -> None:
    network = robench.model("unet", num_classes=maps, in_channels=channels, image_size=size,
                            width=4)
    assert isinstance(network[0], Normalize)
    images = torch.rand(2, channels, *size, requires_grad=True)
    before = images.detach().clone()
    logits = network.train()(images)
    assert logits.shape == (2, maps, *size)
    logits.sigmoid().sum().backward()
    assert torch.equal(images.detach(), before)
    assert images.grad is not None
    assert (images.grad != 0).any(dim=1).float().mean() > 0.9, "gradient in all of the image"
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("size", [(17, 31), (40, 56), (16, 16), (5, 64)])
def test_a_trained_network_takes_any_size(narrow: nn.Module, size: tuple[int, int]) -> None:
    with torch.no_grad():
        assert narrow(torch.rand(1, 3, *size)).shape == (1, 1, *size)


def test_filling_up_is_zeros_behind_the_normalisation(narrow: nn.Module) -> None:
    images = torch.rand(1, 3, 20, 30)
    filled = torch.full((1, 3, 32, 32), 0.5)  # the mean, that is 0 after normalisation
    filled[..., :20, :30] = images
    with torch.no_grad():
        assert torch.equal(narrow(images), narrow(filled)[..., :20, :30])


def test_the_last_row_and_column_count(narrow: nn.Module) -> None:
    images = torch.rand(1, 3, 33, 33, requires_grad=True)
    narrow(images).sum().backward()
    assert images.grad is not None
    assert images.grad[..., -1, :].abs().sum() > 0
    assert images.grad[..., :, -1].abs().sum() > 0


def test_eval_is_deterministic_and_knows_no_batch_mates(narrow: nn.Module) -> None:
    images = torch.rand(5, 3, 32, 32)
    with torch.no_grad():
        together = narrow(images)
        assert torch.equal(together, narrow(images))
        others = narrow(torch.cat([images[:1], torch.rand(4, 3, 32, 32)]))
        alone = narrow(images[:1])
    assert torch.equal(together[:1], others[:1])
    torch.testing.assert_close(together[:1], alone)


def test_state_dict_goes_through_safetensors(narrow: nn.Module, tmp_path: Path) -> None:
    save_file(narrow.state_dict(), tmp_path / "unet.safetensors")
    again = robench.model("unet", num_classes=1, in_channels=3, image_size=32, width=4, seed=9)
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected: Tensor = narrow(images)
        assert not torch.equal(again(images), expected)
        again.load_state_dict(load_file(tmp_path / "unet.safetensors"))
        assert torch.equal(again(images), expected)
