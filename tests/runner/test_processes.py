"""Several processes on one store, and processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from robench.results import Run, find_run
from robench.scoring.leaderboard import rows_equal
from robench.store import Store

from .conftest import tiny


def start(store: Path) -> subprocess.Popen[str]:
    matrix = store.parent / "tiny.yaml"
    matrix.write_text(yaml.safe_dump(tiny()), encoding="utf-8")
    program = "from robench.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "run", "--matrix", str(matrix), "--store", str(store),
         "--batch-size", "16"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    return output


def artifacts(store: Path) -> set[str]:
    return {path.name for kind in ("checkpoint", "clean", "outcomes")
            for path in (store / kind).rglob("*") if path.is_file()}


def wait_for(condition: object, process: subprocess.Popen[str]) -> None:
    assert callable(condition)
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)


def test_two_processes_share_the_work(undisturbed: Run, store: Path) -> None:
    first, second = start(store), start(store)
    finish(first)
    finish(second)
    run = find_run(Store(store), None)
    assert rows_equal(run.leaderboard(), undisturbed.leaderboard())
    assert sum(part["cells_computed"] for part in run.record["executions"]) == 12
    names = [name.partition(".")[0] for name in artifacts(store)]
    assert len(names) == len(set(names)) == 1 + 2 + 12, "each artifact was made once"


@pytest.mark.parametrize(
    "moment", [*(pytest.param(each, marks=pytest.mark.slow) for each in ("training", "attacks")),
               "attack"]
)
def test_a_killed_run_is_finished_by_the_same_command(
    undisturbed: Run, store: Path, moment: str
) -> None:
    process = start(store)
    made = {"training": lambda: any((store / "progress").glob("*.safetensors")),
            "attack": lambda: any((store / "clean").rglob("*.parquet")),
            "attacks": lambda: len(list((store / "outcomes").rglob("*.parquet"))) >= 3}
    wait_for(made[moment], process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = artifacts(store) - {name for name in artifacts(store) if name.endswith(".tmp")}
    finish(start(store))
    run = find_run(Store(store), None)
    assert before <= artifacts(store), "what was finished stays"
    assert rows_equal(run.leaderboard(), undisturbed.leaderboard())
