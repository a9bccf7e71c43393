"""Trainings that are followed, and found again where they were interrupted."""

from __future__ import annotations

from robench.runner.events import Listener
from robench.store import Store
from robench.training.monitor import EpochReport
from robench.training.state import TrainingState


class StoredMonitor:
    """Keeps the state of a training in the store and tells a listener of it."""

    def __init__(self, store: Store, key: str, listener: Listener) -> None:
        self._store = store
        self._key = key
        self._listener = listener

    def epoch(self, report: EpochReport) -> None:
        self._listener.epoch(report)

    def batch(self, done: int, total: int) -> None:
        self._listener.batch(done, total)

    def load(self) -> TrainingState | None:
        content = self._store.read_progress(self._key)
        return None if content is None else TrainingState.from_bytes(content)

    def save(self, state: TrainingState) -> None:
        self._store.write_progress(self._key, state.to_bytes())
