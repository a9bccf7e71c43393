import pytest
import torch

import robench
from robench.errors import UserError, VictimError
from robench.precision import arithmetic
from robench.victim import Victim
from tests.attacks.networks import load_digit_images, trained_cnn

MATRIX = {"name": "low", "datasets": ["digits"], "models": ["small-cnn"],
          "recipes": [{"standard": {"epochs": 2, "batch_size": 64}}],
          "attacks": [{"pgd": {"steps": 4}}, "fgsm"], "epsilons": [0.05, 0.1], "samples": 60}


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digit_images()
    return trained_cnn(), images[1400:1500], labels[1400:1500]


@pytest.mark.parametrize("name", ["fgsm", "bim", "apgd", "deepfool", "square"])
def test_a_success_in_low_precision_is_one_in_float32(digits, name):
    network, images, labels = digits
    attack = robench.attack(name, **({"queries": 50} if name == "square" else {}))
    for arranged in (False, True):
        victim = Victim(network, precision="bfloat16").eval().requires_grad_(False)
        if arranged:
            victim.arrange(images)
        low = attack(victim, images, labels, epsilons=[0.15])[0]
        with torch.no_grad():
            wrong = network(low.adversarial).argmax(dim=1) != labels
            right = network(images).argmax(dim=1) == labels
        assert torch.equal(low.success, wrong & right)
        exact = attack(network, images, labels, epsilons=[0.15])[0]
        assert abs(int(low.success.sum()) - int(exact.success.sum())) <= 3
        assert victim.differed <= victim.confirmations
        if name != "square":  # which needs no gradient, and computes in float32
            assert victim.confirmations > 0


@pytest.mark.parametrize(("name", "settings"), [
    ("deepfool", {}), ("fab", {"steps": 10}), ("fab", {"steps": 10, "targeted": True}),
])
def test_a_boundary_is_looked_for_in_float32(digits, name, settings):
    network, images, labels = digits
    attack = robench.attack(name, **settings)
    low, exact = (
        attack(Victim(network, precision=precision).eval().requires_grad_(False), images, labels,
               epsilons=None)[0]
        for precision in ("bfloat16", "float32")
    )
    assert float(exact.success.float().mean()) > 0.9
    assert torch.equal(low.success, exact.success)
    assert torch.allclose(low.distance, exact.distance, rtol=1e-3)


class _Shows(robench.Attack):
    """Asks for the gradient at an iterate, and gives back the images as they are."""

    def __init__(self, iterate):
        self.iterate = iterate

    def perturb(self, victim, images, labels, *, epsilon, random):
        victim.gradient(self.iterate)
        return images


def test_an_iterate_that_breaks_the_image_in_float32_alone_counts_where_the_verdict_is_in_doubt():
    """bfloat16 has eight bits: numbers from 0.5 to 1 are a 256th apart, those from 8 to 16 a
    sixteenth. A pixel of 0.5021 is taken for 0.5039, one of 0.5019 and its weight of 10.02 for 0.5
    and 10."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[10.0, 0.0], [0.0, 10.02]]))
    images = torch.tensor([0.6, 0.5]).reshape(1, 1, 1, 2)
    iterate = torch.tensor([0.5021, 0.5019]).reshape(1, 1, 1, 2)
    with torch.no_grad():
        assert network(images).argmax(dim=1).tolist() == [0]
        assert network(iterate).argmax(dim=1).tolist() == [1]
        with arithmetic(torch.device("cpu"), "bfloat16"):
            rounded = network(iterate)
    assert rounded.tolist() == [[5.03125, 5.0]]

    for precision, asked in (("bfloat16", 1), ("float32", 0)):
        victim = Victim(network, precision=precision).eval().requires_grad_(False)
        result = _Shows(iterate)(victim, images, torch.tensor([0]), epsilons=[0.1])[0]
        assert result.success.tolist() == [True]
        assert torch.equal(result.adversarial, iterate)
        assert result.first_success.tolist() == [1]
        assert float(result.margin) == pytest.approx(10 * 0.5021 - 10.02 * 0.5019, abs=1e-6)
        assert victim.confirmations >= asked
        assert victim.differed == asked


def test_gradients_alone_are_in_low_precision(digits):
    network, images, labels = digits
    exact, low = Victim(network).eval(), Victim(network, precision="bfloat16").eval()
    assert torch.equal(exact.logits(images), low.logits(images))
    loss = torch.nn.functional.cross_entropy
    one, other = (victim.gradient(images, labels, loss)[1] for victim in (exact, low))
    assert not torch.equal(one, other)
    assert other.dtype == torch.float32
    agree = (one.sign() == other.sign()).float().mean()
    assert float(agree) > 0.9


def test_a_run_in_low_precision_has_the_keys_of_any_other_and_a_flag(tmp_path):
    low = robench.run({**MATRIX, "precision": "bfloat16"}, store=tmp_path / "low")
    exact = robench.run(MATRIX, store=tmp_path / "exact")
    keys = [[cell["key"] for cell in run.record["cells"]] for run in (low, exact)]
    assert keys[0] == keys[1]
    assert low.record["matrix"]["precision"] == "bfloat16"
    for run, flagged in ((low, True), (exact, False)):
        flags = run.leaderboard()["flags"].fillna("")
        assert all(("bfloat16" in row.split(",")) == flagged for row in flags)
    about = [about for _, _, about in low.cells()]
    assert all(each["verdicts"]["differed"] <= each["verdicts"]["confirmed"] for each in about)
    assert any(each["verdicts"]["confirmed"] for each in about)


def test_verdicts_are_counted_for_each_attack_and_stochastic_victims_stay_in_float32(tmp_path):
    def counted(name, attacks):
        run = robench.run({**MATRIX, "precision": "bfloat16", "draws": 2, "attacks": attacks,
                           "defenses": ["none", "randomisation"]}, store=tmp_path / name)
        return run, {(record.defense, record.attack, record.epsilon): about.get("verdicts")
                     for record, _, about in run.cells()}

    bim = {"bim": {"steps": 3}}
    low, both = counted("both", ["fgsm", bim])
    _, alone = counted("alone", [bim])
    for epsilon in (0.05, 0.1):
        assert both["none", "bim", epsilon]["confirmed"] > 0
        assert both["none", "bim", epsilon] == alone["none", "bim", epsilon]
        assert both["randomisation", "bim", epsilon] is None
    flags = low.leaderboard().set_index("defense")["flags"].fillna("")
    assert not any("bfloat16" in row for row in flags["randomisation"])


def test_what_is_no_precision(tmp_path):
    with pytest.raises(UserError, match=r"(?s)precision.*got 'half'.*float32"):
        robench.run({**MATRIX, "precision": "half"}, store=tmp_path)
    with pytest.raises(UserError, match="tf32"):
        robench.run({**MATRIX, "precision": "tf32"}, store=tmp_path, device="cpu")
    assert not list(tmp_path.glob("**/*.parquet"))
    with pytest.raises(VictimError, match="tf32"), arithmetic(torch.device("cpu"), "tf32"):
        pass
