import re

import pytest
import torch

import robench
from robench.attacks.checks import check_batch, check_epsilons, check_labels

IMAGES, LABELS = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1])


@pytest.mark.parametrize(("images", "message"), [
    (IMAGES[0], "images: got torch.float32 [1, 2, 2], expected torch.float32 N×C×H×W"),
    (IMAGES.double(), "images: got torch.float64 [2, 1, 2, 2], expected torch.float32 N×C×H×W"),
    (IMAGES.half(), "images: got torch.float16"),
    (IMAGES * torch.tensor([1.0, torch.inf]), "images: got NaN or infinite pixels"),
    (IMAGES * 255, "images: got values in [127.5, 127.5], expected [0, 1] (normalisation belongs"),
    (IMAGES - 0.75, "images: got values in [-0.25, -0.25]"),
])
def test_images(images, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_batch(images, LABELS)


@pytest.mark.parametrize(("labels", "message"), [
    (LABELS[:1], "labels: got torch.int64 [1], expected 2 integers, one for each image"),
    (LABELS.float(), "labels: got torch.float32 [2]"),
    (LABELS[:, None], "labels: got torch.int64 [2, 1]"),
    (LABELS.bool(), "labels: got torch.bool [2], expected 2 integers"),
])
def test_labels(labels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_batch(IMAGES, labels)


@pytest.mark.parametrize(("labels", "got"), [([0, 3], "[0, 3]"), ([-1, 2], "[-1, 2]")])
def test_labels_the_network_does_not_know(labels, got):
    message = f"labels: got values in {got}, expected 0 to 2: the model gives 3 logits"
    with pytest.raises(ValueError, match=re.escape(message)):
        check_labels(torch.tensor(labels), num_classes=3)


def test_image_ids():
    with pytest.raises(ValueError, match="image_ids: got 3, expected 2"):
        check_batch(IMAGES, LABELS, image_ids=["a", "b", "c"])


@pytest.mark.parametrize(("epsilons", "message"), [
    ([], "epsilons: got none, expected at least one number ≥ 0"),
    ([0.1, -0.1], "epsilons: got -0.1, expected finite numbers ≥ 0 in pixel units"),
    ([float("nan")], "epsilons: got nan"),
    ([float("inf")], "epsilons: got inf"),
])
def test_epsilons(epsilons, message):
    with pytest.raises(ValueError, match=message):
        check_epsilons(epsilons)


@pytest.mark.parametrize(("epsilons", "message"), [
    (0.1, "epsilons: got 0.1, expected a list of numbers, such as [0.1]"),
    ("8/255", "epsilons: got '8/255', expected a list of numbers"),
    (["8/255"], "epsilons: got '8/255', expected numbers in pixel units, such as 8 / 255"),
    ([None], "epsilons: got None, expected numbers in pixel units"),
    (["0.1"], "epsilons: got '0.1', expected numbers in pixel units"),
    ([True], "epsilons: got True, expected numbers in pixel units"),
    (torch.tensor(0.1), "epsilons: got tensor(0.1000), expected a list of numbers"),
])
def test_epsilons_of_another_kind(epsilons, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_epsilons(epsilons)


def test_no_image_is_left_unattacked_for_a_fraction_of_a_pixel(cnn):
    with pytest.raises(ValueError, match=r"got 0\.1, expected whole numbers of pixels: the attack"):
        check_epsilons([1, 0.1], norm="l0")
    for name in ("patch", "jsma", "one-pixel"):
        with pytest.raises(ValueError, match="expected whole numbers of pixels"):
            robench.attack(name)(cnn, IMAGES, LABELS, epsilons=[0.1])


def test_an_attack_that_keeps_to_no_ball_takes_no_epsilons():
    with pytest.raises(ValueError, match="expected None: the attack keeps to no ball"):
        check_epsilons([1.0], needed=False, bounded=False)


@pytest.mark.parametrize(("images", "labels", "message"), [
    (IMAGES.numpy(), LABELS, "images: got numpy.ndarray, expected a torch.Tensor, float32 N×C"),
    (IMAGES, LABELS.numpy(), "labels: got numpy.ndarray, expected a torch.Tensor of N integers"),
    (IMAGES, [0, 1], "labels: got list, expected a torch.Tensor of N integers"),
    (None, LABELS, "images: got NoneType, expected a torch.Tensor"),
])
def test_what_is_no_tensor(cnn, images, labels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        robench.attack("fgsm")(cnn, images, labels, epsilons=[0.1])
