"""Images that other victims are to be shown: attacks that do not stop at the first success."""

from __future__ import annotations

import pytest
import torch

import robench
from robench.attacks.losses import margin
from robench.victim import Victim

EPSILON = 0.15


@pytest.mark.parametrize(("name", "settings"), [
    ("fgsm", {}), ("pgd", {"steps": 10}), ("bim", {"steps": 10}), ("mi-fgsm", {"steps": 10}),
    ("apgd", {"steps": 10}), ("square", {"queries": 60}), ("noise", {}),
])
def test_the_image_most_wrong_is_kept(cnn, right, name, settings):
    images, labels = right[0][:24], right[1][:24]
    victim = Victim(cnn).eval().requires_grad_(False)
    names = [str(row) for row in range(len(images))]
    attack = robench.attack(name, **settings)

    def run(to_the_end: bool):
        (found,) = attack.climb(victim, images, labels, epsilons=[EPSILON], image_ids=names,
                                ladder=False, seed=0, to_the_end=to_the_end)
        return found

    stopped, ended = run(False), run(True)
    assert bool(stopped.success.any()) or name == "noise"
    # what is broken is broken either way; it is more wrong, and by passes that went on
    assert bool((ended.success | ~stopped.success).all())
    assert bool((ended.margin <= stopped.margin + 1e-5).all())
    assert bool((ended.forwards >= stopped.forwards).all())
    own = margin(victim.logits(ended.adversarial), labels)
    torch.testing.assert_close(own, ended.margin, rtol=1e-3, atol=1e-3)
    assert torch.equal(own < 0, ended.success)
    away = (ended.adversarial - images).abs().flatten(1).amax(1)
    assert float(away.max()) <= EPSILON * (1 + 1e-6)
    if name in ("pgd", "bim", "mi-fgsm"):
        assert float(ended.margin.mean()) < float(stopped.margin.mean()) - 1.0
