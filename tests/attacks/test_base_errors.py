import pytest
import torch

from robench.attacks.base import Attack
from robench.attacks.fgsm import FGSM
from robench.attacks.pgd import BIM, PGD
from robench.errors import VictimError

from .networks import BreaksDown, BreaksDownError, Linear
from .stand_in_attacks import Returns

IMAGES, LABELS = torch.full((2, 1, 4, 4), 0.5), torch.tensor([0, 0])


def _network():
    return Linear(torch.ones(2, 16) * torch.tensor([[1.0], [-1.0]]), torch.zeros(2))


def test_an_attack_without_an_algorithm():
    with pytest.raises(TypeError, match="perturb"):
        Attack()


@pytest.mark.parametrize(("value", "got"), [
    (None, "NoneType"), ("pixels", "str"), (IMAGES.numpy(), "ndarray"),
    (IMAGES[:1], r"\[1, 1, 4, 4\]"), (IMAGES[:, :, :2], r"\[2, 1, 2, 4\]"),
])
def test_perturb_must_return_images(value, got):
    message = rf"Returns.perturb returned {got}, expected \[2, 1, 4, 4\]"
    with pytest.raises(ValueError, match=message):
        Returns(value=value)(_network(), IMAGES, LABELS, epsilons=[0.1])


@pytest.mark.parametrize("pixel", [float("nan"), float("inf")])
def test_perturb_must_return_finite_pixels(pixel):
    with pytest.raises(ValueError, match=r"Returns.perturb returned NaN or infinite pixels"):
        Returns(value=IMAGES * pixel)(_network(), IMAGES, LABELS, epsilons=[0.1])


@pytest.mark.parametrize("call", [1, 2, 5, 9])
@pytest.mark.parametrize("attack", [BIM(steps=8), PGD(steps=8)])
def test_a_network_that_breaks_down_is_never_robust(cnn, right, attack, call):
    with pytest.raises(BreaksDownError, match="out of order"):
        attack(BreaksDown(cnn, call=call), right[0][:8], right[1][:8], epsilons=[0.02])


def test_nan_logits_in_the_middle_of_an_attack():
    class FallsToPieces(Linear):
        def forward(self, images):
            logits = super().forward(images)
            return torch.where(images.mean(dim=(1, 2, 3))[:, None] < 0.46, torch.nan, logits)

    network = FallsToPieces(_network().weights.detach(), torch.zeros(2))
    with pytest.raises(VictimError, match="NaN or infinite logits for 2 of 2 images"):
        FGSM()(network, IMAGES, LABELS, epsilons=[0.1])


@pytest.mark.parametrize("epsilons", [[], [-0.1], [0.1, float("nan")], [float("inf")]])
def test_epsilons_that_are_none(epsilons):
    with pytest.raises(ValueError, match="epsilons: got"):
        FGSM()(_network(), IMAGES, LABELS, epsilons=epsilons)


@pytest.mark.parametrize("labels", [
    torch.tensor([0, 2]), torch.tensor([-1, 0]), torch.tensor([0]), torch.tensor([0.0, 1.0]),
    torch.tensor([[0], [1]]),
])
def test_labels_that_do_not_fit(labels):
    with pytest.raises(ValueError, match="labels: got"):
        FGSM()(_network(), IMAGES, labels, epsilons=[0.1])


@pytest.mark.parametrize("images", [
    IMAGES * 255, IMAGES - 0.6, IMAGES.double(), IMAGES[0], (IMAGES * 255).byte(),
    IMAGES * float("nan"),
])
def test_images_that_do_not_fit(images):
    with pytest.raises(ValueError, match="images: got"):
        FGSM()(_network(), images, LABELS, epsilons=[0.1])


def test_image_ids_that_do_not_fit():
    with pytest.raises(ValueError, match="image_ids: got 1, expected 2"):
        PGD()(_network(), IMAGES, LABELS, epsilons=[0.1], image_ids=["a"])


def test_settings_of_a_call_have_names():
    with pytest.raises(TypeError):
        FGSM()(_network(), IMAGES, LABELS, [0.1])


def test_an_attack_that_writes_into_the_clean_images_is_refused():
    class InPlace(Attack):
        def perturb(self, victim, images, labels, *, epsilon, random):
            return images.add_(epsilon)

    with pytest.raises(ValueError, match="changed the clean images in place"):
        InPlace()(_network(), IMAGES, LABELS, epsilons=[0.1])
