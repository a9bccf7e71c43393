"""Names that `robench check` does not know."""

from __future__ import annotations

import pytest

from robench.errors import UserError
from robench.registry import Registry
from robench.testing.registered import find


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("fgms", "unknown plugin 'fgms'\n  did you mean 'fgsm'?"),
        ("attack/fgms", "unknown plugin 'attack/fgms'\n  did you mean 'attack/fgsm'?"),
        ("attack/small-cnn", "unknown plugin 'attack/small-cnn'"),
        ("timm/*", "unknown plugin 'timm/*'"),
        ("attack/", "unknown plugin 'attack/'"),
        ("", "unknown plugin ''"),
        ("numpy", "'numpy' is installed, but is no plugin of robench"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(asked: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        find(Registry.discover(), asked)
    assert str(caught.value).startswith(told)
