import pytest
import torch

from robench.attacks.balls import ascent_direction, project

IMAGES = torch.full((1, 1, 2, 2), 0.5)


@pytest.mark.parametrize("norm", ["l0", "l3"])
def test_no_projection_onto_other_balls(norm):
    with pytest.raises(ValueError, match=f"onto the {norm} ball: expected linf, l2, l1"):
        project(IMAGES, IMAGES, 0.1, norm)


@pytest.mark.parametrize("norm", ["l0", "l1", "l3"])
def test_no_direction_for_other_norms(norm):
    with pytest.raises(ValueError, match=f"for {norm}: expected linf or l2"):
        ascent_direction(IMAGES, norm)
