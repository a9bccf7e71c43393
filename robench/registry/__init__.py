"""The registry: cards, entry points and providers."""

from robench.registry.card import BUDGET, KINDS, PRETRAINED, Card, Kind, card
from robench.registry.plugins import Broken, Plugin
from robench.registry.registry import OWN, Entry, Registry

__all__ = [
    "BUDGET", "KINDS", "OWN", "PRETRAINED", "Broken", "Card", "Entry", "Kind", "Plugin", "Registry",
    "card",
]
