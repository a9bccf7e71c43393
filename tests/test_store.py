"""The store: what is written is read again, by any process, or is not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.store import FORMAT, Store, default_folder

KINDS = ("checkpoint", "clean", "outcomes")
KEY, OTHER = "ab" + "0" * 62, "cd" + "1" * 62


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def only(store: Store, kind: str) -> Path:
    (path,) = files(store.folder / kind)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(store: Store, kind: str) -> None:
    assert store.read(kind, KEY) is None
    assert not store.has(kind, KEY)
    store.write(kind, KEY, b"what it holds")
    again = Store(store.folder)
    assert again.read(kind, KEY) == b"what it holds"
    assert again.has(kind, KEY)
    for other in set(KINDS) - {kind}:
        assert not again.has(other, KEY)
    assert not again.has(kind, OTHER)


@given(st.binary(max_size=200))
def test_any_content(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    store.write("clean", KEY, content)
    assert store.read("clean", KEY) == content


def test_looking_writes_nothing(store: Store) -> None:
    store.read("clean", KEY)
    store.read_failure(KEY)
    store.read_progress(KEY)
    store.read_run("none")
    store.run_ids()
    store.clear_progress(KEY)
    assert not store.folder.exists()


def test_what_is_there_stays(store: Store) -> None:
    store.write("clean", KEY, b"first")
    before = only(store, "clean").stat().st_mtime_ns
    store.write("clean", KEY, b"second")
    assert store.read("clean", KEY) == b"first"
    assert only(store, "clean").stat().st_mtime_ns == before


def test_names_on_disk(store: Store) -> None:
    store.write("checkpoint", KEY, b"weights")
    path = only(store, "checkpoint")
    assert path.parent.name == KEY[:2]
    assert path.suffix == ".safetensors"
    assert json.loads((store.folder / "store.json").read_bytes()) == {"format": FORMAT}


@pytest.mark.parametrize("damage", [b"", b"what it hold", b"what it holdS", b"what it holds "])
def test_an_altered_file_is_said_set_aside_and_made_again(store: Store, damage: bytes) -> None:
    store.write("outcomes", KEY, b"what it holds")
    path = only(store, "outcomes")
    path.write_bytes(damage)
    said: list[Path] = []
    careful = Store(store.folder, altered=said.append)
    assert careful.read("outcomes", KEY) is None
    assert said == [path]
    assert not careful.has("outcomes", KEY)
    assert said == [path]
    (aside,) = path.parent.iterdir()
    assert ".altered-" in aside.name
    assert aside.read_bytes() == damage
    careful.write("outcomes", KEY, b"what it holds")
    assert careful.read("outcomes", KEY) == b"what it holds"
    assert path.exists()


def test_a_file_under_another_key_is_not_believed(store: Store) -> None:
    store.write("clean", KEY, b"one")
    path = only(store, "clean")
    path.rename(path.with_name(path.name.replace(".", ".f", 1)))
    assert store.read("clean", KEY) is None


def test_half_written_files_are_no_artifacts(store: Store) -> None:
    store.write("clean", KEY, b"whole")
    path = only(store, "clean")
    for name in (f".{path.name}.1234.5678.tmp", f"{path.name}.tmp"):
        path.with_name(name).write_bytes(b"who")
    path.unlink()
    said: list[Path] = []
    assert Store(store.folder, altered=said.append).read("clean", KEY) is None
    assert said == []
    (store.folder / "runs").mkdir()
    (store.folder / "runs" / ".a.json.1234.5678.tmp").write_bytes(b"{")
    assert store.run_ids() == []


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
    whole = [path for path in files(tmp_path / "outcomes") if not path.name.startswith(".")]
    assert len(whole) >= 5
    for path in whole:
        key = path.name.partition(".")[0]
        assert store.read("outcomes", key) == key.encode() * 20000
    assert said == []
    run = store.read_run("run")
    assert run is not None
    assert len(run["filler"]) == 100000


def test_failures_are_forgotten_when_the_artifact_is_made(store: Store) -> None:
    record = {"label": "a · b", "error": "ValueError: ε", "traceback": "…"}
    store.write_failure(KEY, record)
    assert store.read_failure(KEY) == record
    assert store.read_failure(OTHER) is None
    assert not store.has("outcomes", KEY)
    store.write("outcomes", KEY, b"made")
    assert store.read_failure(KEY) is None


def test_runs_are_renewed_and_the_latest_is_first(store: Store) -> None:
    for name, when in (("old", 1), ("new", 3), ("middle.0", 2)):
        store.write_run(name, {"id": name})
        os.utime(store.folder / "runs" / f"{name}.json", (when, when))
    assert store.run_ids() == ["new", "middle.0", "old"]
    store.write_run("old", {"id": "old", "again": True})
    assert store.run_ids() == ["old", "new", "middle.0"]
    assert store.read_run("old") == {"id": "old", "again": True}
    assert store.read_run("gone") is None


def test_progress(store: Store) -> None:
    assert store.read_progress(KEY) is None
    for state in (b"epoch 1", b"epoch 2", b""):
        store.write_progress(KEY, state)
        assert store.read_progress(KEY) == state
    store.clear_progress(KEY)
    assert store.read_progress(KEY) is None
    store.clear_progress(KEY)


@pytest.mark.parametrize("left", [0, 10, 32, 35, -1])
def test_progress_that_is_not_whole_is_none(store: Store, left: int) -> None:
    store.write_progress(KEY, b"epoch 1")
    (path,) = files(store.folder / "progress")
    path.write_bytes(path.read_bytes()[:left])
    assert store.read_progress(KEY) is None


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
    with pytest.raises(KeyError), store.claim(KEY, wait=False) as mine:
        assert mine
        raise KeyError
    assert claimed(store)


def test_the_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROBENCH_STORE", raising=False)
    assert default_folder() == Path(".robench")
    monkeypatch.setenv("ROBENCH_STORE", "~/kept")
    assert default_folder() == Path.home() / "kept"
