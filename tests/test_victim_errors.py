import pytest
import torch
from torch import nn

from robench.attacks.losses import cross_entropy
from robench.errors import VictimError
from robench.logits import checked
from robench.normalisation import with_normalisation
from robench.victim import Victim

IMAGES = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))


class Gives(nn.Module):
    """A network whose output is a function of its input."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


@pytest.mark.parametrize(("function", "got"), [
    (lambda images: images, r"\[32, 1, 4, 4\]"),
    (lambda images: images.mean(dim=(1, 2, 3)), r"\[32\]"),
    (lambda images: images.flatten(1)[:7], r"\[7, 16\]"),
    (lambda images: (images.flatten(1),), "'tuple'"),
    (lambda images: {"logits": images.flatten(1)}, "'dict'"),
])
def test_an_output_that_is_no_table_of_logits(function, got):
    with pytest.raises(VictimError, match=rf"not a table of logits, got {got}\n"
                                          r"  expected 32 rows × classes"):
        Victim(Gives(function)).logits(IMAGES)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite(value):
    def partly(images):
        logits = images.flatten(1).clone()
        logits[1:3, 0] = value
        return logits

    with pytest.raises(VictimError, match="NaN or infinite logits for 2 of 5 images"):
        Victim(Gives(partly)).logits(IMAGES)
    with pytest.raises(VictimError, match="NaN or infinite logits for 2 of 5 images"):
        Victim(Gives(partly), rowwise=False).logits(IMAGES)


def test_logits_that_are_not_finite_on_the_way_to_a_gradient():
    network = Gives(lambda images: images.flatten(1) / 0.0)
    with pytest.raises(VictimError, match="NaN or infinite logits for 5 of 5 images"):
        Victim(network).gradient(IMAGES, torch.zeros(5).long(), cross_entropy)


def test_the_last_image_counts_once_though_copies_fill_its_tile():
    def last(images):
        logits = images.flatten(1).clone()
        logits[4:] = float("nan")
        return logits

    with pytest.raises(VictimError, match="for 1 of 5 images"):
        Victim(Gives(last)).logits(IMAGES)


@pytest.mark.parametrize(("classes", "expected"), [(3, 4), (1, 3)])
def test_the_wrong_number_of_logits(classes, expected):
    got = max(classes, 2)
    with pytest.raises(VictimError, match=f"wrong number of logits, got {got}\n"
                                          f"  expected {expected}, one for each class"):
        checked(torch.zeros(2, classes), rows=2, num_classes=expected)


def test_an_exception_of_the_network_comes_through():
    def fails(images):
        raise ZeroDivisionError("of the network's own")

    with pytest.raises(ZeroDivisionError, match="of the network's own"):
        Victim(Gives(fails)).logits(IMAGES)


@pytest.mark.parametrize(("mean", "std", "channels"), [
    ([0.5] * 3, [0.5] * 3, 4), ([0.5], [0.5], 3), ([0.5] * 3, [0.5], 3),
])
def test_a_mean_and_std_that_do_not_fit(mean, std, channels):
    network = Gives(lambda images: images)
    network.mean, network.std = mean, std
    with pytest.raises(VictimError, match=f"got '{len(mean)} and {len(std)} values'\n"
                                          f"  expected {channels}, one for each channel"):
        with_normalisation(network, channels)
