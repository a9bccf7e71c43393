"""Bad input ends with 2, in one or two lines, before anything is computed or kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from robench.errors import UserError

Written = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: m\nmodels: [a\n", ["m.yaml:3: not YAML"]),
        ("name: m\nmodel: [small-cnn]\n", ["m.yaml:2 model", "unknown key", "'models'"]),
        ("name: m\nname: m\n", ["m.yaml:2", "stands twice"]),
        ("- a\n", ["m.yaml: not a matrix"]),
    ],
)
def test_files_that_are_no_matrix(refused, tmp_path, text: str, told: list[str]) -> None:
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    said = refused("run", "-m", tmp_path / "m.yaml")
    assert all(part in said for part in told)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"modles": []}, ["unknown key 'modles'", "did you mean 'models'"]),
        ({"datasets": ["digts"]}, ["unknown dataset 'digts'", "'digits'"]),
        ({"models": ["smal-cnn"]}, ["unknown model 'smal-cnn'", "'small-cnn'"]),
        ({"models": ["timm/resnet1888"]}, ["resnet1888"]),
        ({"models": ["torchvision/resnet1888"]}, ["resnet1888"]),
        ({"models": [{"small-cnn": {"width": 0}}]}, ["m.yaml:8 models[0]", "width, got 0"]),
        ({"models": [{"resnet18": {"stem": "big"}}]}, ["m.yaml:8 models[0]", "'big'"]),
        ({"recipes": ["standrd"]}, ["unknown recipe 'standrd'", "'standard'"]),
        ({"recipes": [{"standard": {"epochs": 0}}]}, ["recipes[0] standard", "'epochs'", "got 0"]),
        ({"recipes": ["standard", {"pgd-at": {"optimizer": "adm"}}]},
         ["recipes[1] pgd-at", "'optimizer'", "did you mean 'adam'"]),
        ({"recipes": ["standard"], "seeds": [2**63 - 1], "models": [{"small-cnn": {"width": -1}}]},
         ["models[0]", "width, got -1"]),
        ({"defenses": ["jpg"]}, ["unknown defense 'jpg'", "'jpeg'"]),
        ({"defenses": [{"jpeg": {"quality": 0}}]}, ["defenses[0]", "got 0"]),
        ({"attacks": ["fgms"]}, ["m.yaml:16 attacks[0]: unknown attack", "'fgsm'"]),
        ({"attacks": [{"pgd": {"step": 1}}]}, ["no setting 'step'", "'steps'"]),
        ({"attacks": [{"pgd": {"steps": 0}}]}, ["m.yaml:", "steps", "got 0"]),
        ({"attacks": [{"pgd": {"norm": "l3"}}]}, ["m.yaml:", "norm", "'l3'"]),
        ({"attacks": [{"art/pgd": {"steps": -1}}]}, ["m.yaml:", "steps", "-1"]),
        ({"epsilons": [0]}, ["epsilons[0]: epsilon, got 0"]),
        ({"epsilons": [-0.1]}, ["epsilon, got -0.1"]),
        ({"epsilons": ["8/0"]}, ["epsilon, got '8/0'"]),
        ({"epsilons": [1.5]}, ["epsilon, got 1.5", "(0, 1]"]),
        ({"epsilons": [8]}, ["epsilon, got 8", "8/255"]),
        ({"pruning": {"rates": [1]}}, ["pruning rate, got 1", "[0, 1)"]),
        ({"pruning": {"rates": [-0.1]}}, ["pruning rate, got -0.1"]),
        ({"attacks": []}, ["attacks: an empty axis"]),
        ({"models": []}, ["models: an empty axis"]),
        ({"pruning": {"rates": []}}, ["pruning.rates: an empty axis"]),
        ({"attacks": ["fgsm", "fgsm"]}, ["attacks[1]: 'fgsm' stands twice"]),
        ({"epsilons": [0.1, "1/10"]}, ["epsilons[1]: 1/10 stands twice"]),
        ({"exclude": [{"attack": "fgsm"}]}, ["nothing is left to run"]),
        ({"datasets": [{"digits": {"limit": {"tset": 4}}}]}, ["m.yaml:", "limit", "'test'"]),
        ({"datasets": [{"npz": {"path": "gone.npz"}}]}, ["m.yaml:3 datasets[0]", "gone.npz"]),
        ({"datasets": [{"npz": None}]}, ["npz: path", "a path is needed"]),
        ({"datasets": [{"folder": {"path": "gone"}}]}, ["no such file or folder", "gone"]),
        ({"models": [{"small-cnn": {"checkpoint": "gone.pt"}}]}, ["models[0]", "gone.pt"]),
    ],
    ids=lambda value: repr(value)[:50] if isinstance(value, dict) else "",
)
def test_a_matrix_that_cannot_be_run(refused, written: Written, changed, told) -> None:
    said = refused("run", "-m", written(**changed))
    assert all(part in said for part in told), said


@pytest.mark.parametrize(("attack", "told"), [
    ({"pgd": {"steps": 0}}, "steps: got 0"), ({"deepfool": {"reach": 0.5}}, "reach: got 0.5"),
    ({"fgsm": {"budget": 0}}, "budget: got 0"), ({"art/pgd": {"steps": 0}}, "steps: got 0"),
])
def test_a_dry_run_refuses_what_an_attack_would(
    complaint, written: Written, tmp_path: Path, attack: dict[str, object], told: str
) -> None:
    # Also of a data set that is not here: it is nothing that the images could mend.
    for datasets in (["digits"], ["roct"]):
        matrix = written(datasets=datasets, attacks=["noise", attack])
        said = complaint("run", "-m", matrix, "--dry-run", "--store", tmp_path / "none")
        assert f"{matrix}:" in said
        assert "attacks[1]" in said
        assert told in said
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "gpu", "", "meta"])
def test_a_device_that_is_not_there(refused_twice, written: Written, device: str) -> None:
    said = refused_twice("run", "-m", written(seeds=[5]), "--device", device)
    assert "device" in said
    assert f"got '{device}'" in said
    assert "cpu" in said


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_nothing(refused_twice, written: Written, size: int) -> None:
    assert f"batch size, got {size}" in refused_twice("run", "-m", written(), "--batch-size", size)


@pytest.mark.parametrize("name", ["quickstrat", "gone.yaml", "."])
def test_a_matrix_that_is_not_there(refused, name: str) -> None:
    said = refused("run", "-m", name)
    assert "quickstart" in said or "folder" in said


def test_a_store_of_a_newer_version(complaint, listing, written: Written, store: Path) -> None:
    (store / "store.json").write_text('{"format": 99}', encoding="utf-8")
    before = listing(store)
    for args in (("run", "-m", written()), ("report",), ("run", "-m", written(), "--dry-run")):
        assert "written by a newer robench" in complaint(*args, "--store", store)
    assert listing(store) == before


def test_a_store_that_is_a_file(complaint, written: Written, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for args in (("run", "-m", written()), ("report",)):
        assert "not a folder" in complaint(*args, "--store", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_runs_that_cannot_be_reported(complaint, listing, store: Path, tmp_path: Path) -> None:
    before = listing(store)
    at = ("--store", store)
    assert "no such run, got 'tinny'" in complaint("report", "tinny", *at)
    assert "unknown report format 'md'" in complaint("report", "tiny-", "-f", "md", *at)
    assert "no run in the store" in complaint("report", "--store", tmp_path / "none")
    for text in ("{", "[]", "{}", '{"cells": []}'):
        (tmp_path / "run.json").write_text(text)
        assert "run.json" in complaint("report", tmp_path / "run.json", *at)
    assert listing(store) == before
    assert listing(tmp_path / "none") is None


def test_a_record_in_the_store_that_was_altered(complaint, store: Path) -> None:
    (record,) = (store / "runs").glob("*.json")
    for changed in ({}, {"cells": []}):
        record.write_text(json.dumps(changed))
        assert "altered" in complaint("report", "--store", store)


@pytest.mark.parametrize("name", ["excel", "", "Markdown"])
def test_formats_and_kinds_that_are_none(complaint, store: Path, name: str) -> None:
    said = complaint("report", "--format", name, "--store", store)
    assert f"unknown report format '{name}'" in said
    assert f"unknown format '{name}'" in complaint("list", "models", "-f", name)
    assert f"unknown kind '{name}'" in complaint("list", name)
    assert f"unknown kind '{name}'" in complaint("show", name, "fgsm")


def test_the_nearest_kind_and_name(complaint) -> None:
    assert "did you mean 'attacks'" in complaint("list", "attack")
    assert "did you mean 'fgsm'" in complaint("show", "attack", "fgms")


def test_reports_that_cannot_be_written(complaint, store: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone" / "report.md"
    assert f"{gone}: cannot write the report" in complaint(
        "report", "--output", gone, "--store", store
    )


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["frob"], "frob"),
        (["--frob"], "--frob"),
        (["run"], "--matrix"),
        (["run", "-m", "m", "--frob"], "--frob"),
        (["run", "-m", "m", "--batch-size", "many"], "--batch-size"),
        (["list"], "kind"),
        (["show", "attack"], "name"),
        (["list", "models", "more"], "more"),
    ],
)
def test_a_command_line_that_is_wrong(complaint, args: list[str], told: str) -> None:
    said = complaint(*args)
    assert told in said
    assert "--help" in said


def test_tracebacks_where_they_are_asked_for(robench, written: Written, tmp_path: Path) -> None:
    matrix = written(attacks=["fgms"])
    with pytest.raises(UserError, match="unknown attack 'fgms'"):
        robench("--debug", "run", "-m", matrix)
    asked = [sys.executable, "-c", "from robench.cli.main import main; main()"]
    for args, traceback in ((["list", "x"], False), (["--debug", "list", "x"], True)):
        done = subprocess.run([*asked, *args], capture_output=True, text=True, check=False)
        assert ("Traceback" in done.stderr) == traceback
        assert "unknown kind 'x'" in done.stderr
        assert done.returncode == (1 if traceback else 2)
