"""InvGAN (Lin et al. 2019): images are projected on what a GAN can generate, then classified."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from robench.models.dcgan import Canvas, Critic, Encoder, Generator
from robench.models.pretrained import start_from_imagenet
from robench.models.resnet import Stem, resnet34
from robench.normalisation import Normalize

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class InvGan(nn.Module):
    """Pixels N×C×H×W in [0,1] → encoder → generator → classifier → logits N×K.

    All four parts are in pixel space: `encoder` maps pixels to latents N×L, `generator` latents
    to pixels of the same size, `classifier` pixels to logits. `critic` maps pixels to scores N.
    It takes no part in a forward pass; only the training of the generator uses it, and it is
    kept here so that a training can be taken up again.
    """

    def __init__(
        self, *, generator: Generator, critic: nn.Module, encoder: nn.Module,
        classifier: nn.Module,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.critic = critic
        self.encoder = encoder
        self.classifier = classifier

    @property
    def latent(self) -> int:
        """The length of a latent vector."""
        return self.generator.latent

    def project(self, images: Tensor) -> Tensor:
        """G(E(x)): the images N×C×H×W the generator makes of what the encoder sees in `images`."""
        return cast(Tensor, self.generator(self.encoder(images)))

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.classifier(self.project(images)))


def invgan_resnet34(
    *, num_classes: int, in_channels: int, image_size: tuple[int, int], latent: int = 128,
    width: int = 64, resolution: int = 64, stem: Stem = "auto", pretrained: bool | str = False,
) -> nn.Module:
    """ResNet-34 behind the projection of InvGAN: pixels N×`in_channels`×H×W in [0,1] to logits.

    Chen et al. 2021 compare with it and publish no configuration. `latent` and `width` (the
    channels of the GAN's largest maps) are those of the authors of InvGAN, `resolution` (the
    longer side of its images at most, larger ones are shrunk for it) is their largest. `stem`
    and `pretrained` are the classifier's.

    Raises UserError naming the setting that is not usable, or `image_size`.
    """
    canvas = Canvas.of(image_size, resolution=resolution)
    generator = Generator(canvas, in_channels=in_channels, latent=latent, width=width)
    critic = Critic(canvas, in_channels=in_channels, width=width)
    encoder = Encoder(canvas, in_channels=in_channels, latent=latent, width=width)
    classifier = resnet34(
        num_classes=num_classes, in_channels=in_channels, image_size=image_size, stem=stem
    )
    start_from_imagenet(classifier, "resnet34.tv_in1k", pretrained, in_channels=in_channels)
    # inside, not stated for the outside: it belongs behind the projection
    normalised = nn.Sequential(_normalisation(in_channels), classifier)
    return InvGan(generator=generator, critic=critic, encoder=encoder, classifier=normalised)


def _normalisation(in_channels: int) -> Normalize:
    if in_channels == len(_MEAN):
        return Normalize(_MEAN, _STD)
    return Normalize([sum(_MEAN) / 3] * in_channels, [sum(_STD) / 3] * in_channels)
