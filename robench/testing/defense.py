"""The conformance of a defense: a network in, a network in pixel space out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robench.errors import UserError
from robench.freezing import frozen
from robench.testing.core import (
    Check,
    NotApplicable,
    Violation,
    expect,
    run,
    run_first,
    told,
)
from robench.testing.networks import pixels, small_network
from robench.testing.passes import check_close, check_gradient, logits_of
from robench.testing.randomness import seeded
from robench.testing.stated import check_settings, check_traits, checked_with, refusal, traits_of

_SIDE = 32
_CLASSES = 10

Wrap = Callable[[nn.Module], nn.Module]


@dataclass(frozen=True)
class Guarded:
    """A defended network, the network inside, and images to show it."""

    defended: nn.Module
    network: nn.Module
    images: Tensor

    def __str__(self) -> str:
        return "grey images" if self.images.shape[1] == 1 else "colour images"


@dataclass(frozen=True)
class Subject:
    """Defended networks, `wrap`, which makes them anew, and what the card promises."""

    guarded: tuple[Guarded, ...]
    wrap: Wrap
    differentiable: bool
    stochastic: bool


def check_defense(factory: Callable[..., nn.Module], **params: Any) -> list[Check]:
    """Check `factory(network, **params)` around small networks for grey and colour images.

    Its attributes `differentiable` (True, if it has none) and `stochastic` (False) say which
    checks apply. A `robench.UserError` for grey or for colour declines that kind of images.
    """
    return list(defense_checks(
        factory, checked_with(factory, params), traits_of(factory, "defense")
    ))


def defense_checks(
    factory: Callable[..., nn.Module], params: Mapping[str, Any], traits: Mapping[str, Any]
) -> Iterator[Check]:
    """As `check_defense`, each check as it ends, with the traits of a card that is not attached
    to the factory."""
    def wrap(network: nn.Module) -> nn.Module:
        return factory(network, **params)

    guarded: list[Guarded] = []
    first: dict[str, Callable[[], str]] = {
        "settings": lambda: check_settings(factory, "defense", params),
        "traits": lambda: _traits(factory, traits),
        "builds": lambda: _wrap_all(wrap, guarded),
        "logits": lambda: _logits(guarded),
    }
    whole = yield from run_first(first, harmless=("settings", "traits"))
    if not whole:
        return
    subject = Subject(
        tuple(guarded), wrap, differentiable=traits.get("differentiable", True) is not False,
        stochastic=traits.get("stochastic", False) is True,
    )
    yield from run(_CHECKS, subject)


def _traits(factory: Any, traits: Mapping[str, Any]) -> str:
    for name in ("differentiable", "stochastic"):
        if name in traits:
            expect(isinstance(traits[name], bool), f"{name} {traits[name]!r}", "True or False")
    check_traits(traits, {name: getattr(factory, name) for name in ("differentiable", "stochastic")
                          if hasattr(factory, name)})
    return (f"differentiable {traits.get('differentiable', True)}, "
            f"stochastic {traits.get('stochastic', False)}")


def _wrap_all(wrap: Wrap, guarded: list[Guarded]) -> str:
    declined = []
    for channels in (1, 3):
        network = _network(channels)
        images = pixels(4, channels, _SIDE)
        images[3] = 0.0
        try:
            with seeded(0):
                defended = wrap(network)
        except UserError as error:
            declined.append(f"declined {channels} channels: {refusal(error)}")
            continue
        except Exception as error:  # a third party's code may raise anything
            raise Violation(f"for {channels} channels: raised {told(error)}") from error
        expect(isinstance(defended, nn.Module), type(defended).__name__, "a torch.nn.Module")
        guarded.append(Guarded(defended, network, images))
    expect(bool(guarded), "; ".join(declined), "a network for grey or colour images")
    return "; ".join([" and ".join(map(str, guarded)), *declined])


def _network(channels: int) -> nn.Module:
    """In training mode and with dropout, as it may come from a recipe; with layers that defenses
    exchange: max-pooling, convolution, ReLU."""
    return nn.Sequential(
        nn.MaxPool2d(2), small_network(in_channels=channels, outputs=_CLASSES, dropout=0.5)
    )


def _keeps_the_weights(subject: Subject) -> str:
    for each in subject.guarded:
        before = _network(each.images.shape[1]).state_dict()
        logits_of(each.defended, each.images)
        for name, tensor in each.network.state_dict().items():
            expect(name in before and torch.equal(tensor, before[name]),
                   f"another '{name}' after wrapping and a pass, {each}", "the weights as given")
    return ""


def _holds_the_network(subject: Subject) -> str:
    for each in subject.guarded:
        each.defended.train()
        each.defended.eval()
        held = set(each.defended.modules())
        own = sum(tensor.numel() for tensor in each.defended.state_dict().values())
        given = sum(tensor.numel() for tensor in each.network.state_dict().values())
        expect(each.network in held or own >= given, "a module without the network's weights",
               "the network as one of its submodules, so that it moves and changes mode with it")
        expect(not any(module.training for module in held),
               "a submodule in training mode after .eval()", "eval mode throughout")
    return ""


def _logits(guarded: Sequence[Guarded]) -> str:
    for each in guarded:
        logits = logits_of(each.defended, each.images)
        expect(isinstance(logits, Tensor) and list(logits.shape) == [len(each.images), _CLASSES],
               f"{list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__} "
               f"for {each}", f"{[len(each.images), _CLASSES]}, as the network gives")
        bad = (~torch.isfinite(logits)).any(dim=1)
        expect(not bool(bad.any()), f"NaN or infinite logits for {int(bad.sum())} of {len(bad)} "
               f"{each}", "finite ones")
        expect(list(logits_of(each.defended, each.images[:1]).shape) == [1, _CLASSES],
               f"another shape for a single image, {each}", f"{[1, _CLASSES]}")
    return "those of the network's shape, finite; also for a single image"


def _leaves_images_alone(subject: Subject) -> str:
    for each in subject.guarded:
        given = each.images.clone()
        with frozen(each.defended), seeded(0), torch.no_grad():
            each.defended(given)
        expect(torch.equal(given, each.images), f"{each} changed in place", "them as they were")
    return ""


def _gradient(subject: Subject) -> str:
    if not subject.differentiable:
        raise NotApplicable("it says differentiable: false")
    for each in subject.guarded:
        check_gradient(each.defended, each.images,
                       "a gradient in the pixels, or differentiable = False", str(each))
    return "finite and not zero"


def _deterministic(subject: Subject) -> str:
    return _compare(subject, "two passes over the same images",
                    lambda each: logits_of(each.defended, each.images, seed=1))


def _same_again(subject: Subject) -> str:
    def again(each: Guarded) -> Tensor:
        with seeded(1):
            defended = subject.wrap(_network(each.images.shape[1]))
        return logits_of(defended, each.images, seed=1)

    return _compare(subject, "the defense built twice, in two global random states", again)


def _without_batch_mates(subject: Subject) -> str:
    def among_copies(each: Guarded) -> Tensor:
        copies = (image.expand_as(each.images) for image in each.images)
        return torch.cat([logits_of(each.defended, images)[:1] for images in copies])

    return _compare(subject, "an image among others and among its copies", among_copies)


_CHECKS: dict[str, Callable[[Subject], str]] = {
    "leaves the network's weights": _keeps_the_weights,
    "eval mode reaches the network": _holds_the_network,
    "leaves its input alone": _leaves_images_alone,
    "gradient reaches the input": _gradient,
    "deterministic in eval mode": _deterministic,
    "the same in a second run": _same_again,
    "no batch mates": _without_batch_mates,
}


def _compare(subject: Subject, what: str, other: Callable[[Guarded], Tensor]) -> str:
    if subject.stochastic:
        raise NotApplicable("it says stochastic: true")
    for each in subject.guarded:
        check_close(logits_of(each.defended, each.images), other(each), f"{what}, {each}")
    return ""
