"""Progress of a run on a terminal; lines where there is none."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from robench.plan import Ladder, Remaking, Training
from robench.runner.events import Listener
from robench.training.monitor import EpochReport


class Bars(Listener):
    """A bar over cells, and one for the training or attack at work."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._progress = Progress(
            TextColumn("{task.description}",
                       table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=12), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
            console=screen, transient=True, expand=True, disable=not screen.is_terminal,
        )
        self._cells = self._progress.add_task("cells", total=None, note="", visible=False)
        self._work = self._progress.add_task("", total=None, note="", visible=False)
        self._training = ""

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def planned(self, *, cells: int, found: int) -> None:
        self._line(f"{cells} cells, {found} found in the store")
        self._progress.update(self._cells, total=cells, completed=found, visible=found < cells)

    def training(self, training: Training | Remaking) -> None:
        self._training = training.label
        self._begin(f"train {training.label}", None)

    def batch(self, done: int, total: int) -> None:
        self._progress.update(self._work, completed=done, total=total)

    def epoch(self, report: EpochReport) -> None:
        told = (f"epoch {report.epoch}/{report.epochs} · train {report.train_accuracy:.1%}"
                f"{_share(' · validation ', report.validation_accuracy)}"
                f"{_share(' · robust ', report.robust_accuracy)}"
                + (f" · {report.remark}" if report.remark else ""))
        left = f"{report.seconds_left:.0f} s left"
        brief = (f"{report.epoch}/{report.epochs}{_share(' · val ', report.validation_accuracy)}"
                 f"{_share(' · robust ', report.robust_accuracy)} · {left}")
        self._progress.update(self._work, note=brief)
        last = report.epoch == report.epochs or report.stop
        if last or report.remark or not self._screen.is_terminal:
            self._line(f"train {self._training}: {told}" + ("" if last else f" · {left}"))

    def attacking(self, ladder: Ladder, images: int) -> None:
        self._begin(f"attack {ladder.label}", images)

    def attacked(self, images: int) -> None:
        self._progress.advance(self._work, images)

    def finished(self, ladder: Ladder, cells: int) -> None:
        self._progress.advance(self._cells, cells)
        if not self._screen.is_terminal:
            self._line(f"attacked {ladder.label}: {cells} cells")

    def failed(self, label: str, error: str, cells: int) -> None:
        self._progress.advance(self._cells, cells)
        self._print(Text.assemble(("failed ", "bold red"), f"{label}: {error}"))

    def smaller_batch(self, size: int) -> None:
        self._line(f"memory ran out: going on with {size} images at once")

    def waiting(self, label: str) -> None:
        self._line(f"waiting: another process is at work on {label}")

    def _begin(self, what: str, total: int | None) -> None:
        self._progress.reset(self._work, total=total, description=what, note="", visible=True)

    def _line(self, text: str) -> None:
        self._print(Text(text, style="dim"))

    def _print(self, text: Text) -> None:
        self._progress.console.print(text, soft_wrap=True)


def _share(name: str, value: float | None) -> str:
    return "" if value is None else f"{name}{value:.1%}"
