"""Randomised smoothing: the vote over Gaussian noise, and the radius it certifies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.defenses.checks import check_number, check_whole
from robench.defenses.voting import Vote
from robench.freezing import frozen


def smoothing(network: nn.Module, *, sigma: float = 0.25, copies: int = 100) -> nn.Module:
    """The smoothed classifier of `network`: see `robench.defenses.voting.Vote`.

    Cohen, Rosenfeld, Kolter 2019 (arXiv 1902.02918), section 3. Its `predict` abstains where the
    vote is not clear; the class of most votes counts here. Raises UserError for settings that are
    none.
    """
    return Vote(network, sigma=sigma, copies=copies)


smoothing.differentiable = False  # type: ignore[attr-defined]
smoothing.stochastic = True  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Certificate:
    """`prediction` holds for every perturbation of an L2 norm below `radius`, in pixel units.

    `prediction` is None and `radius` 0 where the procedure abstains. `votes` of the `n` noisy
    copies were for the class that was tested.
    """

    prediction: int | None
    radius: float
    votes: int
    n: int

    @property
    def abstained(self) -> bool:
        return self.prediction is None


def certify(
    network: nn.Module, images: Tensor, *, sigma: float, n0: int = 100, n: int = 100_000,
    alpha: float = 0.001, batch_size: int = 1000, seed: int = 0,
) -> list[Certificate]:
    """CERTIFY of Cohen et al. 2019, section 3.2.2, for each image of N×C×H×W in [0,1].

    The class of most votes among `n0` noisy copies is tested on `n` others: with probability
    1 − `alpha` its share is at least p, by Clopper & Pearson, and where p is above ½ the radius
    is σ·Φ⁻¹(p). Defaults: their section 4. `network` is the base classifier, in eval mode
    meanwhile; noise is drawn from `seed`, `batch_size` copies at a time. Raises UserError for
    settings that are none.
    """
    from scipy.stats import binomtest, norm

    _check(sigma, alpha, n0=n0, n=n, batch_size=batch_size)
    generator = torch.Generator(images.device).manual_seed(seed)
    certificates = []
    for image in images:
        def votes(count: int, image: Tensor = image) -> Tensor:
            return _votes(network, image, count, sigma, batch_size, generator)

        tested = int(votes(n0).argmax())
        found = int(votes(n)[tested])
        low = binomtest(found, n, alternative="greater").proportion_ci(1 - alpha, "exact").low
        certificates.append(
            Certificate(tested, sigma * float(norm.ppf(low)), found, n) if low > 0.5
            else Certificate(None, 0.0, found, n)
        )
    return certificates


def predict(
    network: nn.Module, images: Tensor, *, sigma: float, n: int = 1000, alpha: float = 0.001,
    batch_size: int = 1000, seed: int = 0,
) -> list[int | None]:
    """PREDICT of Cohen et al. 2019, section 3.2.1: for each image the class of most votes among
    `n`, or None where a two-sided binomial test cannot tell it from the second at level `alpha`.

    As `certify` otherwise.
    """
    from scipy.stats import binomtest

    _check(sigma, alpha, n=n, batch_size=batch_size)
    generator = torch.Generator(images.device).manual_seed(seed)
    predictions: list[int | None] = []
    for image in images:
        most = _votes(network, image, n, sigma, batch_size, generator).topk(2)
        first, second = (int(count) for count in most.values)
        clear = binomtest(first, first + second, 0.5).pvalue <= alpha
        predictions.append(int(most.indices[0]) if clear else None)
    return predictions


def certified_accuracy(
    certificates: Sequence[Certificate], labels: Sequence[int], radius: float
) -> tuple[int, int]:
    """(how many images are right within a radius above `radius`, how many images there are)."""
    certain = sum(
        certificate.prediction == int(label) and certificate.radius > radius
        for certificate, label in zip(certificates, labels, strict=True)
    )
    return certain, len(certificates)


def _votes(
    network: nn.Module, image: Tensor, count: int, sigma: float, batch_size: int,
    generator: torch.Generator,
) -> Tensor:
    """How many of `count` noisy copies of an image C×H×W fall into each class: int64, length K."""
    total: Tensor | None = None
    with frozen(network), torch.no_grad():
        for start in range(0, count, batch_size):
            rows = min(batch_size, count - start)
            noise = torch.empty(rows, *image.shape, device=image.device)
            noisy = image + noise.normal_(std=sigma, generator=generator)
            logits = network(noisy)
            if logits.shape[1] == 1:  # one logit z stands for (0, z)
                logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
            counted = torch.bincount(logits.argmax(dim=1), minlength=logits.shape[1])
            total = counted if total is None else total + counted
    assert total is not None
    return total.cpu()


def _check(sigma: float, alpha: float, **counts: int) -> None:
    check_number("sigma", sigma, above=0.0)
    check_number("alpha", alpha, above=0.0, below=1.0)
    for name, count in counts.items():
        check_whole(name, count, low=1)
