"""MedMNIST by name; the files here are small ones made for the test, with their own MD5."""

from __future__ import annotations

import builtins
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from robench.data import medmnist as ours
from robench.errors import UserError

info = pytest.importorskip("medmnist.info")
package = sys.modules["medmnist"]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(info, "DEFAULT_ROOT", str(tmp_path / "default"))
    monkeypatch.delenv("ROBENCH_DATA", raising=False)


def write(folder: Path, name: str = "pneumoniamnist", flag: str = "", size: int = 8) -> str:
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    classes = len(info.INFO[name]["label"])
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = random.integers(0, 256, (2 * classes, size, size), np.uint8)
        arrays[f"{split}_labels"] = np.tile(np.arange(classes), 2)[:, None]
    np.savez(folder / f"{name}{flag}.npz", **arrays)
    return hashlib.md5((folder / f"{name}{flag}.npz").read_bytes()).hexdigest()


@pytest.mark.parametrize("place", ["root", "environment", "default"])
def test_the_file_is_found_in_three_places(tmp_path, monkeypatch, place) -> None:
    folder = tmp_path / place
    monkeypatch.setitem(info.INFO["pneumoniamnist"], "MD5_64", write(folder, flag="_64"))
    if place == "environment":
        monkeypatch.setenv("ROBENCH_DATA", str(folder))
    root = folder if place == "root" else None
    held = ours.pneumoniamnist(size=64, root=root, download=False, limit={"test": 3}, channels=3)
    assert (held.name, held.class_names) == ("pneumoniamnist", ("normal", "pneumonia"))
    assert (len(held.test), held.in_channels) == (3, 3)


def test_class_names_are_in_the_order_of_their_numbers(tmp_path, monkeypatch) -> None:
    digest = write(tmp_path / "default", "organamnist")
    monkeypatch.setitem(info.INFO["organamnist"], "MD5", digest)
    names = ours.organamnist().class_names
    assert (names[0], names[2], names[10]) == ("bladder", "femur-right", "spleen")


def test_a_missing_file_is_fetched_through_the_package(tmp_path, monkeypatch) -> None:
    asked = {}

    class Fetching:
        def __init__(self, **given) -> None:
            asked.update(given)
            write(Path(given["root"]), "breastmnist")

    monkeypatch.setitem(info.INFO["breastmnist"], "MD5", write(tmp_path / "same", "breastmnist"))
    monkeypatch.setattr(package, "BreastMNIST", Fetching)
    assert len(ours.breastmnist(root=tmp_path / "new").test) == 4
    assert asked == {"split": "val", "download": True, "root": str(tmp_path / "new"), "size": 28}


def test_offline_tells_which_file_to_put_where(monkeypatch, tmp_path) -> None:
    class Offline:
        def __init__(self, **given) -> None:
            raise RuntimeError("no network")

    monkeypatch.setattr(package, "PathMNIST", Offline)
    with pytest.raises(UserError) as error:
        ours.pathmnist(size=128)
    for part in (
        "pathmnist: the download failed",
        "pathmnist_128.npz",
        "https://zenodo.org",
        str(tmp_path / "default"),
        "ROBENCH_DATA",
    ):
        assert part in str(error.value)


def test_without_download_nothing_is_fetched(monkeypatch) -> None:
    monkeypatch.setattr(package, "PathMNIST", None)
    with pytest.raises(UserError, match=r"the file is not there\n.*pathmnist\.npz.*download: true"):
        ours.pathmnist(download=False)


def test_another_file_of_that_name_is_refused(tmp_path) -> None:
    digest = write(tmp_path / "default")
    with pytest.raises(UserError) as error:
        ours.pneumoniamnist()
    assert f"got 'MD5 {digest}'" in str(error.value)
    assert "28209eda62fecd6e6a2d98b1501bb15f" in str(error.value)


@pytest.mark.parametrize("size", [32, "64", True])
def test_sizes_that_were_not_published(size) -> None:
    with pytest.raises(UserError, match="octmnist: size: not a published size"):
        ours.octmnist(size=size)


def test_without_the_package_the_command_to_install_it_is_told(monkeypatch) -> None:
    original = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("medmnist"):
            raise ImportError("No module named 'medmnist'")
        return original(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'robench\[medmnist\]'"):
        ours.dermamnist()


def test_every_set_with_one_label_per_image_has_a_factory() -> None:
    single = {
        name
        for name, card in info.INFO.items()
        if not name.endswith("3d") and "multi-label" not in card["task"]
    }
    assert single == {name for name in info.INFO if hasattr(ours, name)}
    assert all(getattr(ours, name).__name__ == name for name in single)
