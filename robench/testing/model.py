"""The conformance of a model: a factory of networks from pixels to logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from robench.attacks.losses import cross_entropy
from robench.errors import UserError
from robench.testing.core import Check, NotApplicable, Violation, attempt, expect, run, told
from robench.testing.networks import pixels
from robench.testing.randomness import seeded
from robench.testing.stated import check_settings, refusal, traits_of
from robench.victim import Normalize, Victim, frozen, with_normalisation


@dataclass(frozen=True)
class Shape:
    """What a network is built for."""

    num_classes: int
    in_channels: int
    side: int

    def __str__(self) -> str:
        return f"{self.num_classes} classes, {self.in_channels}×{self.side}×{self.side}"


# Every pair of (classes, channels), (classes, size) and (channels, size) stands here once.
SHAPES = (Shape(10, 3, 32), Shape(2, 1, 32), Shape(10, 1, 64), Shape(2, 3, 64))
# For networks that are made for one size; tried where all others are declined.
LARGE_SHAPES = (Shape(10, 3, 224), Shape(2, 1, 224))

# Relative to the largest logit: libraries compute in another order for other batch sizes.
_TOLERANCE = 1e-4

# The images that are also shown alone and among their copies.
_PROBED = [0, 3]

Build = Callable[[Shape, int], nn.Module]


@dataclass(frozen=True)
class Built:
    """A network as its factory made it, for one shape, and images to show it."""

    shape: Shape
    bare: nn.Module
    images: Tensor

    @property
    def network(self) -> nn.Module:
        """The network behind the normalisation it asks for."""
        return with_normalisation(self.bare, self.shape.in_channels)

    @cached_property
    def logits(self) -> Tensor:
        """Of all images in one pass."""
        return _pass(self.network, self.images.clone())


@dataclass(frozen=True)
class Subject:
    """The networks of a factory, `build`, which makes them anew, and what the card promises."""

    networks: tuple[Built, ...]
    build: Build
    stochastic: bool


def check_model(factory: Callable[..., nn.Module], **params: Any) -> list[Check]:
    """Check `factory(*, num_classes, in_channels, image_size, **params)`, see README.

    It is built for 2 and 10 classes, grey and colour, 32 and 64 pixels. A factory that raises
    `robench.UserError` for a shape declines it, which is no failure; where it declines all of
    them, 224 pixels are tried.
    """
    return model_checks(factory, params, traits_of(factory, "model"))


def model_checks(
    factory: Callable[..., nn.Module], params: Mapping[str, Any], traits: Mapping[str, Any]
) -> list[Check]:
    """As `check_model`, with the traits of a card that is not attached to the factory."""
    def build(shape: Shape, seed: int) -> nn.Module:
        with seeded(seed):
            return factory(num_classes=shape.num_classes, in_channels=shape.in_channels,
                           image_size=(shape.side, shape.side), **params)

    built: list[Built] = []
    checks = [
        attempt("settings", lambda: check_settings(factory, "model", params)),
        attempt("builds", lambda: _build_all(build, built)),
    ]
    if checks[-1].passed:
        checks.append(attempt("mean and std", lambda: _mean_and_std(built)))
    if not checks[-1].passed:  # the other checks would say the same again
        return checks
    subject = Subject(tuple(built), build, stochastic=traits.get("stochastic") is True)
    return checks + run(_CHECKS, subject)


def _build_all(build: Build, built: list[Built]) -> str:
    declined: list[str] = []
    for shapes in (SHAPES, LARGE_SHAPES):
        for shape in shapes:
            try:
                bare = build(shape, 0)
            except UserError as error:
                declined.append(f"declined {shape}: {refusal(error)}")
                continue
            except Exception as error:  # a third party's code may raise anything
                raise Violation(f"for {shape}: raised {told(error)}") from error
            expect(isinstance(bare, nn.Module), type(bare).__name__, "a torch.nn.Module")
            built.append(Built(shape, bare, _images(shape)))
        if built:
            break
    expect(bool(built), "; ".join(declined), "a network for at least one shape")
    return "; ".join([", ".join(str(each.shape) for each in built), *declined])


def _images(shape: Shape) -> Tensor:
    images = pixels(4, shape.in_channels, shape.side)
    images[2], images[3, :, ::2] = 0.0, 1.0
    return images


def _mean_and_std(networks: Sequence[Built]) -> str:
    stated = False
    for built in networks:
        mean, std = (getattr(built.bare, name, None) for name in ("mean", "std"))
        expect((mean is None) == (std is None), "one of them alone", "mean and std, or neither")
        if mean is None or std is None or isinstance(built.bare, Normalize):
            continue
        stated = True
        with_normalisation(built.bare, built.shape.in_channels)
        lowest = min(float(value) for value in std)
        expect(lowest > 0, f"a std of {lowest:g}", "numbers > 0")
    return "stated" if stated else "not stated: pixels come as they are"


def _logits(subject: Subject) -> str:
    for built in subject.networks:
        logits = built.logits
        rows, classes = len(built.images), built.shape.num_classes
        allowed = [[rows, classes]] + ([[rows, 1]] if classes == 2 else [])
        expect(isinstance(logits, Tensor), f"{type(logits).__name__} for {built.shape}",
               "a tensor of logits")
        expect(list(logits.shape) in allowed, f"{list(logits.shape)} for {built.shape}",
               " or ".join(map(str, allowed)))
        expect(logits.is_floating_point(), f"logits of {logits.dtype}", "floating point")
    return "one row per image, one column per class"


def _finite(subject: Subject) -> str:
    for built in subject.networks:
        bad = (~torch.isfinite(built.logits)).flatten(1).any(dim=1)
        expect(not bool(bad.any()), f"NaN or infinite logits for {int(bad.sum())} of "
               f"{len(bad)} images, {built.shape}", "finite ones")
    return "on smooth, black and striped images"


def _leaves_images_alone(subject: Subject) -> str:
    for built in subject.networks:
        given = built.images.clone()
        _pass(built.network, given)
        expect(torch.equal(given, built.images), f"images changed in place, {built.shape}",
               "them as they were")
    return ""


def _deterministic(subject: Subject) -> str:
    def again(built: Built) -> Tensor:
        return _pass(built.network, built.images, seed=1)

    return _nearly_equal(subject, "the logits of two passes over the same images", again)


def _without_batch_mates(subject: Subject) -> str:
    def among_copies(built: Built) -> Tensor:
        copies = (image.expand_as(built.images) for image in built.images[_PROBED])
        return torch.cat([_pass(built.network, images)[:1] for images in copies])

    return _nearly_equal(subject, "an image's logits among others and among its copies", among_copies)


def _batch_of_one(subject: Subject) -> str:
    def alone(built: Built) -> Tensor:
        return torch.cat([_pass(built.network, image[None]) for image in built.images[_PROBED]])

    for built in subject.networks:
        shape = [len(_PROBED), built.logits.shape[1]]
        got = list(alone(built).shape)
        expect(got == shape, f"{got} for single images, {built.shape}", f"{shape}")
    if subject.stochastic:
        return "works"
    return _nearly_equal(subject, "an image's logits in a batch and alone", alone)


def _gradient(subject: Subject) -> str:
    for built in subject.networks:
        victim = Victim(built.network, rowwise=False)
        with frozen(victim):
            labels = victim.logits(built.images).argmax(dim=1)
            _, gradient = victim.gradient(built.images, labels, cross_entropy)
        expect(bool(torch.isfinite(gradient).all()), f"NaN or infinite, {built.shape}",
               "a finite gradient of the cross-entropy in the pixels")
        expect(bool((gradient != 0).any()), f"only zeros, {built.shape}",
               "a gradient of the cross-entropy in the pixels")
    return "of the cross-entropy, finite and not zero"


def _same_seed(subject: Subject) -> str:
    for built in subject.networks:
        again, first = subject.build(built.shape, 0).state_dict(), built.bare.state_dict()
        expect(list(again) == list(first), "two sets of tensors", "the same for one seed")
        for name, tensor in first.items():
            expect(torch.equal(tensor, again[name]), f"'{name}' differs between two builds",
                   "equal weights under one seed: draw them with torch's generator")
    return ""


def _saves_and_loads(subject: Subject) -> str:
    for built in subject.networks:
        channels = built.shape.in_channels
        # Training moves buffers too; this check stands last, so nothing else sees them moved.
        trained, fresh = built.network, with_normalisation(subject.build(built.shape, 1), channels)
        with seeded(0), torch.no_grad():
            trained.train()(built.images.clone())
        weights = {name: tensor.detach().contiguous()
                   for name, tensor in trained.state_dict().items()}
        fresh.load_state_dict(safetensors.torch.load(safetensors.torch.save(weights)))
        if not subject.stochastic:
            _close(_pass(trained, built.images), _pass(fresh, built.images), built.shape,
                   "the logits before saving and after loading")
    return "as safetensors, after a pass in training mode"


_CHECKS: dict[str, Callable[[Subject], str]] = {
    "logits": _logits,
    "finite": _finite,
    "leaves its input alone": _leaves_images_alone,
    "deterministic in eval mode": _deterministic,
    "no batch mates in eval mode": _without_batch_mates,
    "batch of one": _batch_of_one,
    "gradient reaches the input": _gradient,
    "same seed, same weights": _same_seed,
    "saves and loads": _saves_and_loads,
}


def _pass(network: nn.Module, images: Tensor, seed: int = 0) -> Tensor:
    with frozen(network), seeded(seed), torch.no_grad():
        logits: Tensor = network(images)
    return logits


def _nearly_equal(subject: Subject, what: str, other: Callable[[Built], Tensor]) -> str:
    """Compare the logits with other ones; not for networks that draw random numbers."""
    if subject.stochastic:
        raise NotApplicable("its card says stochastic: true")
    for built in subject.networks:
        found = other(built)
        expected = built.logits if len(found) == len(built.logits) else built.logits[_PROBED]
        _close(expected, found, built.shape, what)
    return ""


def _close(one: Tensor, other: Tensor, shape: Shape, what: str) -> None:
    difference = float((one - other).abs().max())
    allowed = _TOLERANCE * max(float(one.abs().max()), 1e-3)
    if not difference <= allowed:
        raise Violation(f"{what} differ by {difference:.2g}, expected at most {allowed:.2g}; "
                        f"{shape}")
