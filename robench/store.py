"""What is done: artifacts on disk, found by key.

An artifact is one file, `KIND/KE/KEY.SHA256.ENDING`: its key says what it means, the digest in
its name what it holds. It is written beside, flushed, and renamed into place, so a file that is
there is whole; a file whose content does not fit its name was altered, and is made again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from robench.errors import StoreError, UserError

FORMAT = 1
ENVIRONMENT = "ROBENCH_STORE"
_ENDINGS = {"checkpoint": "safetensors", "clean": "parquet", "outcomes": "parquet",
            "adversarial": "safetensors"}


def default_folder() -> Path:
    """`ROBENCH_STORE`, or `.robench` in the working directory."""
    return Path(os.environ.get(ENVIRONMENT) or ".robench").expanduser()


class Store:
    """A folder of artifacts, failures, runs and trainings in progress.

    `altered` is told of files that were changed by hand. Nothing is written before there is
    something to keep. Raises StoreError for a store of a newer version and for disks that cannot
    be written.
    """

    def __init__(self, folder: Path, *, altered: Callable[[Path], None] | None = None) -> None:
        self.folder = folder
        self._altered = altered or _ignore
        self._check_format()

    def has(self, kind: str, key: str) -> bool:
        """Whether a whole, unaltered artifact of that key is there."""
        return self.read(kind, key) is not None

    def read(self, kind: str, key: str) -> bytes | None:
        """The content of an artifact, or None; altered files are set aside, and said."""
        for path in self._candidates(kind, key):
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # another process set it aside
                continue
            except OSError as error:
                raise _disk_error("read", path, error) from error
            if hashlib.sha256(content).hexdigest() == path.name.split(".")[1]:
                return content
            self._altered(path)
            self._set_aside(path)
        return None

    def write(self, kind: str, key: str, content: bytes) -> None:
        """Keep an artifact; one of that key that is there already stays."""
        if self.has(kind, key):
            return
        digest = hashlib.sha256(content).hexdigest()
        self._put(self._place(kind, key) / f"{key}.{digest}.{_ENDINGS[kind]}", content)
        _remove(self._failure_path(key))

    def write_failure(self, key: str, record: dict[str, Any]) -> None:
        """Keep why an artifact could not be made."""
        self._put(self._failure_path(key), _json(record))

    def read_failure(self, key: str) -> dict[str, Any] | None:
        """Why an artifact could not be made, if that is known."""
        return _read_json(self._failure_path(key))

    def write_run(self, run_id: str, record: dict[str, Any]) -> None:
        """Keep or renew the record of a run."""
        self._put(self._run_path(run_id), _json(record))

    def read_run(self, run_id: str) -> dict[str, Any] | None:
        """The record of a run, or None."""
        return _read_json(self._run_path(run_id))

    def run_ids(self) -> list[str]:
        """All runs, the one written last first."""
        paths = (self.folder / "runs").glob("*.json")
        return [path.stem for path in sorted(paths, key=_written, reverse=True)]

    def write_progress(self, key: str, content: bytes) -> None:
        """Keep the state of a training that is not finished."""
        self._put(self._progress_path(key), hashlib.sha256(content).digest() + content)

    def read_progress(self, key: str) -> bytes | None:
        """The state of an interrupted training, or None where there is none that is whole."""
        path = self._progress_path(key)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _disk_error("read", path, error) from error
        whole = hashlib.sha256(content[32:]).digest() == content[:32]
        return content[32:] if whole else None

    def clear_progress(self, key: str) -> None:
        """Forget the state of a training that is finished."""
        _remove(self._progress_path(key))

    @contextmanager
    def claim(self, key: str, *, wait: bool) -> Iterator[bool]:
        """Hold the work of `key` alone among processes; False where another one has it.

        The claim of a process that dies is free again.
        """
        path = self.folder / "locks" / f"{key}.lock"
        self._prepare(path.parent)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise _disk_error("lock", path, error) from error
        try:
            yield True
        finally:
            lock.release()

    def _check_format(self) -> None:
        found = _read_json(self.folder / "store.json")
        if found is None:
            if self.folder.exists() and not self.folder.is_dir():
                raise StoreError("the store is not a folder", where=str(self.folder))
            return
        version = found.get("format")
        if not isinstance(version, int) or version > FORMAT:
            raise StoreError("the store was written by a newer robench", where=str(self.folder),
                             got=f"format {version}", expected=f"format {FORMAT} or older")

    def _candidates(self, kind: str, key: str) -> list[Path]:
        return sorted(self._place(kind, key).glob(f"{key}.*.{_ENDINGS[kind]}"))

    def _place(self, kind: str, key: str) -> Path:
        return self.folder / kind / key[:2]

    def _failure_path(self, key: str) -> Path:
        return self.folder / "failures" / f"{key}.json"

    def _run_path(self, run_id: str) -> Path:
        return self.folder / "runs" / f"{run_id}.json"

    def _progress_path(self, key: str) -> Path:
        return self.folder / "progress" / f"{key}.safetensors"

    def _set_aside(self, path: Path) -> None:
        try:
            path.rename(path.with_name(f"{path.name}.altered-{time.time_ns()}"))
        except FileNotFoundError:
            return
        except OSError as error:
            raise _disk_error("write", path, error) from error

    def _prepare(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            marker = self.folder / "store.json"
            if not marker.exists():
                _write_whole(marker, _json({"format": FORMAT}))
        except OSError as error:
            raise _disk_error("write", folder, error) from error

    def _put(self, path: Path, content: bytes) -> None:
        self._prepare(path.parent)
        try:
            _write_whole(path, content)
        except OSError as error:
            raise _disk_error("write", path, error) from error


def _write_whole(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.{time.time_ns()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _disk_error("write", path, error) from error


def _disk_error(action: str, path: Path, error: OSError) -> StoreError:
    reason = {
        errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the disk is read-only", errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
    }.get(error.errno or 0, error.strerror or str(error))
    return StoreError(
        f"cannot {action} the store: {reason}", where=str(path),
        expected="room and the right to write there, or another --store; "
                 "what was finished is kept, and the same command goes on from it",
    )


def _json(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        loaded = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _disk_error("read", path, error) from error
    except ValueError:
        raise UserError("not a JSON file: it was altered", where=str(path)) from None
    return loaded if isinstance(loaded, dict) else None


def _ignore(path: Path) -> None:
    """Nobody wants to know."""


def _written(path: Path) -> float:
    return path.stat().st_mtime_ns
