"""How the bridge to ART behaves: counts, seeds, silence, lazy import, other attacks."""

import importlib
import logging
import sys

import pytest
import torch

from robench.attacks.art import ArtAttack, ArtBIM, ArtFGSM, ArtPGD
from robench.attacks.pgd import PGD
from robench.victim import Victim

from .networks import Linear, rows_seen


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
