import copy

import pytest
import torch
from torch import nn

import robench
from robench.snapshots import Snapshot


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                         nn.Dropout(0.2), nn.Linear(144, 3))


def test_modes_and_flags_are_no_change():
    made = network()
    snapshot = Snapshot.of(made)
    made.eval().requires_grad_(False)
    assert snapshot.still_holds(made)


def step(made: nn.Module) -> None:
    made(torch.rand(2, 1, 8, 8)).sum().backward()
    torch.optim.SGD(made.parameters(), lr=0.1).step()


CHANGES = {
    "an optimiser": step,
    "past the count of versions": lambda made: made[0].weight.data.view(-1)[3].add_(1e-3),
    "other statistics": lambda made: made[1].running_var.mul_(1.5),
    "loaded": lambda made: made.load_state_dict(copy.deepcopy(made.state_dict()) | {
        "5.bias": torch.ones(3)}),
    "a layer's number": lambda made: setattr(made[4], "p", 0.5),
    "another layer": lambda made: made.__setitem__(2, nn.ReLU6()),
    "a hook": lambda made: made[2].register_forward_hook(lambda *_: None),
    "another precision": lambda made: made.double(),
    "a layer more": lambda made: made.append(nn.ReLU()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(change):
    made = network()
    snapshot = Snapshot.of(made)
    assert snapshot.still_holds(made)
    change(made)
    assert not snapshot.still_holds(made)


@pytest.mark.parametrize("arranged_in", ["training", "evaluation"])
def test_a_victim_that_is_arranged_beforehand_is_attacked_as_its_network_is(arranged_in):
    made = robench.model("small-cnn", num_classes=3, image_size=16, in_channels=1)
    made.train(arranged_in == "training")
    images, labels = torch.rand(6, 1, 16, 16), torch.arange(6) % 3
    victim = robench.Victim(made)
    victim.arrange(images)
    assert victim.is_arranged
    assert made.training == (arranged_in == "training")
    assert all(weight.requires_grad for weight in made.parameters())
    attack = robench.attack("pgd", steps=3)
    for bias in (0.0, 0.3):
        made[1][-1].bias.data.fill_(0.0)[1] = bias
        one, other = (attack(each, images, labels, epsilons=[0.1])[0] for each in (victim, made))
        assert torch.equal(one.adversarial, other.adversarial)
        assert torch.equal(one.prediction, other.prediction)
        assert torch.equal(one.margin, other.margin)


def test_a_victim_that_was_not_arranged_stays_so():
    made = network().eval()
    victim = robench.Victim(made)
    robench.attack("fgsm")(victim, torch.rand(4, 1, 8, 8), torch.zeros(4).long(), epsilons=[0.1])
    assert not victim.is_arranged
