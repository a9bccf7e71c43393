"""The store: what is written is read again, by any process, or is not there."""

from __future__ import annotations

import json
import os
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


def test_the_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROBENCH_STORE", raising=False)
    assert default_folder() == Path(".robench")
    monkeypatch.setenv("ROBENCH_STORE", "~/kept")
    assert default_folder() == Path.home() / "kept"
