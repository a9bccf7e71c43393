import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats
from torch import nn
from torch.nn import functional

from robench.attacks.draws import Draws
from robench.attacks.momentum import DIFGSM, MIFGSM, TIFGSM, diversified, gaussian, smoothed
from robench.attacks.pgd import BIM

from ..peers import peer
from .closed_form import between, binary, exact_distances
from .networks import images_seen, last_iterate, rows_seen, whole_view

EPSILONS = [0.02, 0.1, 0.3]
ALL = [MIFGSM(), DIFGSM(), TIFGSM(kernel_size=3), TIFGSM(kernel_size=5, diversity=0.7)]
NAMES = ["mi", "di", "ti", "ti-dim"]


def _torchattacks(cnn, images, labels, *, epsilon, decay):
    torchattacks = peer("torchattacks")
    return torchattacks.MIFGSM(cnn, eps=epsilon, alpha=epsilon / 10, steps=10, decay=decay)(
        images, labels
    )


def _art(cnn, images, labels, *, epsilon, decay):
    evasion = peer("art.attacks.evasion")
    from art.estimators.classification import PyTorchClassifier

    network = copy.deepcopy(cnn).requires_grad_(True)
    classifier = PyTorchClassifier(
        network, loss=nn.CrossEntropyLoss(reduction="sum"), input_shape=(1, 8, 8), nb_classes=10,
        clip_values=(0, 1), device_type="cpu",
    )
    attack = evasion.MomentumIterativeMethod(
        classifier, eps=epsilon, eps_step=epsilon / 10, decay=decay, max_iter=10,
        batch_size=len(images), verbose=False,
    )
    return torch.from_numpy(attack.generate(images.numpy(), labels.numpy()))


@pytest.mark.parametrize("decay", [1.0, 0.4])
@pytest.mark.parametrize("reference", [_torchattacks, _art])
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_the_perturbation_is_the_references(cnn, right, reference, epsilon, decay):
    images, labels = right
    expected = reference(cnn, images, labels, epsilon=epsilon, decay=decay)
    found = last_iterate(MIFGSM(decay=decay), cnn, images, labels, epsilon)
    assert float((found - expected).abs().max()) <= 1e-6


def test_every_iterate_is_torchattacks(cnn, right):
    images, labels = right
    with images_seen(cnn) as theirs:
        _torchattacks(cnn, images, labels, epsilon=0.1, decay=1.0)
    with images_seen(cnn) as ours:
        last_iterate(MIFGSM(), cnn, images, labels, 0.1)
    theirs = [shown for shown in theirs if len(shown) == len(images)][-10:]
    assert len(ours) == 10
    for step, (native, other) in enumerate(zip(ours, theirs, strict=True)):
        assert np.abs(native - other).max() <= 1e-6, step


def test_without_memory_it_is_bim(cnn, right):
    ours = last_iterate(MIFGSM(decay=0.0, step_size=0.02), cnn, *right, 0.1)
    bim = last_iterate(BIM(steps=10, step_size=0.02), cnn, *right, 0.1)
    assert torch.equal(ours, bim)


def test_l2_by_hand(cnn, right):
    """Equal weight for every gradient, whatever its length; a step of a given length."""
    images, labels = 0.3 + 0.4 * right[0], right[1]
    current, momentum = images, torch.zeros_like(images)
    for _ in range(4):
        leaf = current.clone().requires_grad_(True)
        loss = functional.cross_entropy(cnn(leaf), labels, reduction="sum")
        gradient = torch.autograd.grad(loss, leaf)[0]
        momentum = 0.7 * momentum + gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
        length = momentum.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
        current = current + 0.02 * momentum / length
    found = last_iterate(MIFGSM(steps=4, step_size=0.02, norm="l2", decay=0.7), cnn, images,
                         labels, 1.0)
    apart = (found - current).flatten(1).abs().amax(dim=1)
    assert float((apart <= 1e-5).float().mean()) >= 0.95  # rounding may switch a ReLU


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("one_logit", [False, True])
def test_of_two_classes_exactly_the_near_images_break(norm, one_logit):
    network, images, labels = binary(one_logit=one_logit)
    exact = exact_distances(network, images, labels, norm)
    for result in MIFGSM(norm=norm)(network, images, labels, epsilons=between(exact),
                                    ladder=False):
        assert torch.equal(result.success, exact < result.epsilon)
        assert 0 < int(result.success.sum()) < len(images)


@pytest.mark.parametrize("attack", ALL, ids=NAMES)
def test_a_survivor_costs_eleven_forwards_and_ten_backwards(cnn, right, attack):
    with rows_seen(cnn) as seen:
        result = attack(cnn, *right, epsilons=[0.05])[0]
    assert 0 < int(result.success.sum()) < len(result)
    assert set(result.forwards[~result.success].tolist()) == {11}
    assert set(result.backwards[~result.success].tolist()) == {10}
    assert set(seen) == {32}


def test_a_ladder_shares_the_first_gradient(cnn, right):
    with rows_seen(cnn) as alone:
        MIFGSM()(cnn, *right, epsilons=[1e-4])
    with rows_seen(cnn) as both:
        MIFGSM()(cnn, *right, epsilons=[1e-4, 2e-4])
    assert len(both) - len(alone) == len(alone) - 2  # less the clean pass, which is the gradient's


@pytest.mark.parametrize("attack", ALL, ids=NAMES)
def test_no_image_depends_on_the_others(cnn_and_36, attack):
    cnn, images, labels = cnn_and_36
    whole = attack(cnn, images, labels, epsilons=[0.05, 0.2])
    for rows in (torch.tensor([30, 2, 17, 8, 35]), torch.tensor([4])):
        part = attack(cnn, images[rows], labels[rows], epsilons=[0.05, 0.2])
        for one, other in zip(whole, part, strict=True):
            for key in ("adversarial", "success", "forwards", "first_success", "margin"):
                assert torch.equal(getattr(one, key)[rows], getattr(other, key)), key


@pytest.mark.parametrize("make", [MIFGSM, DIFGSM, TIFGSM])
def test_a_target_is_steered_to(cnn, right, make):
    images, labels = right
    query, _ = whole_view(cnn, images, labels, epsilon=0.3)
    random = Draws.keyed([str(row) for row in range(len(images))], seed=0, attack="a",
                         device=images.device)
    found = make(target="next").perturb(query, images, labels, epsilon=0.3, random=random)
    with torch.no_grad():
        before, after = (torch.log_softmax(cnn(pixels), dim=1) for pixels in (images, found))
    targets = (labels + 1) % 10
    gain = (after - before).gather(1, targets[:, None])[:, 0]
    assert float((gain > 0).float().mean()) > (0.7 if make is TIFGSM else 0.95)
    result = make(target="next")(cnn, images, labels, epsilons=[0.02])[0]
    assert set(result.forwards[~result.success].tolist()) == {12}


def test_an_image_without_a_gradient_stays(right):
    images, labels = right[0][:3], torch.zeros(3).long()

    class Constant(nn.Module):
        def forward(self, pixels):
            return torch.eye(10)[0].expand(len(pixels), -1) + 0 * pixels.sum(dim=(1, 2, 3))[:, None]

    for attack in (MIFGSM(), MIFGSM(norm="l2"), TIFGSM()):
        result = attack(Constant(), images, labels, epsilons=[0.1])[0]
        assert torch.equal(result.adversarial, images)
        assert bool(result.gradient_dead.all())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), height=st.integers(1, 40), width=st.integers(1, 40),
       least=st.floats(0.3, 1.0))
def test_diversity_is_resizing_and_padding(seed, height, width, least):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(4, 2, height, width, generator=generator)
    draws = torch.rand(4, 4, generator=generator)
    found = diversified(images, draws, probability=0.7, least=least)
    for image, (whether, size, top, left), got in zip(images, draws.tolist(), found, strict=True):
        if whether >= np.float32(0.7):
            assert torch.equal(got, image)
            continue
        sides, margins = [], []
        for side, place in ((width, left), (height, top)):
            smallest = max(int(side * least), 1)
            sides.append(smallest + int(size * max(side - smallest, 1)))
            first = int(place * (side - sides[-1] + 1))
            margins += [first, side - sides[-1] - first]
        resized = functional.interpolate(image[None], size=sides[::-1], mode="bilinear")
        assert float((functional.pad(resized, margins)[0] - got).abs().max()) < 1e-5


def test_the_gradient_goes_back_through_the_diversity():
    """On a linear network, the last gradient is the adjoint of what the image went through."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(5, 1, 12, 9, generator=generator).requires_grad_(True)
    weight = torch.randn(5, 1, 12, 9, generator=generator)
    draws = torch.rand(5, 4, generator=generator)
    shown = diversified(images, draws, probability=0.8, least=0.5)
    gradient = torch.autograd.grad(shown, images, weight)[0]
    other = torch.rand(5, 1, 12, 9, generator=generator)
    passed = diversified(other, draws, probability=0.8, least=0.5)
    left, right = ((a * b).flatten(1).sum(1) for a, b in ((passed, weight), (other, gradient)))
    assert torch.allclose(left, right, atol=1e-4)


def test_half_of_what_is_shown_is_diversified_each_image_in_its_own_way(cnn):
    images = torch.full((60, 1, 8, 8), 0.5)
    labels = torch.zeros(60).long()
    random = Draws.keyed([str(row) for row in range(60)], seed=0, attack="a",
                         device=images.device)
    query, _ = whole_view(cnn, images, labels, epsilon=0.01)
    with images_seen(cnn) as seen:
        DIFGSM(steps=10, resize=0.5).perturb(query, images, labels, epsilon=0.01, random=random)
    black = (np.stack(seen)[:, :, 0] == 0).reshape(10, 60, 64)
    changed = black.any(axis=2)
    assert stats.binomtest(int(changed.sum()), 600, 0.5).pvalue > 0.01
    assert len({tuple(shown.tolist()) for shown in black[0]}) > 8


@pytest.mark.parametrize("size", [1, 3, 7, 15])
@pytest.mark.parametrize("channels", [1, 3])
def test_smoothing_is_convolution_with_the_kernel(size, channels):
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(2, channels, 20, 11, generator=generator)
    kernel = np.outer(gaussian(size), gaussian(size))
    assert kernel.sum() == pytest.approx(1.0)
    found = smoothed(gradient, size).numpy()
    for row in range(2):
        for channel in range(channels):
            expected = signal.convolve2d(gradient[row, channel].double().numpy(), kernel, "same")
            assert np.abs(found[row, channel] - expected).max() < 1e-6


def test_the_kernel_and_the_smoothed_gradient_are_torchattacks(cnn):
    torchattacks = peer("torchattacks")
    theirs = torchattacks.TIFGSM(cnn).stacked_kernel
    assert np.abs(np.outer(gaussian(15), gaussian(15)) - theirs[0, 0].numpy()).max() < 1e-8
    gradient = torch.randn(3, 3, 24, 17, generator=torch.Generator().manual_seed(0))
    expected = functional.conv2d(gradient, theirs, padding="same", groups=3)
    assert float((smoothed(gradient, 15) - expected).abs().max()) < 1e-6


def test_translation_invariance_is_torchattacks_run_on_colour(cnn, right):
    torchattacks = peer("torchattacks")

    class Grey(nn.Module):
        def __init__(self):
            super().__init__()
            self.cnn = cnn

        def forward(self, pixels):
            return self.cnn(pixels.mean(dim=1, keepdim=True))

    images, labels = right[0].expand(-1, 3, -1, -1).contiguous(), right[1]
    reference = torchattacks.TIFGSM(Grey(), eps=0.1, alpha=0.01, steps=10, decay=1.0,
                                    len_kernel=5, diversity_prob=0.0)
    # torchattacks draws a place below the rest of the size, which is none where that is 0
    reference.input_diversity = lambda pixels: pixels
    found = last_iterate(TIFGSM(kernel_size=5), Grey(), images, labels, 0.1)
    assert float((found - reference(images, labels)).abs().max()) <= 1e-6


def test_a_kernel_of_one_pixel_is_none(cnn, right):
    plain = last_iterate(MIFGSM(), cnn, *right, 0.1)
    assert torch.equal(last_iterate(TIFGSM(kernel_size=1), cnn, *right, 0.1), plain)


def test_without_diversity_it_is_mi_fgsm(cnn, right):
    plain = last_iterate(MIFGSM(), cnn, *right, 0.1)
    assert torch.equal(last_iterate(DIFGSM(diversity=0.0), cnn, *right, 0.1), plain)
