"""The bridge to ART: native attacks, bridged ones and ART on its own, image by image."""

import importlib
import logging
import sys

import numpy as np
import pytest
import torch

from robench.attacks.art import ArtAttack, ArtBIM, ArtFGSM, ArtPGD
from robench.attacks.fgsm import FGSM
from robench.attacks.pgd import BIM, PGD
from robench.victim import Victim

from .closed_form import between, binary, exact_distances
from .networks import Linear, last_iterate, rows_seen

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
    result = native(**settings)(cnn, images, labels, epsilons=[epsilon])[0]
    assert bool(result.success[flipped].all()), "ART's last iterate wins, the native one lost it"
    assert not bool(flipped[~result.success].any())
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


def test_every_pass_of_art_is_counted(cnn, right):
    """It predicts the last and the clean image for its log; what is judged again counts too."""
    fgsm = ArtFGSM()(cnn, *right, epsilons=[0.05])[0]
    assert set(fgsm.forwards[~fgsm.success].tolist()) == {2}
    assert set(fgsm.backwards.tolist()) == {1}
    bim = ArtBIM(steps=10)(cnn, *right, epsilons=[0.05])[0]
    standing = ~bim.success
    assert 0 < int(standing.sum()) < len(standing)
    assert set(bim.forwards[standing].tolist()) <= {13, 14}
    assert set(bim.backwards[standing].tolist()) == {10}
    assert bool((bim.forwards[~standing] - bim.first_success[~standing] <= 1).all())


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


@pytest.mark.parametrize("attack", [ArtFGSM(), ArtBIM(steps=3), ArtPGD(steps=3)])
def test_epsilon_zero_costs_one_look_and_changes_nothing(attack, cnn, right):
    result = attack(cnn, *right, epsilons=[0.0])[0]
    assert torch.equal(result.adversarial, right[0])
    assert not bool(result.success.any())


def test_random_starts_are_arts_own_seeded_per_image(cnn, right):
    images, labels = right[0][:3], right[1][:3]
    results = [ArtPGD(steps=2)(cnn, images, labels, epsilons=[0.1], seed=seed)[0]
               for seed in (0, 0, 1)]
    assert torch.equal(results[0].adversarial, results[1].adversarial)
    assert not torch.equal(results[0].adversarial, results[2].adversarial)
    twins = ArtPGD(steps=2)(
        cnn, images[[0, 0]], labels[[0, 0]], epsilons=[0.1], image_ids=["a", "b"]
    )[0]
    assert not torch.equal(twins.adversarial[0], twins.adversarial[1])


def test_a_random_start_breaks_about_as_many_as_the_native_one(cnn, right):
    images, labels = right[0][:32], right[1][:32]
    ours = PGD(steps=3)(cnn, images, labels, epsilons=[0.15])[0].success
    arts = ArtPGD(steps=3)(cnn, images, labels, epsilons=[0.15])[0].success
    assert abs(int(ours.sum()) - int(arts.sum())) <= 3
    assert int(arts.sum()) > 5


def test_one_random_image_at_a_time_all_plain_ones_together(cnn, right):
    shown = []

    class Watched(ArtPGD):
        def build(self, classifier, *, epsilon, batch_size):
            shown.append(batch_size)
            return super().build(classifier, epsilon=epsilon, batch_size=batch_size)

    images, labels = right[0][:4], right[1][:4]
    Watched(steps=1)(cnn, images, labels, epsilons=[0.1])
    assert shown == [1, 1, 1, 1]
    shown.clear()
    Watched(steps=1, random_start=False)(cnn, images, labels, epsilons=[0.1])
    assert shown == [4]


def test_a_confident_network_in_a_large_batch_keeps_its_gradients():
    """The mean over a batch would push gradients below what float32 can hold."""
    weights = 6.25 * torch.tensor([[1.0], [-1.0]]).expand(2, 16)
    images, labels = torch.full((64, 1, 4, 4), 0.5), torch.zeros(64).long()
    network = Linear(weights.clone(), torch.zeros(2))
    assert network(images[:1]).diff().item() == -100.0
    result = ArtFGSM()(network, images, labels, epsilons=[0.1])[0]
    assert not bool(result.gradient_dead.any())
    assert torch.allclose(result.adversarial, images - 0.1)


class ArtDeepFool(ArtAttack):
    """What another attack of ART takes: a norm, a budget and `build`."""

    name = "art/deepfool"
    norm = "l2"
    budget = "minimum"

    def num_classes(self, victim):
        return 10

    def build(self, classifier, *, epsilon, batch_size):
        from art.attacks.evasion import DeepFool

        return DeepFool(classifier, max_iter=8, batch_size=batch_size, verbose=False)


def test_the_base_takes_other_attacks_of_art(cnn, right):
    images, labels = right[0][:16], right[1][:16]
    results = ArtDeepFool()(cnn, images, labels, epsilons=[0.05, 0.5, 3.0])
    found = [int(result.success.sum()) for result in results]
    assert found[0] < found[1] < found[2]
    for result in results:
        assert bool((result.distance <= result.epsilon).all())
    assert bool((results[-1].backwards > 0).all())


def test_it_is_quiet(cnn, right, capfd, caplog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    for attack in (ArtFGSM(), ArtBIM(steps=2), ArtPGD(steps=2)):
        attack(cnn, right[0][:3], right[1][:3], epsilons=[0.1])
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert [record for record in caplog.records if record.name.startswith("art")] == []
    assert list(tmp_path.iterdir()) == []


def test_the_callers_log_level_is_restored(cnn, right):
    logger = logging.getLogger("art")
    logger.setLevel(logging.INFO)
    try:
        ArtFGSM()(cnn, right[0][:3], right[1][:3], epsilons=[0.1])
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(logging.NOTSET)


def test_art_is_imported_only_when_an_attack_runs(cnn, right, monkeypatch):
    monkeypatch.setitem(sys.modules, "art", None)  # an import of ART fails from here on
    for name in [name for name in sys.modules if name.startswith(("art.", "robench.attacks.art"))]:
        monkeypatch.delitem(sys.modules, name)
    attack = importlib.import_module("robench.attacks.art").ArtPGD(steps=2)
    with pytest.raises(ImportError, match="art"):
        attack(cnn, right[0][:1], right[1][:1], epsilons=[0.1])


def test_a_network_that_mixes_rows_is_given_whole_batches(cnn, right):
    with rows_seen(cnn) as seen:
        ArtPGD(steps=2)(Victim(cnn, rowwise=False), *right, epsilons=[0.1])
    assert set(seen) == {len(right[1])}
