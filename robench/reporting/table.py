"""What every report is made from: the leaderboard of a run and what is known of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robench.audit.finding import Finding
from robench.scoring.comparison import Comparison
from robench.scoring.rows import Row

if TYPE_CHECKING:
    from robench.reporting.details import Details


@dataclass(frozen=True)
class Failure:
    """A cell that could not be computed; `error` may be one line or a whole traceback."""

    key: str
    label: str
    error: str


@dataclass(frozen=True)
class RunTable:
    """A run as its reports show it.

    `rows` are those of `robench.scoring.rows.leaderboard_rows`. `name` is the matrix's
    name. `facts` may hold, every key optional, `datasets` (label to `train`, `validation`, `test`,
    `classes`, `duplicates`, `fingerprint`), `versions`, `device`, `matrix`, `git_commit`,
    `wall_seconds`, `members` (what an ensemble ran, by the attack's name, each way it did) and
    `verdicts` (how many were `confirmed` in float32, and how many of these `differed`).
    `epsilon_text` says how an epsilon was written, e.g. {8 / 255: "8/255"}. `findings` are those of
    the audit, `comparisons` those of the worst case. `details` are what layouts other than the
    leaderboard need besides.
    """

    rows: Sequence[Row]
    name: str
    run_id: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    epsilon_text: Mapping[float, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    details: Details | None = None
