"""The commands as a person meets them: wall time, peak memory, and the limits they are held to."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_PROGRAM = "from robench.cli.main import main; main()"


@dataclass(frozen=True)
class Job:
    """A command, how often it is timed, and its limits in seconds and GB."""

    name: str
    arguments: tuple[str, ...]
    seconds: float
    repeats: int = 5
    gigabytes: float | None = None


def measure(job: Job) -> tuple[float, float]:
    """(median wall seconds, peak resident GB of one process)."""
    walls, peak = [], 0.0
    for _ in range(job.repeats):
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *job.arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        walls.append(time.perf_counter() - started)
        peak = max(peak, usage.ru_maxrss / (1e6 if sys.platform != "darwin" else 1e9))
        if status:
            raise SystemExit(f"robench {' '.join(job.arguments)} failed")
    return statistics.median(walls), peak


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = ("--store", str(Path(folder) / "store"))
        quickstart = ("run", "--matrix", "quickstart", *store)
        jobs = [
            Job("quickstart, empty store", quickstart, 180, repeats=1, gigabytes=2.5),
            Job("quickstart, second run", quickstart, 5),
            Job("robench list models", ("list", "models"), 1),
            Job("robench report", ("report", *store), 1),
        ]
        print(f"python {platform.python_version()}, {os.cpu_count()} cores, "
              f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}\n")
        print("| command | seconds | limit | peak GB | limit |\n|---|---:|---:|---:|---:|")
        for job in jobs:
            wall, peak = measure(job)
            memory = "–" if job.gigabytes is None else f"{job.gigabytes:g}"
            print(f"| {job.name} | {wall:.2f} | {job.seconds:g} | {peak:.2f} | {memory} |",
                  flush=True)


if __name__ == "__main__":
    main()
