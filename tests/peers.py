"""Other people's implementations, which results are compared with."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import pytest


def peer(name: str) -> ModuleType:
    """The module `name`; where it is missing the test is skipped, or, with `ROBENCH_REFERENCES`
    set as in continuous integration, fails."""
    if os.environ.get("ROBENCH_REFERENCES"):
        return importlib.import_module(name)
    return pytest.importorskip(name)
