import pytest

from robench.attacks.one_pixel import OnePixel


@pytest.mark.parametrize("name", ["pixels", "population", "generations"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "4", None, (1, 3, 5)])
def test_settings_that_are_no_count(name, value):
    with pytest.raises(ValueError, match=rf"{name}: got .*, expected a whole number ≥ 1"):
        OnePixel(**{name: value})


@pytest.mark.parametrize("population", [1, 2, 3])
def test_a_population_without_three_parents(population):
    with pytest.raises(ValueError, match=rf"population: got {population}, expected at least 4"):
        OnePixel(population=population)
