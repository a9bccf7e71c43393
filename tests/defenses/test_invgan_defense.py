"""The projection of an InvGAN out of a file, in front of any network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import robench
from robench import api
from robench.defenses.inverted_gan import inverted_gan_from
from robench.defenses.invgan import Projection, invgan
from robench.errors import UserError
from robench.models.dcgan import Canvas, Critic, Encoder, Generator
from robench.models.invgan import InvGan
from robench.testing import check_defense

from .images import linear, pixels, slope_error


def gan(*size: int, channels: int = 1, resolution: int = 64, latent: int = 6) -> InvGan:
    """As from a training: batch statistics are not those of a new one, and images differ in what
    is made of them."""
    canvas = Canvas.of((size[0], size[1]), resolution=resolution)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = InvGan(
            generator=Generator(canvas, in_channels=channels, latent=latent, width=4),
            critic=Critic(canvas, in_channels=channels, width=4),
            encoder=Encoder(canvas, in_channels=channels, latent=latent, width=4),
            classifier=nn.Linear(3, 2),
        )
        for _ in range(20):
            made.generator(torch.randn(16, latent))
        with torch.no_grad():
            for layer in (*made.encoder.layers, made.generator.layers[-3]):
                if hasattr(layer, "weight"):
                    layer.weight.mul_(4.0)
    return made.eval()


def saved(path: Path, whole: nn.Module, *, without: str = "no part") -> str:
    save_file({name: tensor.contiguous() for name, tensor in whole.state_dict().items()
               if not name.startswith(without)}, path)
    return str(path)


@pytest.mark.parametrize(("size", "channels", "resolution"), [
    ((8, 8), 1, 64), ((28, 28), 1, 64), ((32, 32), 3, 64), ((44, 30), 2, 64), ((96, 80), 1, 50),
    ((100, 40), 1, 64),
])
def test_the_network_sees_what_the_trained_gan_makes_of_an_image(
    size: tuple[int, int], channels: int, resolution: int, tmp_path: Path
) -> None:
    whole = gan(*size, channels=channels, resolution=resolution)
    network, images = nn.Flatten(), pixels(3, channels, *size)
    guarded = invgan(network, checkpoint=saved(tmp_path / "a.safetensors", whole)).eval()
    with torch.no_grad():
        made = guarded(images)
        assert torch.allclose(made, network(whole.project(images)), atol=1e-5)
    assert float(made.std(dim=0).max()) > 0.02, "it depends on the image"


def test_generator_and_encoder_alone_are_taken(tmp_path: Path) -> None:
    whole, network = gan(28, 28), linear(1, 28)
    path = saved(tmp_path / "a.safetensors", whole, without="critic.")
    guarded = invgan(network, checkpoint=path)
    parts = (whole.generator, whole.encoder, network)
    counted = sum(len(list(part.parameters())) for part in parts)
    assert len(list(guarded.parameters())) == counted
    torch.save(whole.state_dict(), tmp_path / "a.pt")
    again = invgan(network, checkpoint=str(tmp_path / "a.pt")).eval()
    images = pixels(2, 1, 28, 28)
    assert torch.equal(again(images), guarded.eval()(images))


def test_its_gradient_is_exact(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", gan(28, 28))
    guarded = invgan(linear(1, 28), checkpoint=path).double().eval()
    assert slope_error(guarded, pixels(2, 1, 28, 28)) < 1e-5


def test_refinement_is_the_descent_of_an_optimiser_for_each_image_alone(tmp_path: Path) -> None:
    path, images = saved(tmp_path / "a.safetensors", gan(28, 28)), pixels(3, 1, 28, 28)
    guarded = invgan(nn.Flatten(), checkpoint=path, refine_steps=12, refine_learning_rate=100.0)
    with torch.no_grad():
        made = guarded.eval()(images)
        assert torch.equal(guarded(images), made)
    whole = gan(28, 28)
    for image, refined in zip(images, made, strict=True):
        latent = whole.encoder(image[None]).detach().requires_grad_(True)
        optimizer = torch.optim.SGD([latent], lr=100.0, momentum=0.7)
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [10], gamma=0.1)
        for _ in range(12):
            optimizer.zero_grad()
            nn.functional.mse_loss(whole.generator(latent), image[None]).backward()
            optimizer.step()
            schedule.step()
        expected = whole.generator(latent).detach()
        assert torch.allclose(refined, expected.flatten(), atol=1e-4)
        started = whole.project(image[None]).detach()
        far = [float(nn.functional.mse_loss(each, image[None])) for each in (started, expected)]
        assert far[1] < far[0] - 1e-3


def test_the_backward_pass_of_a_refinement_is_that_of_the_plain_projection(tmp_path: Path) -> None:
    path, network = saved(tmp_path / "a.safetensors", gan(28, 28)), linear(1, 28)

    def gradient(steps: int) -> tuple[Tensor, Tensor]:
        settings = {"refine_steps": steps, "refine_learning_rate": 100.0}
        guarded = invgan(network, checkpoint=path, **settings).eval()
        images = pixels(2, 1, 28, 28).requires_grad_(True)
        logits = guarded(images)
        return logits.detach(), torch.autograd.grad(logits[:, 0].sum(), images)[0]

    (plain, slope), (refined, stand_in) = gradient(0), gradient(5)
    assert not torch.allclose(plain, refined, atol=1e-3)
    assert float(slope.abs().amax()) > 0
    torch.testing.assert_close(stand_in, slope)  # the network is linear: its own slope is the same


@pytest.mark.parametrize("steps", [0, 2])
def test_it_is_conformant_for_the_channels_it_has(steps: int, tmp_path: Path) -> None:
    for channels in (1, 3):
        path = saved(tmp_path / f"{channels}.safetensors", gan(32, 32, channels=channels))
        checks = check_defense(_for_channels, checkpoint=path, channels=channels, steps=steps)
        assert [check.name for check in checks if not check.passed] == []


def _for_channels(
    network: nn.Module, *, checkpoint: str = "", channels: int = 1, steps: int = 0
) -> nn.Module:
    if next(network.parameters()).shape[1] != channels:
        raise UserError("other channels")
    return invgan(network, checkpoint=checkpoint, refine_steps=steps)


@pytest.mark.parametrize(("trained", "fitting"), [
    ((28, 28), [(25, 25), (32, 32), (224, 224), (30, 26)]), ((44, 30), [(42, 29)]),
    ((224, 224), [(64, 64), (49, 64), (300, 290)]),
])
def test_all_sizes_with_the_canvas_fit(trained, fitting, tmp_path: Path) -> None:
    made = inverted_gan_from(saved(tmp_path / "a.safetensors", gan(*trained)))
    for size in fitting:
        images = Projection(made.eval())(pixels(1, 1, *size))
        assert tuple(images.shape) == (1, 1, *size)


def matrix(checkpoint: str, **settings: object) -> dict[str, object]:
    return {"name": "guarded", "datasets": [{"digits": {"limit": {"train": 60, "test": 20}}}],
            "models": [{"small-cnn": {"width": 4}}], "recipes": [{"standard": {"epochs": 1}}],
            "defenses": [{"invgan": {"checkpoint": checkpoint, **settings}}],
            "attacks": ["fgsm"], "epsilons": [0.1]}


def test_in_a_matrix_the_content_counts_and_not_the_path(tmp_path: Path) -> None:
    def key(path: str) -> str:
        (cell,) = api.plan(matrix(path), store=tmp_path / "store").prepared.plan.cells
        return cell.key

    whole = gan(8, 8)
    first = key(saved(tmp_path / "a.safetensors", whole))
    assert key(saved(tmp_path / "b.safetensors", whole)) == first
    with torch.no_grad():
        whole.encoder.layers[1].bias.add_(1.0)
    assert key(saved(tmp_path / "a.safetensors", whole)) != first


def test_a_matrix_runs_with_it_and_refuses_what_does_not_fit_first(tmp_path: Path) -> None:
    colour = saved(tmp_path / "c.safetensors", gan(8, 8, channels=3))
    with pytest.raises(UserError, match="trained on images of 3×8×8") as caught:
        robench.run(matrix(colour), store=tmp_path / "store")
    assert "defenses[0]" in str(caught.value)
    assert not list((tmp_path / "store").glob("**/*.safetensors"))
    path = saved(tmp_path / "a.safetensors", gan(8, 8))
    board = robench.run(matrix(path, refine_steps=2), store=tmp_path / "store").leaderboard()
    assert board["defense"].tolist()[0] == "invgan"
