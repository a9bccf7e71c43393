"""Disks that are full, stores that are newer, files that were altered: told, nothing left over."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robench.errors import StoreError, UserError
from robench.store import FORMAT, Store

KEY = "ab" + "0" * 62
WRITES: list[Callable[[Store], object]] = [
    lambda store: store.write("outcomes", KEY, b"content"),
    lambda store: store.write_failure(KEY, {"error": "x"}),
    lambda store: store.write_run("run", {"cells": []}),
    lambda store: store.write_progress(KEY, b"state"),
]
TOLD = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EIO: "Input/output error",
}


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def told(error: pytest.ExceptionInfo[StoreError]) -> str:
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("number", TOLD, ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_a_disk_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int,
    write: Callable[[Store], object], place: str,
) -> None:
    store = Store(tmp_path)
    store.write("clean", KEY, b"from before")
    before = {path: path.read_bytes() for path in files(tmp_path)}
    target = (os, "fsync") if place == "fsync" else (Path, "replace")
    monkeypatch.setattr(*target, failing(number))
    with pytest.raises(StoreError) as error:
        write(store)
    assert f"cannot write the store: {TOLD[number]}" in told(error)
    assert str(tmp_path) in told(error)
    assert "--store" in told(error)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in files(tmp_path)} == before
    write(store)
    assert len(files(tmp_path)) == len(before) + 1


@pytest.mark.parametrize("write", [*WRITES, lambda store: store.claim(KEY, wait=True).__enter__()])
def test_a_new_store_on_a_read_only_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Store], object]
) -> None:
    store = Store(tmp_path / "store")
    monkeypatch.setattr(Path, "mkdir", failing(errno.EROFS))
    with pytest.raises(StoreError, match="cannot write the store: the disk is read-only") as error:
        write(store)
    told(error)
    assert not store.folder.exists()


def test_a_full_disk_at_the_first_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(StoreError, match="the disk is full"):
        store.write_run("run", {})
    assert files(tmp_path) == []


def test_what_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.write_progress(KEY, b"state")
    monkeypatch.setattr(Path, "unlink", failing(errno.EROFS))
    with pytest.raises(StoreError, match="the disk is read-only"):
        store.clear_progress(KEY)
    with pytest.raises(StoreError, match="the disk is read-only"):
        store.write("outcomes", KEY, b"content")


@pytest.mark.parametrize(
    "read",
    [
        lambda store: store.read("outcomes", KEY),
        lambda store: store.read_progress(KEY),
        lambda store: store.read_failure(KEY),
        lambda store: store.read_run("run"),
        lambda store: Store(store.folder),
    ],
)
def test_a_disk_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Store], object]
) -> None:
    store = Store(tmp_path)
    for write in WRITES:
        write(store)
    monkeypatch.setattr(Path, "read_bytes", failing(errno.EIO))
    with pytest.raises(StoreError, match="cannot read the store: Input/output error") as error:
        read(store)
    told(error)


def test_an_altered_file_on_a_read_only_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.write("outcomes", KEY, b"content")
    (path,) = files(tmp_path / "outcomes")
    path.write_bytes(b"altered")
    monkeypatch.setattr(Path, "rename", failing(errno.EROFS))
    with pytest.raises(StoreError, match="the disk is read-only"):
        store.read("outcomes", KEY)


@pytest.mark.parametrize("version", [FORMAT + 1, 99, "2", None])
def test_a_store_of_a_newer_version(tmp_path: Path, version: object) -> None:
    text = "{}" if version is None else f'{{"format": {version!r}}}'.replace("'", '"')
    (tmp_path / "store.json").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match="written by a newer robench") as error:
        Store(tmp_path)
    assert f"expected format {FORMAT} or older" in told(error)
    assert files(tmp_path) == [tmp_path / "store.json"]


def test_a_store_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "store"
    file.write_bytes(b"mine")
    with pytest.raises(StoreError, match="the store is not a folder") as error:
        Store(file)
    assert str(file) in told(error)
    assert file.read_bytes() == b"mine"
    below = Store(file / "deeper")
    with pytest.raises(StoreError, match="cannot write the store: Not a directory"):
        below.write_run("run", {})


@pytest.mark.parametrize(
    "read", [lambda store: store.read_run("run"), lambda store: store.read_failure(KEY)]
)
def test_records_that_were_altered(tmp_path: Path, read: Callable[[Store], object]) -> None:
    store = Store(tmp_path)
    for write in WRITES:
        write(store)
    for path in tmp_path.rglob("*.json"):
        path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="not a JSON file: it was altered"):
        read(store)
    with pytest.raises(UserError, match=r"store\.json: not a JSON file: it was altered"):
        Store(tmp_path)
