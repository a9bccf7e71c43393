"""Checks on results: can a table be believed? No torch.

`robench.audit(table)` audits a DataFrame, a CSV file, a run, or `"published"`, the printed tables
that ship with robench.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robench.audit.finding import Audit

__all__: list[str] = []


class _CallableModule(ModuleType):
    """`robench.audit` names this package and, in DESIGN's contract, a function: it is both."""

    def __call__(self, table: Any) -> Audit:
        from robench.audit.entrance import audit

        return audit(table)


sys.modules[__name__].__class__ = _CallableModule
