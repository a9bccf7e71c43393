"""Matrices from text, as a file called m.yaml would hold it."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

import pytest

from robench.matrix import Matrix
from robench.matrix.document import Document
from robench.matrix.matrix import parse
from robench.registry import Registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.discover()


@pytest.fixture(scope="session")
def read(registry: Registry) -> Callable[[str], Matrix]:
    def from_text(text: str) -> Matrix:
        return parse(Document.parse(dedent(text), source="m.yaml"), registry)

    return from_text
