"""robench from Python: the same things as its commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench import matrix as matrices
from robench.errors import MissingDataError, UserError
from robench.registry import BUDGET, Registry
from robench.results import Run
from robench.runner.events import Listener
from robench.runner.prepare import Loaded, Prepared, prepare
from robench.runner.record import execution, git_commit, open_run
from robench.store import Store, default_folder

if TYPE_CHECKING:
    from torch import nn

    from robench.attacks.base import Attack
    from robench.data import Dataset

BATCH_SIZE = 256


def attack(name: str, **params: Any) -> Attack:
    """The attack `name` with settings `params`; call it as `attack(model, images, labels, …)`.

    `budget`, which every attack takes, is how many forwards and backwards it may spend on an image.
    """
    entry = Registry.discover().get("attack", name)
    settings = entry.card.settings(params)
    budget = settings.pop(BUDGET, None)
    made: Attack = _made(name, lambda: entry.load()(**settings))
    made.name = entry.card.name
    if budget is not None:
        _made(name, lambda: made.spending(budget))
    return made


def model(
    name: str, *, num_classes: int, image_size: int | tuple[int, int], in_channels: int = 3,
    checkpoint: str | Path | None = None, seed: int = 0, **params: Any,
) -> nn.Module:
    """The network `name`, from float32 pixels N×C×H×W in [0,1] to logits N×K, in eval mode.

    Its weights are those of `checkpoint`, or drawn from `seed`.
    """
    from robench.models.build import build

    entry = Registry.discover().get("model", name)
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    return build(
        entry.load(), num_classes=num_classes, in_channels=in_channels, image_size=size,
        settings=entry.card.settings(params), seed=seed,
        checkpoint=None if checkpoint is None else Path(checkpoint),
    ).eval()


def dataset(name: str, **params: Any) -> Dataset:
    """The data set `name`: splits of uint8 images N×H×W×C with labels, ids and groups."""
    entry = Registry.discover().get("dataset", name)
    made: Dataset = _made(name, lambda: entry.load()(**entry.card.settings(params)))
    return made


@dataclass(frozen=True)
class Job:
    """A matrix that is planned on a store, before anything is computed."""

    prepared: Prepared
    store: Store
    registry: Registry

    @property
    def missing(self) -> int:
        """How many cells are not in the store."""
        return sum(
            not self.store.has("outcomes", cell.key) for cell in self.prepared.plan.cells
        )

    def check_attacks(self) -> None:
        """Raise UserError for settings that an attack refuses; also where its data set is missing.

        For a plan that is only looked at: `execute` tries networks, defenses and recipes as well,
        which takes longer and may load weights.
        """
        from robench.runner.networks import try_attacks

        try_attacks((*self.prepared.plan.ladders, *self.prepared.waiting), self.registry)

    def execute(
        self, *, device: str = "auto", batch_size: int = BATCH_SIZE,
        listener: Listener | None = None, available: bool = False,
    ) -> Run:
        """Compute what is missing, keep it, and give the run.

        Raises UserError, before anything is kept, for what cannot work; MissingDataError where data
        sets are not on this machine, unless they are `available` and some are: those run alone.
        Cells that fail are recorded, see `Run.failures`.
        """
        _check_data([self], available=available)
        if isinstance(batch_size, bool) or batch_size < 1:
            raise UserError("batch size", got=batch_size, expected="a whole number ≥ 1")
        plan, follower = self.prepared.plan, listener or Listener()
        record = open_run(self.store, plan, self.prepared.datasets)
        missing = self.missing
        if missing:
            self._compute(record, device, batch_size, follower, missing=missing)
        else:
            follower.planned(cells=len(plan.cells), found=len(plan.cells))
            if self.store.read_run(plan.run_id) is None:
                self.store.write_run(plan.run_id, record)
        return Run(record, self.store)

    def _compute(
        self, record: dict[str, Any], device: str, batch_size: int, listener: Listener, *,
        missing: int,
    ) -> None:
        from robench.device import choose, describe
        from robench.runner.walk import Walk

        # The checkout may change while a long run goes on.
        started, commit, chosen = datetime.now(UTC), git_commit(), choose(device)
        walk = Walk(
            self.prepared.plan, self.prepared.datasets, self.store, self.registry, listener,
            chosen, batch_size,
        )
        try:
            walk.check()
            listener.planned(cells=(cells := len(self.prepared.plan.cells)), found=cells - missing)
            self.store.write_run(record["id"], record)
            walk.run()
        finally:
            if walk.made:
                here = execution(
                    started=started, device=describe(chosen), computed=walk.made,
                    registry=self.registry, commit=commit,
                )
                # Another process may have written to the record of the same run meanwhile.
                with self.store.claim(record["id"], wait=True):
                    known = self.store.read_run(record["id"]) or record
                    record["executions"] = [*known["executions"], here]
                    self.store.write_run(record["id"], record)


def plan(
    matrix: str | Path | Mapping[str, Any], *, store: str | Path | None = None,
    altered: Callable[[Path], None] | None = None,
) -> Job:
    """Read a matrix (a file, the name of a shipped one, or a mapping) and plan it on a store."""
    registry = Registry.discover()
    return _planned(matrices.load(matrix, registry), registry, store, altered, {})


def plan_all(
    matrix: str | Path | Mapping[str, Any], *, store: str | Path | None = None,
    altered: Callable[[Path], None] | None = None,
) -> tuple[Job, ...]:
    """As `plan`, for one that may include others: a job for each, in its order."""
    registry = Registry.discover()
    loaded: Loaded = {}
    return tuple(_planned(each, registry, store, altered, loaded)
                 for each in matrices.load_all(matrix, registry))


def run(
    matrix: str | Path | Mapping[str, Any], *, store: str | Path | None = None,
    device: str = "auto", batch_size: int = BATCH_SIZE, listener: Listener | None = None,
    available: bool = False,
) -> Run:
    """Run a matrix; what the store holds already is not computed again.

    `available`: leave out the data sets that are not on this machine, instead of raising
    MissingDataError, which says where to get them.
    """
    return plan(matrix, store=store).execute(
        device=device, batch_size=batch_size, listener=listener, available=available
    )


def run_all(
    matrix: str | Path | Mapping[str, Any], *, store: str | Path | None = None,
    device: str = "auto", batch_size: int = BATCH_SIZE, listener: Listener | None = None,
    available: bool = False,
) -> tuple[Run, ...]:
    """As `run`, for a matrix that may include others, as `paper` does: a run for each.

    With `available`, a matrix of which no data set is there gives none.
    """
    jobs = runnable(plan_all(matrix, store=store), available=available)
    return tuple(job.execute(device=device, batch_size=batch_size, listener=listener,
                             available=available) for job in jobs)


def runnable(
    jobs: Sequence[Job], *, available: bool, expected: str = "them, or available=True",
) -> list[Job]:
    """The jobs that can be run; MissingDataError, with all that is missing, where one cannot.

    `available`: those that can, in part at least, unless there are none.
    """
    _check_data(jobs, available=available, expected=expected)
    return [job for job in jobs if job.prepared.datasets]


def _check_data(
    jobs: Sequence[Job], *, available: bool, expected: str = "them, or available=True"
) -> None:
    missing = [error for job in jobs for error in job.prepared.missing.values()]
    if missing and not available:
        raise MissingDataError.together(missing, expected=expected)
    if missing and not any(job.prepared.datasets for job in jobs):
        raise MissingDataError.together(missing, expected="at least one of them")


def _planned(
    matrix: matrices.Matrix, registry: Registry, store: str | Path | None,
    altered: Callable[[Path], None] | None, loaded: Loaded,
) -> Job:
    folder = default_folder() if store is None else Path(store).expanduser()
    return Job(prepare(matrix, loaded=loaded), Store(folder, altered=altered), registry)


def _made(name: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise UserError(f"'{name}': {error}") from error
