"""Commands called in this process, and one small run to report on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.cells import cell_len
from typer.testing import CliRunner

from robench.cli.main import app

TINY: dict[str, Any] = {
    "name": "tiny",
    "datasets": [{"digits": {"limit": {"train": 200, "test": 40}}}],
    "models": [{"small-cnn": {"width": 8}}],
    "recipes": [{"standard": {"epochs": 1, "batch_size": 16, "learning_rate": 0.01}}],
    "attacks": ["fgsm"],
    "epsilons": [0.1],
}


@dataclass(frozen=True)
class Told:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Robench = Callable[..., Told]


def call(*args: object) -> Told:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Told(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(autouse=True)
def plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal, no data folder, whatever those of the person at the machine are."""
    for name in ("ROBENCH_DATA", "COLUMNS", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def robench() -> Robench:
    return call


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes the tiny matrix, with some keys changed, and gives its path."""

    def write(**changed: Any) -> Path:
        path = tmp_path / "m.yaml"
        path.write_text(yaml.safe_dump({**TINY, **changed}, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def _ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Told]]:
    folder = tmp_path_factory.mktemp("ran")
    matrix = folder / "tiny.yaml"
    matrix.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        patch.chdir(folder)
        yield folder / "store", call("run", "-m", matrix, "--store", folder / "store",
                                     "--out", folder / "out", "--device", "cpu")


@pytest.fixture
def ran(_ran: tuple[Path, Told]) -> Told:
    """What the run of the tiny matrix said."""
    return _ran[1]


@pytest.fixture
def out(_ran: tuple[Path, Told]) -> Path:
    """The folder that run wrote its reports to."""
    return _ran[0].with_name("out")


@pytest.fixture
def store(_ran: tuple[Path, Told], tmp_path: Path) -> Path:
    """A copy of the store of that run."""
    assert _ran[1].code == 0, _ran[1].err
    copy = tmp_path / "store"
    shutil.copytree(_ran[0], copy)
    return copy


def contents(folder: Path) -> dict[str, str | None] | None:
    """Every file below a folder with its hash; None where there is no such folder."""
    if not folder.exists():
        return None
    return {
        str(path.relative_to(folder)):
        hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def complaint_of(*args: object) -> str:
    """What a command says that must end with 2, in one or two lines."""
    told = call(*args)
    assert told.code == 2, told
    assert told.out == ""
    lines = told.err.splitlines()
    assert 1 <= len(lines) <= 2, told.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in told.err
    return told.err


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """What a command says; it must make no store where there is none."""

    def refuse(*args: object) -> str:
        said = complaint_of(*args, "--store", tmp_path / "absent")
        assert contents(tmp_path / "absent") is None
        return said

    return refuse


@pytest.fixture
def refused_twice(refused: Callable[..., str], store: Path) -> Callable[..., str]:
    """As `refused`, and a store that is there must be left as it is."""

    def refuse(*args: object) -> str:
        said, before = refused(*args), contents(store)
        assert complaint_of(*args, "--store", store) == said
        assert contents(store) == before
        return said

    return refuse


@pytest.fixture
def complaint() -> Callable[..., str]:
    return complaint_of


@pytest.fixture
def listing() -> Callable[[Path], dict[str, str | None] | None]:
    return contents


@pytest.fixture
def fine() -> Callable[[Told], str]:
    """What a command printed that must end well."""

    def output(told: Told) -> str:
        assert told.code == 0, told
        return told.out

    return output


@pytest.fixture
def widest() -> Callable[..., int]:
    """The columns that the longest line of some texts takes on a terminal."""

    def columns(*texts: str) -> int:
        return max(cell_len(line.rstrip()) for text in texts for line in text.splitlines())

    return columns
