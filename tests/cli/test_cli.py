"""The program as a whole: help, version, doctor, and what it leaves unloaded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robench import __version__
from robench.registry import KINDS
from robench.reporting import FORMATS

Robench = Callable[..., Any]


def test_the_version(robench: Robench, fine) -> None:
    assert fine(robench("--version")) == f"robench {__version__}\n"


def test_no_command_is_a_request_for_help(robench: Robench) -> None:
    told = robench()
    assert "Usage" in told.out
    for command in ("run", "report", "list", "show", "doctor", "check"):
        assert command in told.out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("run", ["--matrix", "-m", "--out", "-o", "--store", "--device", "--batch-size",
                 "--dry-run", "ROBENCH_STORE", ".robench", "[default: 256]", "[default: auto]"]),
        ("report", ["--format", "-f", "--output", "--store", "the latest", *FORMATS]),
        ("list", ["--format", "table", "json", *(f"{kind}s" for kind in KINDS), "matrices"]),
        ("show", [*KINDS]),
        ("doctor", []),
        ("check", ["Default: everything of third parties"]),
    ],
)
def test_help_names_every_option(robench: Robench, command, words, fine, widest) -> None:
    told = fine(robench(command, "--help"))
    flat = " ".join(told.replace("│", " ").split())
    for word in (f"Usage: robench {command}", *words):
        assert word in flat
    assert widest(told) <= 100


def test_doctor(robench: Robench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = {"torch": "torch", "scikit-learn": "sklearn"}  # the others take seconds to import
    monkeypatch.setattr("robench.doctor._NEEDED", libraries)
    told = robench("doctor")
    assert told.code == 0
    lines = {line[7:37].strip(): line for line in told.out.splitlines()}
    assert {"python", *libraries, "device", "store", "ROBENCH_DATA"} <= lines.keys()
    assert lines["torch"].startswith("ok")
    assert not (tmp_path / ".robench").exists()


def test_doctor_says_what_is_wrong(
    robench: Robench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robench.doctor._NEEDED", {"torch": "torch", "broken": "not_installed"})
    monkeypatch.setenv("ROBENCH_DATA", str(tmp_path / "gone"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROBENCH_STORE", str(tmp_path / "file"))
    told = robench("doctor")
    assert told.code == 1
    wrong = [line[7:37].strip() for line in told.out.splitlines() if line.startswith("wrong")]
    assert wrong == ["broken", "store", "ROBENCH_DATA"]
    assert "ModuleNotFoundError" in told.out


def loaded(code: str, *args: object) -> set[str]:
    """The top-level modules that a new process has loaded after `code`."""
    told = "import json, sys\nprint('\\n' + json.dumps([n.split('.')[0] for n in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{told}", *map(str, args)], capture_output=True,
        text=True, check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_robench_is_cheap() -> None:
    heavy = {"torch", "pandas", "pydantic", "numpy", "yaml", "rich", "typer", "art", "timm"}
    assert not loaded("import robench") & heavy


ONE_AFTER_ANOTHER = """
import json, sys
from robench.cli.main import app
for args in json.loads(sys.argv[1]):
    assert app(args, standalone_mode=False) in (None, 0), args
"""


def test_what_only_reads_needs_no_torch(store: Path) -> None:
    commands = [
        ["list", "models"], ["list", "matrices", "-f", "json"], ["show", "attack", "pgd"],
        *[["report", "-f", format, "--store", str(store)] for format in FORMATS],
    ]
    found = loaded(ONE_AFTER_ANOTHER, json.dumps(commands))
    assert "robench" in found
    assert not found & {"torch", "torchvision", "timm", "art", "kornia", "sklearn", "pandas"}
