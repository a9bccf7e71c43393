"""Networks so sure of their labels that PyTorch's cross-entropy has no true gradient in float32.

Its gradient at the label's logit is 1 − p_y of a rounded p_y, which is off by 1 % from a lead of 12
on, and 0 from 17 on: attacks that step along it go where the other logits alone lead.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from robench.attacks.fgsm import FGSM
from robench.attacks.losses import margin
from robench.attacks.momentum import MIFGSM
from robench.attacks.pgd import BIM

from ..peers import peer
from .networks import last_iterate, load_digit_images

EPSILON = 0.1
LEADS = [15.0, 40.0]


@pytest.fixture
def confident(request, cnn):
    """The CNN with logits so large that the label leads by `request.param` in half of the images,
    those of the digits it gets right that it was not trained on, and their labels and leads."""
    images, labels = (values[1400:] for values in load_digit_images())
    with torch.no_grad():
        rows = torch.eq(cnn(images).argmax(dim=1), labels)
        images, labels = images[rows], labels[rows]
        factor = request.param / margin(cnn(images), labels).median()
        cnn[-1].weight.mul_(factor)
        cnn[-1].bias.mul_(factor)
        leads = margin(cnn(images), labels)
    assert float(leads.median()) >= 0.999 * request.param
    return cnn, images, labels, leads


confidences = pytest.mark.parametrize("confident", LEADS, indirect=True)


def _torchattacks(name, network, images, labels):
    attacks = peer("torchattacks")
    attack = {
        "fgsm": lambda: attacks.FGSM(network, eps=EPSILON),
        "bim": lambda: attacks.BIM(network, eps=EPSILON, alpha=EPSILON / 4, steps=10),
        "mi-fgsm": lambda: attacks.MIFGSM(network, eps=EPSILON, alpha=EPSILON / 10, steps=10),
    }[name]()
    return attack(images, labels)


def _foolbox(name, network, images, labels):
    foolbox = peer("foolbox")
    attack = {
        "fgsm": lambda: foolbox.attacks.LinfFastGradientAttack(),
        "bim": lambda: foolbox.attacks.LinfPGD(
            abs_stepsize=EPSILON / 4, steps=10, random_start=False),
    }[name]()
    return attack.run(foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu"), images, labels,
                      epsilon=EPSILON)


def _art(name, network, images, labels):
    evasion = peer("art.attacks.evasion")
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        copy.deepcopy(network).requires_grad_(True), loss=nn.CrossEntropyLoss(reduction="sum"),
        input_shape=(1, 8, 8), nb_classes=10, clip_values=(0, 1), device_type="cpu",
    )
    named = {"eps": EPSILON, "batch_size": len(images)}
    attack = {
        "fgsm": lambda: evasion.FastGradientMethod(classifier, **named),
        "bim": lambda: evasion.BasicIterativeMethod(
            classifier, eps_step=EPSILON / 4, max_iter=10, verbose=False, **named),
        "mi-fgsm": lambda: evasion.MomentumIterativeMethod(
            classifier, eps_step=EPSILON / 10, max_iter=10, verbose=False, **named),
    }[name]()
    return torch.from_numpy(attack.generate(images.numpy(), labels.numpy()))


def _native(name):
    return {"fgsm": FGSM(), "bim": BIM(steps=10), "mi-fgsm": MIFGSM()}[name]


def _signs(network, images, labels, loss):
    """Those of the gradient of a `loss` of logits and labels, in float64."""
    leaf = images.double().requires_grad_(True)
    total = loss(copy.deepcopy(network).double()(leaf), labels).sum()
    return torch.autograd.grad(total, leaf)[0].sign()


def _torchs(logits, labels):
    return functional.cross_entropy(logits, labels, reduction="none")


def _without_a_difference(logits, labels):
    """The same without 1 − p_y, which float64 loses too, from a lead of 33 on."""
    others = logits.scatter(1, labels[:, None], float("-inf")).logsumexp(dim=1)
    return functional.softplus(others - logits.gather(1, labels[:, None])[:, 0])


@confidences
@pytest.mark.parametrize("reference", [_torchattacks, _foolbox, _art])
def test_where_a_reference_steps_another_way_the_gradient_of_float64_steps_ours(
    confident, reference
):
    network, images, labels, leads = confident
    step = last_iterate(FGSM(), network, images, labels, EPSILON).clamp(0, 1)
    apart = (step - reference("fgsm", network, images, labels)).abs() > 1e-6
    assert float(apart.float().mean()) > 0.1
    for loss, known in ((_without_a_difference, leads < torch.inf), (_torchs, leads < 25)):
        exact = images + EPSILON * _signs(network, images, labels, loss).float()
        agree = (step - exact.clamp(0, 1)).abs() <= 1e-6
        asked = apart & known[:, None, None, None]
        assert int(asked.sum()) > 500
        assert float(agree[asked].float().mean()) >= 0.99


@confidences
@pytest.mark.parametrize(("name", "reference"), [
    *((name, reference) for name in ("fgsm", "bim", "mi-fgsm")
      for reference in (_torchattacks, _art)),
    ("fgsm", _foolbox), ("bim", _foolbox),  # whose momentum is of signs
])
def test_up_to_a_lead_of_12_it_is_the_references_and_above_it_breaks_no_fewer(
    confident, name, reference
):
    network, images, labels, leads = confident
    theirs = reference(name, network, images, labels)
    apart = (last_iterate(_native(name), network, images, labels, EPSILON).clamp(0, 1)
             - theirs).flatten(1).abs().amax(dim=1)
    assert float(apart[leads <= 12].max()) <= 1e-6
    assert float((apart[leads > 17] > 1e-6).float().mean()) > 0.5
    with torch.no_grad():
        broken = torch.ne(network(theirs).argmax(dim=1), labels)
    ours = _native(name)(network, images, labels, epsilons=[EPSILON])[0].success
    assert int(ours.sum()) >= int(broken.sum()) > 0
