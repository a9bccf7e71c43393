"""What was asked: YAML → Matrix."""

from robench.matrix.items import WORST_CASE, Item
from robench.matrix.matrix import Matrix, find, load
from robench.matrix.numbers import UNBOUNDED, Epsilon
from robench.matrix.pruning import Pruning
from robench.matrix.suite import load_all
from robench.matrix.threats import Threat

__all__ = ["UNBOUNDED", "WORST_CASE", "Epsilon", "Item", "Matrix", "Pruning", "Threat", "find",
           "load", "load_all"]
