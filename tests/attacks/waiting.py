"""A device that makes the host wait, as a GPU does, in place of the CPU."""

from __future__ import annotations

import pytest


def wait_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, the host takes every device for one of which it has to wait for values."""
    for module in (
        "boundaries", "expectation", "glance", "jsma", "keeping", "losses", "query", "view",
    ):
        monkeypatch.setattr(f"robench.attacks.{module}.reading_waits", lambda _: True)
    monkeypatch.setattr("robench.victim.reading_waits", lambda _: True)
