"""What a data set's labels are taken for: all its classes, or two made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robench.errors import unknown


@dataclass(frozen=True)
class Task:
    """The classes there are, and which of them a published class number becomes (None: itself)."""

    class_names: tuple[str, ...]
    mapped: Mapping[int, int] | None = None

    def of(self, number: int) -> int:
        """The class of a published class number."""
        return number if self.mapped is None else self.mapped[number]


def task_of(name: str, tasks: Mapping[str, Task], *, where: str) -> Task:
    """The task a setting names, or UserError."""
    if name not in tasks:
        raise unknown("task", str(name), tasks, where=f"{where}: task")
    return tasks[name]
