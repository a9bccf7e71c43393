"""The registry: cards, entry points and providers."""

from robench.registry.card import KINDS, Card, Kind, card
from robench.registry.plugins import Broken, Plugin
from robench.registry.registry import Entry, Registry

__all__ = ["KINDS", "Broken", "Card", "Entry", "Kind", "Plugin", "Registry", "card"]
