"""What was asked: YAML → Matrix."""

from robench.matrix.items import WORST_CASE, Item
from robench.matrix.matrix import Matrix, Pruning, find, load
from robench.matrix.numbers import Epsilon

__all__ = ["WORST_CASE", "Epsilon", "Item", "Matrix", "Pruning", "find", "load"]
