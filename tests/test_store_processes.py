"""Several processes at one store, and processes that are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from robench.store import Store

KEY, OTHER = "ab" + "0" * 62, "cd" + "1" * 62


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


_WRITER = """
import sys
from pathlib import Path
from robench.store import Store
store = Store(Path(sys.argv[1]))
for number in range(10**9):
    key = f"{number:064x}"[::-1]
    store.write("outcomes", key, key.encode() * 20000)
    store.write_run("run", {"number": number, "filler": "x" * 100000})
    print(number, flush=True)
"""


@pytest.mark.parametrize("more", [0.0, 0.0013, 0.0037])
def test_a_killed_writer_leaves_nothing_that_is_not_whole(tmp_path: Path, more: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        for _ in range(5):
            writer.stdout.readline()
        time.sleep(more)
        writer.send_signal(signal.SIGKILL)
    said: list[Path] = []
    store = Store(tmp_path, altered=said.append)
    whole = [path for path in (tmp_path / "outcomes").glob("*/*") if path.name[0] != "."]
    assert len(whole) >= 5
    for path in whole:
        key = path.name.partition(".")[0]
        assert store.read("outcomes", key) == key.encode() * 20000
    assert said == []
    run = store.read_run("run")
    assert run is not None
    assert len(run["filler"]) == 100000


_KILLED = {
    "in the middle of a write": """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))
""",
    "before the file is flushed": "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)",
}
_WRITE_ONCE = """
import os, signal, sys
from pathlib import Path
from robench.store import Store
store = Store(Path(sys.argv[1]))
{prepared}
{write}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the system on a process")
@pytest.mark.parametrize("prepared", _KILLED.values(), ids=_KILLED)
@pytest.mark.parametrize(
    "write",
    ["store.write('outcomes', 'ab' * 32, b'x' * 200000)",
     "store.write_run('run', {'filler': 'x' * 200000})",
     "store.write_progress('ab' * 32, b'x' * 200000)"],
)
def test_killed_at_the_worst_moment(store: Store, prepared: str, write: str) -> None:
    store.write_run("run", {"filler": "before"})
    store.write_progress("ab" * 32, b"before")
    code = _WRITE_ONCE.format(prepared=prepared, write=write)
    done = subprocess.run([sys.executable, "-c", code, str(store.folder)], check=False)
    assert done.returncode < 0
    said: list[Path] = []
    again = Store(store.folder, altered=said.append)
    assert again.read("outcomes", "ab" * 32) is None
    assert again.read_run("run") == {"filler": "before"}
    assert again.read_progress("ab" * 32) == b"before"
    assert (again.run_ids(), said) == (["run"], [])
    again.write("outcomes", "ab" * 32, b"x" * 200000)
    assert again.has("outcomes", "ab" * 32)


_HOLDER = """
import sys
from pathlib import Path
from robench.store import Store
with Store(Path(sys.argv[1])).claim(sys.argv[2], wait=False) as mine:
    print(mine, flush=True)
    sys.stdin.readline()
"""


def holder(store: Store) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(store.folder), KEY],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"True\n"
    return process


def claimed(store: Store, key: str = KEY) -> bool:
    with store.claim(key, wait=False) as mine:
        return mine


def test_a_claim_excludes_other_processes_until_it_ends(store: Store) -> None:
    with holder(store) as process:
        assert not claimed(store)
        assert claimed(store, OTHER)
        release = threading.Timer(0.3, process.communicate, kwargs={"input": b"\n"})
        release.start()
        started = time.monotonic()
        with store.claim(KEY, wait=True) as mine:
            assert mine
        assert time.monotonic() - started > 0.1
        release.join()
    assert claimed(store)


def test_the_claim_of_a_killed_process_is_free(store: Store) -> None:
    with holder(store) as process:
        assert not claimed(store)
        process.kill()
        process.wait()
        assert claimed(store)


def test_a_claim_ends_with_an_error(store: Store) -> None:
    claim = store.claim(KEY, wait=False)
    assert claim.__enter__()
    assert not claimed(store)
    error = KeyError("in the work")
    assert not claim.__exit__(KeyError, error, None)
    assert claimed(store)
