import pytest
import torch

from robench.attacks.fgsm import FGSM

from ..peers import peer
from .closed_form import between, binary, exact_distances
from .networks import backwards_seen, last_iterate, rows_seen

EPSILONS = [0.02, 0.1, 0.3]


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_linf_is_foolboxs(cnn, right, epsilon):
    foolbox = peer("foolbox")
    images, labels = right
    network = foolbox.PyTorchModel(cnn, bounds=(0, 1), device="cpu")
    reference, _, _ = foolbox.attacks.LinfFastGradientAttack()(
        network, images, labels, epsilons=epsilon
    )
    assert torch.allclose(last_iterate(FGSM(), cnn, images, labels, epsilon).clamp(0, 1),
                          reference, rtol=0, atol=1e-6)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_linf_is_torchattacks(cnn, right, epsilon):
    torchattacks = peer("torchattacks")
    images, labels = right
    reference = torchattacks.FGSM(cnn, eps=epsilon)(images, labels)
    assert torch.allclose(last_iterate(FGSM(), cnn, images, labels, epsilon).clamp(0, 1),
                          reference, rtol=0, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.2, 1.0])
def test_l2_is_foolboxs(cnn, right, epsilon):
    foolbox = peer("foolbox")
    images, labels = right
    network = foolbox.PyTorchModel(cnn, bounds=(0, 1), device="cpu")
    reference, _, _ = foolbox.attacks.L2FastGradientAttack()(
        network, images, labels, epsilons=epsilon
    )
    native = last_iterate(FGSM(norm="l2"), cnn, images, labels, epsilon).clamp(0, 1)
    assert torch.allclose(native, reference, rtol=0, atol=1e-6)


def test_what_stays_unbroken_is_the_same_perturbation_through_the_harness(cnn, right):
    images, labels = right
    for result in FGSM()(cnn, images, labels, epsilons=EPSILONS, ladder=False):
        step = last_iterate(FGSM(), cnn, images, labels, result.epsilon).clamp(0, 1)
        changed = torch.ne(result.adversarial, images).flatten(1).any(dim=1)
        assert torch.allclose(result.adversarial[changed], step[changed], rtol=0, atol=1e-6)
        with torch.no_grad():
            assert torch.equal(result.success, cnn(step).argmax(dim=1) != labels)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("one_logit", [False, True])
def test_of_two_classes_exactly_the_near_images_break(norm, one_logit):
    network, images, labels = binary(one_logit=one_logit)
    exact = exact_distances(network, images, labels, norm)
    epsilons = between(exact)
    for result in FGSM(norm=norm)(network, images, labels, epsilons=epsilons, ladder=False):
        assert torch.equal(result.success, exact < result.epsilon)
        assert 0 < int(result.success.sum()) < len(images)


def test_a_survivor_costs_two_forwards_and_one_backward(cnn, right):
    images, labels = right
    result = FGSM()(cnn, images, labels, epsilons=[0.05])[0]
    survivors, fallen = ~result.success, result.success
    assert int(survivors.sum()) > 0
    assert int(fallen.sum()) > 0
    assert set(result.forwards.tolist()) == {2}
    assert set(result.backwards.tolist()) == {1}
    assert set(result.first_success[survivors].tolist()) == {-1}
    assert set(result.first_success[fallen].tolist()) == {2}


def test_ten_epsilons_share_one_backward(cnn, right):
    images, labels = right[0][:32], right[1][:32]
    epsilons = [0.01 * (place + 1) for place in range(10)]
    for ladder in (True, False):
        with backwards_seen(cnn) as backwards:
            FGSM()(cnn, images, labels, epsilons=epsilons, ladder=ladder)
        assert backwards == [32]  # the clean pass is the same pass


def test_with_the_ladder_only_survivors_are_looked_at_again(cnn, right):
    images, labels = right
    with rows_seen(cnn) as with_ladder:
        results = FGSM()(cnn, images, labels, epsilons=[0.3, 0.31, 0.32])
    with rows_seen(cnn) as without:
        FGSM()(cnn, images, labels, epsilons=[0.3, 0.31, 0.32], ladder=False)
    assert int((~results[0].success).sum()) <= 32 < len(right[1])
    assert sum(with_ladder) < sum(without)
