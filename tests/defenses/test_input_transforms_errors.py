"""Settings that no transform has, and images that do not fit."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from torch import nn

from robench.defenses.bit_depth import bit_depth
from robench.defenses.clahe import clahe
from robench.defenses.gaussian_blur import gaussian_blur
from robench.defenses.median import median
from robench.defenses.medrdf import medrdf
from robench.defenses.nl_means import nl_means
from robench.defenses.randomisation import randomisation
from robench.defenses.smoothing import smoothing
from robench.defenses.tv_minimisation import tv_minimisation
from robench.errors import UserError

from .images import pixels

CASES = [
    (median, {"size": 2}, "size, got 2\n  expected an odd whole number"),
    (median, {"size": 0}, "size, got 0"),
    (median, {"size": True}, "size, got True"),
    (gaussian_blur, {"sigma": 0}, "sigma, got 0\n  expected a number in (0, inf"),
    (gaussian_blur, {"sigma": float("nan")}, "sigma, got nan"),
    (gaussian_blur, {"sigma": float("inf")}, "sigma, got inf"),
    (bit_depth, {"bits": 0}, "bits, got 0\n  expected a whole number from 1 to 8"),
    (bit_depth, {"bits": 9}, "bits, got 9"),
    (bit_depth, {"bits": 4.0}, "bits, got 4.0"),
    (tv_minimisation, {"weight": 0.0}, "weight, got 0.0"),
    (tv_minimisation, {"dropout": 1.0}, "dropout, got 1.0\n  expected a number in [0, 1)"),
    (tv_minimisation, {"dropout": -0.1}, "dropout, got -0.1"),
    (tv_minimisation, {"steps": 0}, "steps, got 0"),
    (nl_means, {"search": 4}, "search, got 4"),
    (nl_means, {"patch": 2}, "patch, got 2"),
    (nl_means, {"strength": 0.0}, "strength, got 0.0"),
    (clahe, {"clip_limit": -1.0}, "clip_limit, got -1.0"),
    (clahe, {"grid": 1}, "grid, got 1"),
    (clahe, {"sigma": -1.0}, "sigma, got -1.0\n  expected a number in [0, inf"),
    (randomisation, {"scale": 1.0}, "scale, got 1.0\n  expected a number in (1, inf"),
    (smoothing, {"sigma": 0.0}, "sigma, got 0.0"),
    (smoothing, {"copies": 0}, "copies, got 0"),
    (medrdf, {"denoiser": "medien"}, "did you mean 'median'?"),
    (medrdf, {"checkpoint": "a.safetensors"}, "none with denoiser 'median'"),
    (medrdf, {"denoiser": "autoencoder"}, "checkpoint, got None"),
    (medrdf, {"sigma": -1.0, "denoiser": "nl-means"}, "sigma, got -1.0"),
]


@pytest.mark.parametrize(("factory", "settings", "told"), CASES)
def test_refused(factory: Callable[..., nn.Module], settings: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        factory(nn.Identity(), **settings)


def test_images_no_larger_than_the_grid() -> None:
    with pytest.raises(UserError, match="grid, got 8") as caught:
        clahe(nn.Identity())(pixels(1, 1, 8, 20))
    assert "the images are 8×20" in str(caught.value)
