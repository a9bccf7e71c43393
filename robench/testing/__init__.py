"""The conformance suite: does a model, attack, defense, data set or recipe keep its contract?

For a third party's own tests:

    def test_my_attack():
        assert_conformant(check_attack(MyAttack, steps=5))

`robench check PLUGIN` runs the same checks on what is installed.
"""

from robench.testing.attack import check_attack
from robench.testing.core import Check, assert_conformant
from robench.testing.dataset import check_dataset
from robench.testing.defense import check_defense
from robench.testing.model import check_model
from robench.testing.recipe import check_recipe

__all__ = ["Check", "assert_conformant", "check_attack", "check_dataset", "check_defense",
           "check_model", "check_recipe"]
