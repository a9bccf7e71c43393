"""Checkpoints of a plan: found in the store, or made by one process at a time and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from robench.data import Dataset
from robench.plan import Remaking, Target, Training
from robench.registry import Registry
from robench.runner.events import Listener
from robench.runner.networks import train
from robench.runner.remaking import remade
from robench.runner.training import StoredMonitor
from robench.store import Store


@dataclass(frozen=True)
class Checkpoints:
    """The weights of networks, as bytes of safetensors files.

    Each method gives None where another process is making what is asked for and `wait` is false.
    """

    store: Store
    datasets: Mapping[str, Dataset]
    registry: Registry
    listener: Listener
    device: torch.device

    def of(self, target: Target, *, wait: bool) -> bytes | None:
        """The weights of a target's checkpoint: trained, or remade after its pruning."""
        if target.remaking is not None:
            return self._remade(target.remaking, wait=wait)
        return self.trained(target.training, wait=wait)

    def trained(self, training: Training, *, wait: bool) -> bytes | None:
        """The weights of a trained network."""

        def make() -> bytes:
            self.listener.training(training)
            return train(
                training, self.datasets[training.dataset.label], self.registry,
                device=self.device, monitor=self._monitor(training.key),
            )

        return self._once(training.key, make, wait=wait)

    def _remade(self, remaking: Remaking, *, wait: bool) -> bytes | None:
        def make() -> bytes | None:
            before, training = remaking.before, remaking.training
            weights = (self._remade(before, wait=wait) if before
                       else self.trained(training, wait=wait))
            if weights is None:
                return None
            self.listener.training(remaking)
            return remade(
                remaking, weights, self.datasets[training.dataset.label], self.registry,
                device=self.device, monitor=self._monitor(remaking.key),
            )

        return self._once(remaking.key, make, wait=wait)

    def _once(self, key: str, make: Callable[[], bytes | None], *, wait: bool) -> bytes | None:
        found = self.store.read("checkpoint", key)
        if found is not None:
            return found
        with self.store.claim(key, wait=wait) as mine:
            if not mine:
                return None
            found = self.store.read("checkpoint", key)
            if found is not None:
                return found
            made = make()
            if made is not None:
                self.store.write("checkpoint", key, made)
                self.store.clear_progress(key)
            return made

    def _monitor(self, key: str) -> StoredMonitor:
        return StoredMonitor(self.store, key, self.listener)
