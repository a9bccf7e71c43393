"""A real third-party package, installed by pip: it joins every command, and breaks none."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("pip")
pytest.importorskip("hatchling")

EXAMPLE = Path(__file__).with_name("plugin_package")
ORIGIN = "robench-plugin-example 0.1.0"
SOUND = {"models": "tiny-cnn", "defenses": "grey-levels", "datasets": "few-digits",
         "recipes": "few-steps"}
OWN: dict[str, Any] = {
    "name": "own", "datasets": ["digits"], "models": ["small-cnn"], "attacks": ["fgsm"],
    "epsilons": [0.1],
}
MATRIX: dict[str, Any] = {
    "name": "third-party", "datasets": ["few-digits"], "models": ["tiny-cnn"],
    "recipes": ["few-steps"], "defenses": ["none", "grey-levels"],
    "attacks": ["momentum-sign"], "epsilons": [0.2],
}
PROGRAM = "from robench.cli.main import main; main()"
LISTING = """
import sys
from robench.cli.main import app
format, *kinds = sys.argv[1:]
for kind in kinds:
    app(["list", kind, "--format", format], standalone_mode=False)
    assert "torch" not in sys.modules, f"list {kind} has loaded torch"
"""


@dataclass(frozen=True)
class Installed:
    """A folder that packages are installed in, and a cache of its own."""

    target: Path
    cache: Path

    def python(self, code: str, *args: object, folder: Path) -> subprocess.CompletedProcess[str]:
        paths = [str(self.target), *filter(None, [os.environ.get("PYTHONPATH")])]
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, args)], cwd=folder, capture_output=True,
            text=True, check=False, encoding="utf-8",
            env={**_without_a_terminal(), "PYTHONPATH": os.pathsep.join(paths),
                 "XDG_CACHE_HOME": str(self.cache), "OMP_NUM_THREADS": "1"},
        )


def _without_a_terminal() -> dict[str, str]:
    """The environment, without the width that whoever runs the tests may have set in it."""
    return {name: value for name, value in os.environ.items() if name != "COLUMNS"}


Robench = Callable[..., subprocess.CompletedProcess[str]]


def install(package: Path, target: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--no-cache-dir", "--target", target, package],
        check=True,
    )


def rival(folder: Path) -> Path:
    """A package that claims a name of the example's and one of robench's own."""
    (folder / "rival").mkdir(parents=True)
    (folder / "rival" / "__init__.py").write_text(
        "from torch import nn\n\n\n"
        "def model(*, num_classes, in_channels, image_size):\n"
        "    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))\n"
    )
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "rival"\nversion = "2.0"\n'
        '[project.entry-points."robench.models"]\n'
        'tiny-cnn = "rival:model"\nsmall-cnn = "rival:model"\nunrivalled = "rival:model"\n'
    )
    return folder


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("plugins")
    install(EXAMPLE, folder / "site")
    return Installed(folder / "site", folder / "cache")


@pytest.fixture(scope="session")
def shared(example: Installed, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("contested")
    install(rival(folder / "source"), folder / "site")
    return Installed(Path(f"{folder / 'site'}{os.pathsep}{example.target}"), folder / "cache")


@pytest.fixture
def robench(example: Installed, tmp_path: Path) -> Robench:
    return lambda *args: example.python(PROGRAM, *args, folder=tmp_path)


@pytest.fixture
def contested(shared: Installed, tmp_path: Path) -> Robench:
    return lambda *args: shared.python(PROGRAM, *args, folder=tmp_path)


def written(folder: Path, matrix: dict[str, Any], **changed: Any) -> Path:
    path = folder / "m.yaml"
    path.write_text(yaml.safe_dump({**matrix, **changed}, sort_keys=False))
    return path


def listed(installed: Installed, folder: Path, *kinds: str) -> list[dict[str, dict[str, Any]]]:
    """The rows of `robench list` of some kinds by name, asked of a process without torch."""
    asked = installed.python(LISTING, "json", *kinds, folder=folder)
    assert asked.returncode == 0, asked.stderr
    decoder, text, tables = json.JSONDecoder(), asked.stdout, []
    for _ in kinds:
        rows, end = decoder.raw_decode(text)
        tables.append({row["name"]: row for row in rows})
        text = text[end:].lstrip()
    return tables


def test_a_matrix_of_third_parties_alone_becomes_a_leaderboard(
    robench: Robench, tmp_path: Path
) -> None:
    ran = robench("run", "-m", written(tmp_path, MATRIX), "--store", tmp_path / "s", "--out",
                  tmp_path / "out", "--device", "cpu")
    assert ran.returncode == 0, ran.stderr
    with (tmp_path / "out" / "leaderboard.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["attack"] != "worst-case"]
    assert [row["defense"] for row in rows] == ["none", "grey-levels"]
    for row in rows:
        assert (row["dataset"], row["model"], row["recipe"], row["attack"]) == (
            "few-digits", "tiny-cnn", "few-steps", "momentum-sign",
        )
        assert int(row["n"]) == 120
        assert float(row["clean_accuracy"]) > 0.8
        assert float(row["robust_accuracy"]) < float(row["clean_accuracy"]) - 0.2
        assert row["flags"] == ""
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["executions"][0]["plugins"] == [ORIGIN]


def test_lists_show_third_parties_without_loading_torch(
    example: Installed, tmp_path: Path
) -> None:
    tables = listed(example, tmp_path, *SOUND)
    for name, rows in zip(SOUND.values(), tables, strict=True):
        assert (rows[name]["origin"], rows[name]["error"]) == (ORIGIN, None)
        assert len({row["origin"] for row in rows.values()}) == 2
    assert tables[0]["tiny-cnn"]["summary"] == "two convolutions, for images of any size"
    assert tables[0]["tiny-cnn"]["params"] == {"width": 8}


def test_a_broken_plugin_is_listed_as_broken_and_stops_nothing(
    example: Installed, tmp_path: Path
) -> None:
    told = example.python(LISTING, "table", "attacks", folder=tmp_path)
    assert told.returncode == 0, told.stderr
    lines: dict[str, list[str]] = {}
    for line in told.stdout.splitlines():
        if not line.startswith(" "):  # the others go on with a summary
            rows = lines.setdefault(line.split()[0], [])
        rows.append(line)
    (first, *rest) = lines["unfinished"]
    assert first.rstrip().endswith(ORIGIN)
    summary = " ".join(" ".join([first.rstrip().removesuffix(ORIGIN), *rest]).split())
    assert "broken: attack 'unfinished' of robench-plugin-example" in summary
    assert "ImportError: this attack" in summary
    told_of = " ".join(" ".join(lines["momentum-sign"]).split())
    assert "signed steps along a gradient" in told_of
    assert lines["pgd"][0].rstrip().endswith("robench")


def test_what_was_listed_is_remembered_until_the_plugin_changes(
    example: Installed, tmp_path: Path
) -> None:
    (first,) = listed(example, tmp_path, "recipes")
    memory = example.cache / "robench" / "plugins.json"
    rows = json.loads(memory.read_text(encoding="utf-8"))
    assert {row["name"] for row in rows.values()} == {*SOUND.values(), "momentum-sign"}
    for row in rows.values():
        row["summary"] = "as remembered"
    memory.write_text(json.dumps(rows), encoding="utf-8")
    (again,) = listed(example, tmp_path, "recipes")
    assert again["few-steps"]["summary"] == "as remembered"
    assert again["standard"]["summary"] == first["standard"]["summary"]
    (example.target / "robench_plugin_example" / "recipe.py").touch()
    (changed,) = listed(example, tmp_path, "recipes")
    assert changed == first


def test_the_package_is_checked_and_only_the_broken_thing_fails(robench: Robench) -> None:
    told = robench("check", "robench_plugin-example")
    assert told.returncode == 1, told.stderr
    lines = told.stdout.splitlines()
    failures = [line for line in lines if line.startswith("  FAIL")]
    assert len(failures) == 1
    told_once = " ".join(failures[0].split())
    assert told_once.startswith("FAIL loads attack 'unfinished' of robench-plugin-example 0.1.0")
    assert lines[-1].startswith("6 checked: 1 of ")
    assert [line.split()[1] for line in lines if line.endswith(ORIGIN)] == [
        "tiny-cnn", "momentum-sign", "unfinished", "grey-levels", "few-digits", "few-steps",
    ]


def test_a_contested_name_is_listed_with_both_that_claim_it(
    shared: Installed, tmp_path: Path
) -> None:
    (models,) = listed(shared, tmp_path, "models")
    assert models["tiny-cnn"]["error"] == "two distributions claim this name"
    assert set(models["tiny-cnn"]["origin"].split(" and ")) == {"rival 2.0", ORIGIN}
    assert models["small-cnn"]["origin"] == "robench and rival 2.0"
    assert models["unrivalled"]["error"] is None


@pytest.mark.parametrize(("name", "claimed"), [
    ("tiny-cnn", ("rival 2.0", ORIGIN)), ("small-cnn", ("robench", "rival 2.0")),
])
def test_a_contested_name_is_refused_before_anything_is_made(
    contested: Robench, tmp_path: Path, name: str, claimed: tuple[str, str]
) -> None:
    ran = contested("run", "-m", written(tmp_path, OWN, models=[name]), "--store", tmp_path / "s")
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert f"m.yaml:5 models[0]: model '{name}' is claimed by two distributions: " in ran.stderr
    assert all(distribution in ran.stderr for distribution in claimed)
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "s").exists()


def test_other_names_still_work_beside_a_contested_one(
    contested: Robench, tmp_path: Path
) -> None:
    matrix = written(tmp_path, OWN, models=["unrivalled", "resnet18"], attacks=["fgsm", "pgd"])
    planned = contested("run", "-m", matrix, "--store", tmp_path / "s", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.startswith("own: 4 cells\n")


def test_a_broken_plugin_in_a_matrix_is_told_with_its_place(
    robench: Robench, tmp_path: Path
) -> None:
    ran = robench("run", "-m", written(tmp_path, OWN, attacks=["fgsm", "unfinished"]))
    assert ran.returncode == 2
    assert (f"m.yaml:8 attacks[1]: attack 'unfinished' of {ORIGIN} cannot be loaded: ImportError"
            in ran.stderr)
    assert "Traceback" not in ran.stderr
