"""Straight-through: the forward bits of the transform, the gradient of what stands in."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robench.defenses.backward import StraightThrough, in_range, with_gradient_of


def awkward(values: Tensor) -> Tensor:
    """Values that arithmetic would change: −0, subnormal, infinite."""
    out = torch.round(values * 8) / 8
    out[0], out[1], out[2] = -0.0, 1e-45, float("inf")
    return out


@pytest.mark.parametrize("grad", [True, False])
def test_the_forward_pass_has_the_bits_of_the_transform(grad: bool) -> None:
    values = torch.linspace(0, 1, 50).requires_grad_(grad)
    output = StraightThrough(awkward, torch.sin)(values)
    expected = awkward(values.detach())
    assert torch.equal(output.detach().view(torch.int32), expected.view(torch.int32))
    assert output.requires_grad == grad


@pytest.mark.parametrize(("stand_in", "slope"), [
    (None, torch.ones_like), (torch.sin, torch.cos), (lambda x: x**3, lambda x: 3 * x**2),
])
def test_the_gradient_is_that_of_the_stand_in(stand_in, slope) -> None:
    values = torch.linspace(-2, 2, 31, dtype=torch.float64).requires_grad_(True)
    weights = torch.arange(31, dtype=torch.float64)
    output = StraightThrough(torch.round, stand_in)(values)
    (gradient,) = torch.autograd.grad((output * weights).sum(), values)
    torch.testing.assert_close(gradient, weights * slope(values.detach()))


def test_modules_are_submodules_and_keep_their_weights() -> None:
    through = StraightThrough(nn.Linear(4, 4), nn.Linear(4, 4))
    assert len(list(through.parameters())) == 4
    output = through(torch.rand(2, 4).requires_grad_(True))
    output.sum().backward()
    assert through.transform.weight.grad is None


def test_without_gradients_the_stand_in_is_not_run() -> None:
    def never(values: Tensor) -> Tensor:
        raise AssertionError

    with torch.no_grad():
        assert torch.equal(StraightThrough(torch.round, never)(torch.ones(2)), torch.ones(2))


def test_another_shape_is_refused() -> None:
    through = StraightThrough(torch.round, lambda values: values[:1])
    with pytest.raises(ValueError, match=r"shape \[1\] for a value of \[2\]"):
        through(torch.ones(2).requires_grad_(True))


def test_the_caller_may_change_the_output_in_place() -> None:
    values, stand_in = torch.ones(3), torch.zeros(3, requires_grad=True)
    with_gradient_of(stand_in, values).mul_(5.0)
    assert torch.equal(values, torch.ones(3))


def test_cut_pixels_keep_their_gradient() -> None:
    values = torch.tensor([-1e-7, 0.5, 1.0 + 1e-6]).requires_grad_(True)
    output = in_range(values)
    output.sum().backward()
    assert output.tolist() == [0.0, 0.5, 1.0]
    assert torch.equal(values.grad, torch.ones(3))
