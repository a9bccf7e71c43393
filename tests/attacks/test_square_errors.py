import pytest

from robench.attacks.square import Square


@pytest.mark.parametrize("norm", ["l1", "l0", "Linf", 2, None])
def test_an_unknown_norm(norm):
    with pytest.raises(ValueError, match=r"norm: got .*, expected linf or l2"):
        Square(norm=norm)


@pytest.mark.parametrize("queries", [0, -5, 2.5, True, "100", None])
def test_queries_that_are_no_count(queries):
    with pytest.raises(ValueError, match=r"queries: got .*, expected a whole number ≥ 1"):
        Square(queries=queries)


@pytest.mark.parametrize("p_init", [0, -0.1, 1.1, float("nan"), True, "0.8", None])
def test_a_share_that_is_none(p_init):
    with pytest.raises(ValueError, match=r"p_init: got .*, expected a number > 0 and ≤ 1"):
        Square(p_init=p_init)
