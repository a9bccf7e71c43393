"""Every attack of robench's own that takes a target, and settings with which it takes no time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    epsilon: float
    settings: dict[str, Any] = field(default_factory=dict)
    slow: bool = False


_FAR = 99.0

CASES = {
    "fgsm": Case(0.2),
    "bim": Case(0.15, {"steps": 8}),
    "pgd": Case(0.15, {"steps": 8}),
    "mi-fgsm": Case(0.15, {"steps": 8}, slow=True),
    "di-fgsm": Case(0.15, {"steps": 8}, slow=True),
    "ti-fgsm": Case(0.35, {"steps": 8}, slow=True),
    "apgd": Case(0.15, {"steps": 10}),
    "cw": Case(_FAR, {"steps": 20, "binary_search_steps": 2, "learning_rate": 0.2,
                      "initial_const": 1.0}, slow=True),
    "fmn": Case(_FAR, {"steps": 15}, slow=True),
    "jsma": Case(_FAR, {"theta": 1.0, "gamma": 0.3}, slow=True),
    "lbfgs": Case(_FAR, {"steps": 10, "binary_search_steps": 2, "initial_const": 1.0}, slow=True),
    "patch": Case(12.0, {"steps": 20}, slow=True),
    "square": Case(0.25, {"queries": 100}),
    "spsa": Case(0.2, {"steps": 10, "samples": 16, "learning_rate": 0.05}),
    "one-pixel": Case(_FAR, {"population": 24, "generations": 12}),
    "boundary": Case(_FAR, {"steps": 60}),
    "hop-skip-jump": Case(_FAR, {"steps": 2, "samples": 20}),
    "fab": Case(_FAR, {"steps": 8}),
    "uap": Case(0.5, {"epochs": 3, "batch_size": 32}),
}
