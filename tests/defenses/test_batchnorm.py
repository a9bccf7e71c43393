"""BatchNorm statistics estimated anew, against statistics computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robench.defenses.batchnorm import reestimate_batchnorm


def batches(count: int = 3) -> list[Tensor]:
    images = torch.rand(8 * count, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return list(images.split(8))


def network(**norm: object) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, **norm), nn.ReLU(), nn.Dropout(0.5),
            nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3),
        )


@pytest.mark.parametrize("momentum", [0.1, 0.9, None])
def test_statistics_are_means_over_the_batches(momentum: float | None) -> None:
    found = network(momentum=momentum)
    assert reestimate_batchnorm(found, batches()) == 2
    first, norm = found[0], found[1]
    outputs = [first(images).detach().transpose(0, 1).flatten(1) for images in batches()]
    assert torch.allclose(norm.running_mean, torch.stack([o.mean(1) for o in outputs]).mean(0),
                          atol=1e-6)
    assert torch.allclose(norm.running_var, torch.stack([o.var(1) for o in outputs]).mean(0),
                          atol=1e-6)
    assert norm.momentum == momentum


def test_a_later_layer_sees_what_normalised_batches_give_it() -> None:
    found = network()
    reestimate_batchnorm(found, batches())
    means = []
    for images in batches():
        hidden = found[0](images).detach()
        hidden = nn.functional.batch_norm(
            hidden, None, None, found[1].weight.detach(), found[1].bias.detach(), training=True)
        means.append(found[4](hidden.relu()).detach().mean((0, 2, 3)))  # no dropout
    assert torch.allclose(found[5].running_mean, torch.stack(means).mean(0), atol=1e-6)


def test_no_weight_changes_and_everything_is_in_eval_mode() -> None:
    found, before = network(), network()
    reestimate_batchnorm(found.train(), batches())
    for (name, new), old in zip(found.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(new, old), name
        assert new.grad is None
    assert not any(module.training for module in found.modules())
    assert not torch.equal(found[1].running_mean, before[1].running_mean)
    assert not torch.equal(found[1].running_var, before[1].running_var)


def test_it_repeats() -> None:
    one, other = network(), network()
    reestimate_batchnorm(one, batches())
    reestimate_batchnorm(other, batches(1))
    assert not torch.equal(one[1].running_mean, other[1].running_mean)
    reestimate_batchnorm(other, batches())  # what was there before does not count
    for (name, new), old in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(new, old), name


def test_without_batchnorm_nothing_is_done() -> None:
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False))

    def none_needed() -> object:
        raise AssertionError("no image is read")
        yield

    assert reestimate_batchnorm(plain, none_needed()) == 0  # type: ignore[arg-type]


def test_a_failing_pass_leaves_the_momentum() -> None:
    found = network()
    with pytest.raises(RuntimeError):
        reestimate_batchnorm(found, [torch.zeros(2, 5, 6, 6)])
    assert found[1].momentum == 0.1
    assert not found[1].training
