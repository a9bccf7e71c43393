"""Versions of the code that makes artifacts: part of every key.

Whoever changes what one of these computes raises its number, and what was computed before is
made again. The things of the registry carry their own version on their card.
"""

from __future__ import annotations

TRAINING = 1
"""Building a network for a data set, seeding it, storing its weights."""

PRUNING = 1

CRAFTING = 8
"""The protocol of attacks, random draws, losses, and the measurement of outcomes."""
