"""Bad input ends with 2, in one or two lines, before anything is computed or kept."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from robench.errors import UserError
from robench.models.build import build
from robench.models.small_cnn import small_cnn

RANDOM = np.random.default_rng(7)
Written = Callable[..., Path]
Robench = Callable[..., Any]


def contents(folder: Path) -> dict[str, str | None] | None:
    """Every file below a folder with its hash; None where there is no such folder."""
    if not folder.exists():
        return None
    return {
        str(path.relative_to(folder)):
        hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def complaint(robench: Robench, *args: object) -> str:
    told = robench(*args)
    assert told.code == 2, told
    assert told.out == ""
    lines = told.err.splitlines()
    assert 1 <= len(lines) <= 2, told.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in told.err
    return str(told.err)


@pytest.fixture
def refused(robench: Robench, tmp_path: Path, store: Path) -> Callable[..., str]:
    """What a command says; it must leave a store as it is, and make none where there is none."""

    def refuse(*args: object) -> str:
        absent, before = tmp_path / "absent", contents(store)
        said = complaint(robench, *args, "--store", absent)
        assert contents(absent) is None
        assert complaint(robench, *args, "--store", store) == said.replace(
            str(absent), str(store)
        )
        assert contents(store) == before
        return said

    return refuse


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


def arrays(**changed: Any) -> dict[str, Any]:
    images = RANDOM.integers(0, 256, (8, 6, 6), np.uint8)
    labels = np.arange(8) % 2
    made = {f"{split}_{what}": values for split in ("train", "test")
            for what, values in (("images", images), ("labels", labels))}
    return {name: values for name, values in {**made, **changed}.items() if values is not None}


@pytest.mark.parametrize(
    ("changed", "settings", "told"),
    [
        ({"test_images": np.array([{}] * 8, dtype=object)}, {}, ["test_images", "Python objects"]),
        ({"test_labels": np.array(["a"] * 8, dtype=object)}, {}, ["test_labels", "never loaded"]),
        ({"train_images": np.zeros((8, 36), np.uint8)}, {}, ["train_images", "(8, 36)", "N×H×W"]),
        ({"test_images": np.zeros((8, 6, 6, 4), np.uint8)}, {}, ["test_images", "C 1 or 3"]),
        ({"test_images": np.zeros((8, 6, 6))}, {}, ["test_images", "uint8", "float64"]),
        ({"test_labels": np.arange(7) % 2}, {}, ["test_labels", "got 7", "expected 8"]),
        ({"test_labels": np.eye(8)[:, :3].astype(int)}, {}, ["test_labels", "one-hot"]),
        ({"test_labels": np.array([0, 1, 0, 1, 0, 1, 0, -1])}, {}, ["test_labels[7]", "got -1"]),
        ({"test_labels": np.array([0, 1, 0, 1, 0, 1, 0, 9])}, {}, ["one has 9", "test_labels"]),
        ({"test_labels": np.array([0, 1, 0, 2, 0, 1, 0, 1])}, {"class_names": ["a", "b"]},
         ["test_labels[3]", "got 2", "0..1"]),
        ({"test_images": None, "test_labels": None}, {}, ["no test images"]),
        ({"test_labels": None}, {}, ["there is no array 'test_labels'"]),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_an_npz_file(refused, written, tmp_path, changed, settings, told) -> None:
    np.savez(tmp_path / "d.npz", **arrays(**changed))
    said = refused("run", "-m", written(datasets=[{"npz": {"path": "d.npz", **settings}}]))
    assert all(part in said for part in ["m.yaml:3 datasets[0]", *told]), said


def test_an_npz_file_that_is_none(refused, written: Written, tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(b"no archive")
    assert "d.npz" in refused("run", "-m", written(datasets=[{"npz": {"path": "d.npz"}}]))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    for name in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (root / name).mkdir(parents=True)
        for index in range(4):
            pixels = RANDOM.integers(0, 256, (16, 16), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.jpg")
    return root


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_a_jpeg_that_was_cut(refused, written, pictures: Path, split: str, keep: float) -> None:
    cut = pictures / split / "dog" / "3.jpg"
    cut.write_bytes(cut.read_bytes()[: int(cut.stat().st_size * keep)])
    said = refused("run", "-m", written(datasets=[{"folder": {"path": "pictures"}}]))
    assert f"{cut}: not a readable image" in said
    assert "truncated" in said.lower()


def test_folders_that_are_no_data_set(refused, written: Written, pictures: Path) -> None:
    matrix = written(datasets=[{"folder": {"path": "pictures"}}])
    dogs = [pictures / split / "dog" for split in ("train", "test")]
    for folder in dogs:
        folder.rename(folder.with_name(".dog"))
    said = refused("run", "-m", matrix)
    assert "two class folders or more" in said
    assert "got ['cat']" in said


def test_a_checkpoint_of_another_shape(refused, written: Written, tmp_path: Path) -> None:
    network = small_cnn(num_classes=10, in_channels=1, image_size=(8, 8), width=4)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    said = refused("run", "-m", written(models=[{"small-cnn": {"checkpoint": "w.pt"}}]))
    assert "models[0]" in said
    assert "another shape, got [4, 1, 3, 3]" in said
    assert "expected [32, 1, 3, 3]" in said


def test_a_checkpoint_that_is_none(refused, written: Written, tmp_path: Path) -> None:
    for content in (b"", b"words", b"\x80\x04\x95"):
        (tmp_path / "w.pt").write_bytes(content)
        matrix = written(models=[{"small-cnn": {"checkpoint": "w.pt"}}])
        assert "w.pt" in refused("run", "-m", matrix)


def test_a_network_that_gives_nan(refused, written: Written, tmp_path: Path) -> None:
    network = build(small_cnn, num_classes=10, in_channels=1, image_size=(8, 8), settings={})
    weights = {name: tensor * float("nan") if "weight" in name else tensor
               for name, tensor in network.state_dict().items()}
    torch.save(weights, tmp_path / "w.pt")
    said = refused("run", "-m", written(models=[{"small-cnn": {"checkpoint": "w.pt"}}]))
    assert "models[0]" in said
    assert "NaN or infinite logits" in said


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 7))",
         "wrong number of logits, got 7"),
        ("torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(63, 10))", "fails on images"),
        ("torch.nn.Identity()", "not a table of logits, got [2, 1, 8, 8]"),
        ("'a network'", "no torch.nn.Module"),
    ],
)
def test_a_network_of_a_third_party(
    refused, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str,
    told: str,
) -> None:
    site = tmp_path / "site"
    (site / "wrong-1.0.dist-info").mkdir(parents=True)
    (site / "wrong-1.0.dist-info" / "METADATA").write_text("Name: wrong\nVersion: 1.0\n")
    (site / "wrong-1.0.dist-info" / "entry_points.txt").write_text(
        "[robench.models]\nwrong = wrong_network:make\n"
    )
    (site / "wrong_network.py").write_text(
        "import torch\n\n\ndef make(*, num_classes, in_channels, image_size):\n"
        f"    return {body}\n"
    )
    monkeypatch.delitem(sys.modules, "wrong_network", raising=False)
    monkeypatch.syspath_prepend(site)
    said = refused("run", "-m", written(models=["wrong"]))
    sys.modules.pop("wrong_network", None)
    assert "m.yaml:8 models[0] wrong" in said
    assert told in said


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "gpu", "", "meta"])
def test_a_device_that_is_not_there(refused, written: Written, device: str) -> None:
    said = refused("run", "-m", written(seeds=[5]), "--device", device)
    assert "device" in said
    assert f"got '{device}'" in said
    assert "cpu" in said


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_nothing(refused, written: Written, size: int) -> None:
    assert f"batch size, got {size}" in refused("run", "-m", written(), "--batch-size", size)


@pytest.mark.parametrize("name", ["quickstrat", "gone.yaml", "."])
def test_a_matrix_that_is_not_there(refused, name: str) -> None:
    said = refused("run", "-m", name)
    assert "quickstart" in said or "folder" in said


def test_a_store_of_a_newer_version(robench, written: Written, store: Path) -> None:
    (store / "store.json").write_text('{"format": 99}', encoding="utf-8")
    before = contents(store)
    for args in (("run", "-m", written()), ("report",), ("run", "-m", written(), "--dry-run")):
        assert "written by a newer robench" in complaint(robench, *args, "--store", store)
    assert contents(store) == before


def test_a_store_that_is_a_file(robench, written: Written, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for args in (("run", "-m", written()), ("report",)):
        assert "not a folder" in complaint(robench, *args, "--store", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_runs_that_cannot_be_reported(robench, store: Path, tmp_path: Path) -> None:
    before = contents(store)
    at = ("--store", store)
    assert "no such run, got 'tinny'" in complaint(robench, "report", "tinny", *at)
    assert "unknown report format 'md'" in complaint(robench, "report", "tiny-", "-f", "md", *at)
    assert "no run in the store" in complaint(robench, "report", "--store", tmp_path / "none")
    for text in ("{", "[]", "{}", '{"cells": []}'):
        (tmp_path / "run.json").write_text(text)
        assert "run.json" in complaint(robench, "report", tmp_path / "run.json", *at)
    assert contents(store) == before
    assert contents(tmp_path / "none") is None


def test_a_record_in_the_store_that_was_altered(robench, store: Path) -> None:
    (record,) = (store / "runs").glob("*.json")
    for changed in ({}, {"cells": []}):
        record.write_text(json.dumps(changed))
        assert "altered" in complaint(robench, "report", "--store", store)


@pytest.mark.parametrize("name", ["excel", "", "Markdown"])
def test_formats_and_kinds_that_are_none(robench, store: Path, name: str) -> None:
    said = complaint(robench, "report", "--format", name, "--store", store)
    assert f"unknown report format '{name}'" in said
    assert f"unknown format '{name}'" in complaint(robench, "list", "models", "-f", name)
    assert f"unknown kind '{name}'" in complaint(robench, "list", name)
    assert f"unknown kind '{name}'" in complaint(robench, "show", name, "fgsm")


def test_the_nearest_kind_and_name(robench) -> None:
    assert "did you mean 'attacks'" in complaint(robench, "list", "attack")
    assert "did you mean 'fgsm'" in complaint(robench, "show", "attack", "fgms")


def test_reports_that_cannot_be_written(robench, store: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone" / "report.md"
    assert f"{gone}: cannot write the report" in complaint(
        robench, "report", "--output", gone, "--store", store
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
def test_a_command_line_that_is_wrong(robench, args: list[str], told: str) -> None:
    said = complaint(robench, *args)
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
