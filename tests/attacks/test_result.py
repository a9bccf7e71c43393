import torch

from robench.attacks.result import AttackResult


def _result(rows: int, *, epsilon: float, value: int) -> AttackResult:
    images = torch.full((rows, 1, 2, 2), 0.1 * value)
    return AttackResult(
        epsilon=epsilon, adversarial=images, success=torch.ones(rows, dtype=torch.bool),
        prediction=torch.full((rows,), value), margin=torch.full((rows,), float(-value)),
        distance=torch.full((rows,), 0.1 * value), forwards=torch.full((rows,), value),
        backwards=torch.full((rows,), value), first_success=torch.full((rows,), value),
        gradient_dead=torch.zeros(rows, dtype=torch.bool),
        unstarted=torch.zeros(rows, dtype=torch.bool), seconds=float(value),
    )


def test_untouched_images():
    images = torch.rand(3, 1, 2, 2)
    result = AttackResult.untouched(
        images, torch.tensor([1, 0, 1]), torch.tensor([0.5, -1.0, 2.0]), epsilon=0.1
    )
    assert len(result) == 3
    assert torch.equal(result.adversarial, images)
    assert result.adversarial is not images
    assert not bool(result.success.any())
    assert result.first_success.tolist() == [-1, -1, -1]
    assert result.forwards.tolist() == result.backwards.tolist() == [0, 0, 0]
    assert result.prediction.tolist() == [1, 0, 1]


def test_rows_of_another_result_replace_ones_own():
    old, new = _result(4, epsilon=0.1, value=1), _result(2, epsilon=0.2, value=2)
    both = old.with_rows(torch.tensor([3, 1]), new)
    assert both.epsilon == 0.2
    assert both.seconds == 2.0
    for name in ("prediction", "forwards", "backwards", "first_success"):
        assert getattr(both, name).tolist() == [1, 2, 1, 2]
    assert old.prediction.tolist() == [1, 1, 1, 1]


def test_selected_rows():
    old, new = _result(3, epsilon=0.1, value=1), _result(1, epsilon=0.1, value=2)
    some = old.with_rows(torch.tensor([2]), new).select(torch.tensor([2, 0]))
    assert len(some) == 2
    assert some.prediction.tolist() == [2, 1]
    assert some.adversarial.shape == (2, 1, 2, 2)
