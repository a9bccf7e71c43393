"""robench: how robust is an image classifier, and can the number be trusted?

Importing this is cheap; torch is loaded by what computes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Attack": "robench.attacks.base",
    "AttackResult": "robench.attacks.result",
    "Dataset": "robench.data",
    "Split": "robench.data",
    "UserError": "robench.errors",
    "Victim": "robench.victim",
    "attack": "robench.api",
    "audit": "robench.audit",
    "card": "robench.registry",
    "dataset": "robench.api",
    "model": "robench.api",
    "run": "robench.api",
    "run_all": "robench.api",
}

__all__ = ["Attack", "AttackResult", "Dataset", "Split", "UserError", "Victim", "__version__",
           "attack", "audit", "card", "dataset", "model", "run", "run_all"]

if TYPE_CHECKING:
    from robench.api import attack, dataset, model, run, run_all
    from robench.attacks.base import Attack
    from robench.attacks.result import AttackResult
    from robench.audit.entrance import audit
    from robench.data import Dataset, Split
    from robench.errors import UserError
    from robench.registry import card
    from robench.victim import Victim


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'robench' has no attribute '{name}'")
    module = import_module(_PUBLIC[name])
    return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
