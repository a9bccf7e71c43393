"""The conformance of a model: a factory of networks from pixels to logits."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from robench.freezing import frozen
from robench.normalisation import Normalize, with_normalisation
from robench.testing.core import Check, NotApplicable, Violation, expect, run, run_first
from robench.testing.model_case import Build, Built, Shape, build_all
from robench.testing.passes import check_close, check_gradient, logits_of
from robench.testing.randomness import seeded
from robench.testing.stated import check_settings, checked_with, traits_of

# The images that are also shown alone and among their copies.
_PROBED = [0, 3]


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
    return list(model_checks(
        factory, checked_with(factory, params), traits_of(factory, "model")
    ))


def model_checks(
    factory: Callable[..., nn.Module], params: Mapping[str, Any], traits: Mapping[str, Any]
) -> Iterator[Check]:
    """As `check_model`, each check as it ends, with the traits of a card that is not attached to
    the factory."""
    fresh = itertools.count()

    def build(shape: Shape, seed: int) -> nn.Module:
        with seeded(next(fresh)):  # robench seeds torch, and nothing else
            torch.default_generator.manual_seed(seed)
            return factory(num_classes=shape.num_classes, in_channels=shape.in_channels,
                           image_size=(shape.side, shape.side), **params)

    built: list[Built] = []
    first: dict[str, Callable[[], str]] = {
        "settings": lambda: check_settings(factory, "model", params),
        "builds": lambda: build_all(build, built),
        "mean and std": lambda: _mean_and_std(built),
        "logits": lambda: _logits(built),
        "finite": lambda: _finite(built),
    }
    whole = yield from run_first(first, harmless=("settings",))
    if not whole:
        return
    subject = Subject(tuple(built), build, stochastic=traits.get("stochastic") is True)
    yield from run(_CHECKS, subject)


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


def _logits(networks: Sequence[Built]) -> str:
    for built in networks:
        logits = built.logits
        rows, classes = len(built.images), built.shape.num_classes
        allowed = [[rows, classes]] + ([[rows, 1]] if classes == 2 else [])
        expect(isinstance(logits, Tensor), f"{type(logits).__name__} for {built.shape}",
               "a tensor of logits")
        expect(list(logits.shape) in allowed, f"{list(logits.shape)} for {built.shape}",
               " or ".join(map(str, allowed)))
        expect(logits.is_floating_point(), f"logits of {logits.dtype}", "floating point")
    return "one row per image, one column per class"


def _finite(networks: Sequence[Built]) -> str:
    for built in networks:
        bad = (~torch.isfinite(built.logits)).flatten(1).any(dim=1)
        expect(not bool(bad.any()), f"NaN or infinite logits for {int(bad.sum())} of "
               f"{len(bad)} images, {built.shape}", "finite ones")
    return "on smooth, black and striped images"


def _leaves_images_alone(subject: Subject) -> str:
    for built in subject.networks:
        given = built.images.clone()
        with frozen(built.network), seeded(0), torch.no_grad():
            built.network(given)
        expect(torch.equal(given, built.images), f"images changed in place, {built.shape}",
               "them as they were")
    return ""


def _deterministic(subject: Subject) -> str:
    def again(built: Built) -> Tensor:
        return logits_of(built.network, built.images, seed=1)

    return _nearly_equal(subject, "two passes over the same images", again)


def _without_batch_mates(subject: Subject) -> str:
    def among_copies(built: Built) -> Tensor:
        copies = (image.expand_as(built.images) for image in built.images[_PROBED])
        return torch.cat([logits_of(built.network, images)[:1] for images in copies])

    return _nearly_equal(subject, "an image among others and among its copies", among_copies)


def _batch_of_one(subject: Subject) -> str:
    def alone(built: Built) -> Tensor:
        return torch.cat([logits_of(built.network, image[None]) for image in built.images[_PROBED]])

    for built in subject.networks:
        shape = [len(_PROBED), built.logits.shape[1]]
        got = list(alone(built).shape)
        expect(got == shape, f"{got} for single images, {built.shape}", f"{shape}")
    if subject.stochastic:
        return "works"
    try:
        return _nearly_equal(subject, "an image in a batch and alone", alone)
    except Violation:
        # A discontinuous network may turn the rounding of another batch size into another answer.
        for built in subject.networks:
            double = copy.deepcopy(built.network).double()
            exact = Built(built.shape, double, built.images.double())
            check_close(exact.logits[_PROBED], alone(exact),
                        f"an image in a batch and alone, in float64 too, {built.shape}")
        return "equal in float64 alone"


def _gradient(subject: Subject) -> str:
    for built in subject.networks:
        check_gradient(built.network, built.images,
                       "a gradient of the cross-entropy in the pixels", str(built.shape))
    return "of the cross-entropy, finite and not zero"


def _same_seed(subject: Subject) -> str:
    for built in subject.networks:
        first, again = (subject.build(built.shape, 0).state_dict() for _ in range(2))
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
            check_close(logits_of(trained, built.images), logits_of(fresh, built.images),
                        f"before saving and after loading, {built.shape}")
    return "as safetensors, after a pass in training mode"


_CHECKS: dict[str, Callable[[Subject], str]] = {
    "leaves its input alone": _leaves_images_alone,
    "deterministic in eval mode": _deterministic,
    "no batch mates in eval mode": _without_batch_mates,
    "batch of one": _batch_of_one,
    "gradient reaches the input": _gradient,
    "same seed, same weights": _same_seed,
    "saves and loads": _saves_and_loads,
}


def _nearly_equal(subject: Subject, what: str, other: Callable[[Built], Tensor]) -> str:
    """Compare the logits with other ones; not for networks that draw random numbers."""
    if subject.stochastic:
        raise NotApplicable("its card says stochastic: true")
    for built in subject.networks:
        found = other(built)
        expected = built.logits if len(found) == len(built.logits) else built.logits[_PROBED]
        check_close(expected, found, f"{what}, {built.shape}")
    return ""
