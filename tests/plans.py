"""Plans of one matrix with some keys changed, on data that need not be there."""

from __future__ import annotations

from typing import Any

from robench.matrix import load
from robench.plan import DataFacts, Plan
from robench.planning import make_plan
from robench.registry import Registry

REGISTRY = Registry.discover()
FACTS = DataFacts("f" * 64, num_classes=10, in_channels=1, image_size=(8, 8), train=100,
                  validation=10, test=50)
BASE: dict[str, Any] = {
    "name": "m", "datasets": ["digits"], "models": ["small-cnn"], "attacks": ["fgsm", "pgd"],
    "epsilons": [0.05, 0.1, 0.2], "pruning": {"rates": [0, 0.5]}, "defenses": ["none", "jpeg"],
}


def planned(
    *, facts: DataFacts = FACTS, registry: Registry = REGISTRY, weights: str = "a" * 64,
    **changed: Any,
) -> Plan:
    matrix = load({**BASE, **changed}, registry)
    return make_plan(matrix, {item.label: facts for item in matrix.datasets},
                     {model.checkpoint: weights for model in matrix.models if model.checkpoint})
