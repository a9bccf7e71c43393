"""The bridge to ART: native attacks, bridged ones and ART on its own, image by image."""

import numpy as np
import pytest
import torch

from robench.attacks.art import ArtBIM, ArtFGSM, ArtPGD
from robench.attacks.fgsm import FGSM
from robench.attacks.pgd import BIM, PGD
from robench.victim import Victim

from .closed_form import between, binary, exact_distances
from .networks import last_iterate

EPSILONS = {"linf": [0.03, 0.08, 0.13], "l2": [0.2, 0.5, 1.0]}
PAIRS = {
    "fgsm": (FGSM, ArtFGSM, {}),
    "bim": (BIM, ArtBIM, {}),
    "pgd": (PGD, ArtPGD, {"random_start": False}),
}


def _raw(name, network, images, labels, *, epsilon, norm=np.inf):
    """ART without any of robench, as its documentation shows it."""
    from art.attacks import evasion
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model=network, loss=torch.nn.CrossEntropyLoss(), input_shape=tuple(images.shape[1:]),
        nb_classes=10, clip_values=(0.0, 1.0), device_type="cpu",
    )
    step = {"eps_step": 2.5 * epsilon / 40, "max_iter": 40, "verbose": False, "batch_size": 96}
    attack = {
        "fgsm": lambda: evasion.FastGradientMethod(classifier, norm=norm, eps=epsilon),
        "bim": lambda: evasion.BasicIterativeMethod(classifier, eps=epsilon, **step),
        "pgd": lambda: evasion.ProjectedGradientDescent(
            classifier, norm=norm, eps=epsilon, **step),
    }[name]()
    return torch.from_numpy(attack.generate(images.numpy(), labels.numpy()))


class Band(torch.nn.Module):
    """Class 1 where the mean pixel is within 0.025 of 0.575, class 0 elsewhere."""

    def forward(self, images):
        away = (images.mean(dim=(1, 2, 3)) - 0.575).abs() - 0.025
        return torch.stack([away, -away], dim=1)


@pytest.mark.parametrize(("name", "epsilon"), [
    *(("fgsm", epsilon) for epsilon in EPSILONS["linf"]), ("bim", 0.08),
    *(("pgd", epsilon) for epsilon in EPSILONS["linf"]),
])
def test_native_is_art_itself(name, epsilon, cnn, right):
    images, labels = right
    native, _, settings = PAIRS[name]
    reference = _raw(name, cnn, images, labels, epsilon=epsilon)
    algorithm = last_iterate(native(**settings), cnn, images, labels, epsilon).clamp(0, 1)
    assert torch.allclose(algorithm, reference, rtol=0, atol=1e-6)
    with torch.no_grad():
        flipped = cnn(reference).argmax(dim=1) != labels
        assert torch.equal(cnn(algorithm).argmax(dim=1) != labels, flipped)
    result = native(**settings)(cnn, images, labels, epsilons=[epsilon])[0]
    assert torch.equal(result.success, flipped)  # no step here loses what one before it broke
    assert 0 < int(flipped.sum()) < len(images)


@pytest.mark.parametrize("name", list(PAIRS))
@pytest.mark.parametrize("ladder", [True, False])
def test_the_bridge_finds_what_the_native_attack_finds(name, ladder, cnn, right):
    native, bridged, settings = PAIRS[name]
    settings = {"steps": 10, **settings} if name != "fgsm" else settings
    ours = native(**settings)(cnn, *right, epsilons=EPSILONS["linf"], ladder=ladder)
    arts = bridged(**settings)(cnn, *right, epsilons=EPSILONS["linf"], ladder=ladder)
    for one, other in zip(ours, arts, strict=True):
        assert torch.equal(one.success, other.success)
        assert torch.equal(one.prediction, other.prediction)
        assert torch.equal(one.first_success, other.first_success)
        assert torch.equal(one.backwards, other.backwards)
        assert torch.allclose(one.adversarial, other.adversarial, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("native", "bridged"), [
    (BIM(steps=1, step_size=0.08, target="next"), ArtFGSM(target="next")),
    (BIM(steps=6, target="least-likely"), ArtBIM(steps=6, target="least-likely")),
    (PGD(steps=6, target=3, random_start=False), ArtPGD(steps=6, target=3, random_start=False)),
], ids=["fgsm", "bim", "pgd"])
def test_towards_a_target_it_goes_where_the_native_attack_goes(native, bridged, cnn, right):
    ours, arts = (attack(cnn, *right, epsilons=[0.08])[0] for attack in (native, bridged))
    away = PAIRS["bim"][1](steps=6)(cnn, *right, epsilons=[0.08])[0]
    assert torch.equal(ours.success, arts.success)
    assert torch.allclose(ours.adversarial, arts.adversarial, rtol=0, atol=1e-6)
    assert 0 < int(arts.success.sum()) < int(away.success.sum())


@pytest.mark.parametrize("ladder", [True, False])
def test_one_l2_step_is_the_same(ladder, cnn, right):
    ours = FGSM(norm="l2")(cnn, *right, epsilons=EPSILONS["l2"], ladder=ladder)
    arts = ArtFGSM(norm="l2")(cnn, *right, epsilons=EPSILONS["l2"], ladder=ladder)
    for one, other in zip(ours, arts, strict=True):
        assert torch.equal(one.success, other.success)
        assert torch.equal(one.prediction, other.prediction)
        assert torch.allclose(one.adversarial, other.adversarial, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["bim", "pgd"])
def test_l2_steps_are_the_same_away_from_the_edge_of_the_box(name, cnn, right):
    """ART cuts with the box before it projects, robench after: the same where no iterate
    meets the edge."""
    native, bridged, settings = PAIRS[name]
    images = 0.3 + 0.4 * right[0]
    correct = Victim(cnn).logits(images).argmax(dim=1) == right[1]
    images, labels = images[correct], right[1][correct]
    attacks = [attack(norm="l2", steps=10, **settings) for attack in (native, bridged)]
    epsilons = [0.05, 0.1, 0.2]
    ours, arts = (attack(cnn, images, labels, epsilons=epsilons) for attack in attacks)
    for one, other in zip(ours, arts, strict=True):
        assert torch.equal(one.success, other.success)
        assert torch.equal(one.prediction, other.prediction)
        apart = (one.adversarial - other.adversarial).flatten(1).abs().amax(dim=1)
        assert float((apart <= 1e-5).float().mean()) >= 0.95  # rounding may switch a ReLU
    assert 0 < int(ours[-1].success.sum()) < len(images)


@pytest.mark.parametrize("name", ["bim", "pgd"])
@pytest.mark.parametrize("ladder", [True, False])
def test_l2_steps_at_the_edge_take_another_way_to_the_same_end(name, ladder, cnn, right):
    native, bridged, settings = PAIRS[name]
    attacks = [attack(norm="l2", steps=6, **settings) for attack in (native, bridged)]
    ours, arts = (attack(cnn, *right, epsilons=EPSILONS["l2"], ladder=ladder)
                  for attack in attacks)
    for one, other in zip(ours, arts, strict=True):
        assert float((one.success == other.success).float().mean()) >= 0.98
    assert not torch.equal(ours[1].adversarial, arts[1].adversarial)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_of_two_classes_exactly_the_near_images_break(norm):
    network, images, labels = binary(one_logit=True)
    exact = exact_distances(network, images, labels, norm)
    for attack in (ArtFGSM(norm=norm), ArtBIM(norm=norm)):
        for result in attack(network, images, labels, epsilons=between(exact), ladder=False):
            assert torch.equal(result.success, exact < result.epsilon)


@pytest.mark.parametrize("attack", [BIM, ArtBIM])
def test_a_success_that_is_lost_again_is_credited(attack):
    """The second step leaves the band that the first one reached."""
    network, images, labels = Band(), torch.full((3, 1, 2, 2), 0.5), torch.zeros(3).long()
    settings = {"steps": 2, "step_size": 0.06}
    last = last_iterate(BIM(**settings), network, images, labels, 0.2)
    assert network(last).argmax(dim=1).tolist() == [0, 0, 0]
    result = attack(**settings)(network, images, labels, epsilons=[0.2])[0]
    assert result.success.tolist() == [True, True, True]
    assert result.first_success.tolist() == [2, 2, 2]
    assert result.adversarial.flatten().tolist() == pytest.approx([0.56] * 12)
