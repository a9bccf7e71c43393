"""Data sets by name, read from folders laid out as their downloads."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import robench
from robench.errors import UserError
from robench.registry import Registry
from robench.testing.core import assert_conformant
from robench.testing.dataset import dataset_checks
from tests.data.downloads import MAKERS

DATA = Path(os.environ.get("ROBENCH_DATA", "/nowhere"))
TASKS = ("fundoscopy", "aptos2019", "messidor", "isic2017", "nih_cxr14")


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROBENCH_DATA", raising=False)


def make(name: str, root: Path) -> Path:
    MAKERS[name](root)
    return root


def test_every_download_has_a_card_that_says_what_it_must() -> None:
    cards = {card.name: card for card in Registry.discover().own("dataset")
             if card.traits.get("source") == "file" and card.traits["medical"]}
    assert cards.keys() == MAKERS.keys()
    for card in cards.values():
        assert card.published["licence"]
        assert card.paper["cite"]
        assert card.params["image_size"] == 224
        assert "path null" in card.notes[0]


@pytest.mark.parametrize("name", MAKERS)
def test_is_conformant(name: str, tmp_path: Path) -> None:
    make(name, tmp_path / "set")
    entry = Registry.discover().get("dataset", name)
    params = {**entry.card.settings({}), "path": str(tmp_path / "set"), "image_size": 16}
    checks = list(dataset_checks(entry.load(), params))
    assert len(checks) > 6
    assert_conformant(checks)


@pytest.mark.parametrize("name", MAKERS)
def test_the_classes_are_those_of_the_card(name: str, tmp_path: Path) -> None:
    published = Registry.discover().get("dataset", name).card.published
    held = robench.dataset(name, path=str(make(name, tmp_path / "set")))
    assert held.num_classes == published["num_classes"]
    assert list(held.class_names) == published.get("class_names", list(held.class_names))
    assert held.image_size == (224, 224)
    assert held.name == name


@pytest.mark.parametrize("name", MAKERS)
def test_labels_are_those_that_names_or_tables_tell(name: str, tmp_path: Path) -> None:
    told = {
        "chest_xray": lambda id: int("person" in id),
        "roct": lambda id: ("CNV", "DME", "DRUSEN", "NORMAL").index(id.split("/")[1]),
        "fundoscopy": lambda id: int(Path(id).stem.split("_")[0]) % 5,
        "aptos2019": lambda id: int(Path(id).stem[-1]) % 5,
        "messidor": lambda id: int(id.split("_")[2]) % 4,
        "eye_diseases": lambda id: sorted(
            ("cataract", "diabetic_retinopathy", "glaucoma", "normal")).index(id.split("/")[-2]),
        "dermoscopy": lambda id: (
            "akiec", "bcc", "bkl", "df", "mel", "nv", "vasc").index(id.split("_")[-3]),
        "isic2017": lambda id: int(Path(id).stem.split("_")[-1]) % 3,
        "nih_cxr14": lambda id: int(Path(id).stem.split("_")[1]),
    }[name]
    held = robench.dataset(name, path=str(make(name, tmp_path / "set")), image_size=8)
    for split in held.splits.values():
        assert split.labels.tolist() == [told(id) for id in split.image_ids.tolist()]


@pytest.mark.parametrize("name", MAKERS)
def test_no_group_is_on_both_sides_of_what_robench_divides(name: str, tmp_path: Path) -> None:
    params = {"split": "resplit"} if name in ("chest_xray", "roct") else {}
    held = robench.dataset(name, path=str(make(name, tmp_path / "set")), image_size=8, **params)
    groups = [set(split.group_ids) for split in held.splits.values()]
    assert len(groups) == 3
    assert sum(map(len, groups)) == len(set().union(*groups))


@pytest.mark.parametrize("name", TASKS)
def test_the_binary_task_is_made_of_the_classes(name: str, tmp_path: Path) -> None:
    path = str(make(name, tmp_path / "set"))
    every = robench.dataset(name, path=path, image_size=8)
    two = robench.dataset(name, path=path, image_size=8, task="binary")
    assert two.num_classes == 2
    ill = {"isic2017": {1}, "nih_cxr14": {*range(15)} - {10}}.get(name, {1, 2, 3, 4})
    first = dict(zip(*_together(every), strict=True))
    second = dict(zip(*_together(two), strict=True))
    assert {id: int(label in ill) for id, label in first.items()} == {
        id: label for id, label in second.items() if id in first}
    # Images of several findings have a class only here.
    assert (len(second) > len(first)) == (name == "nih_cxr14")


def _together(dataset: robench.Dataset) -> tuple[list[str], list[int]]:
    splits = dataset.splits.values()
    return ([id for split in splits for id in split.image_ids.tolist()],
            [label for split in splits for label in split.labels.tolist()])


def test_official_splits_and_a_new_one(tmp_path: Path) -> None:
    path = str(make("chest_xray", tmp_path / "set"))
    official = robench.dataset("chest_xray", path=path)
    assert [official.class_counts(name) for name in official.splits] == [(12, 24), (2, 4), (6, 12)]
    new = robench.dataset("chest_xray", path=path, split="resplit", channels=3)
    assert Counter(_together(new)[1]) == {0: 20, 1: 40}
    assert [len(split) for split in new.splits.values()] == pytest.approx([42, 9, 9], abs=2)
    assert new.in_channels == 3


def test_official_splits_of_tables(tmp_path: Path) -> None:
    sizes = {"aptos2019": [10, 5, 5], "isic2017": [12, 6, 6], "nih_cxr14": [75, 15, 30]}
    for name, expected in sizes.items():
        held = robench.dataset(name, path=str(make(name, tmp_path / name)), image_size=8)
        assert list(held.splits) == ["train", "validation", "test"]
        assert [len(split) for split in held.splits.values()] == pytest.approx(expected, abs=2)


def test_a_tiff_is_decoded_as_it_is(tmp_path: Path) -> None:
    root = make("messidor", tmp_path / "set")
    for file in root.rglob("*.tif"):
        with Image.open(file) as picture:
            picture.resize((9, 7)).save(file)
    held = robench.dataset("messidor", path=str(root), image_size=None)
    for index, name in enumerate(held.test.image_ids):
        assert (held.test.images[index] == np.asarray(Image.open(root / name))).all()


@pytest.mark.parametrize("nested", ["", "inside", "kermany/inside "])
@pytest.mark.parametrize("folder", ["roct", "kermany2018"])
def test_it_is_found_under_its_usual_names(
    nested: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("roct", tmp_path / "data" / folder / nested)
    monkeypatch.setenv("ROBENCH_DATA", str(tmp_path / "data"))
    found = robench.dataset("roct", image_size=8)
    assert len(found.train) == 64
    given = robench.dataset("roct", image_size=8, path=str(tmp_path / "data" / folder))
    assert given.fingerprint == found.fingerprint
    # The working directory comes first.
    make("roct", tmp_path / "roct")
    assert robench.dataset("roct", image_size=8).fingerprint != found.fingerprint


def test_dermoscopy_takes_either_of_two_copies_of_a_folder(tmp_path: Path) -> None:
    root = make("dermoscopy", tmp_path / "set")
    before = robench.dataset("dermoscopy", path=str(root), image_size=8).fingerprint
    shutil.copytree(root / "HAM10000_images_part_1", root / "images")
    assert robench.dataset("dermoscopy", path=str(root), image_size=8).fingerprint == before


def test_a_table_with_a_byte_order_mark_and_spaces(tmp_path: Path) -> None:
    root = make("fundoscopy", tmp_path / "set")
    before = robench.dataset("fundoscopy", path=str(root), image_size=8).fingerprint
    text = (root / "trainLabels.csv").read_text(encoding="utf-8")
    spaced = text.replace(",", " , ").replace("\n", "\r\n")
    (root / "trainLabels.csv").write_text("\ufeff" + spaced, encoding="utf-8", newline="")
    assert robench.dataset("fundoscopy", path=str(root), image_size=8).fingerprint == before


def test_options_are_those_of_every_data_set(tmp_path: Path) -> None:
    path = str(make("dermoscopy", tmp_path / "set"))
    held = robench.dataset("dermoscopy", path=path, image_size=10, channels=1,
                           limit={"train": 7}, validation=None)
    assert held.train.images[:].shape == (7, 10, 10, 1)
    with pytest.raises(UserError, match="already have a validation split"):
        robench.dataset("dermoscopy", path=path, validation=0.2)



@pytest.mark.slow
def test_the_real_chest_x_rays(tmp_path: Path) -> None:
    packed = DATA / "chestxray_kermany_224_jpeg.tar"
    if not packed.is_file():
        pytest.skip(f"{packed.name} is not in ROBENCH_DATA")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "chest_xray", filter="data")
    official = robench.dataset("chest_xray", channels=1, path="chest_xray/dataset")
    card = Registry.discover().get("dataset", "chest_xray").card
    assert official.class_counts("test") == tuple(card.published["test_counts"])
    assert len(official.train) + len(official.validation) == card.published["train"]
    new = robench.dataset("chest_xray", channels=1, split="resplit",
                         path="chest_xray")
    sizes = np.array([len(split) for split in new.splits.values()])
    assert sizes.sum() == 5840
    np.testing.assert_allclose(sizes / 5840, [0.7, 0.15, 0.15], atol=0.001)
    assert new.class_counts("test")[0] == pytest.approx(1575 * 0.15, abs=1)
    assert new.duplicates["train-test"] == 0
    groups = [set(split.group_ids) for split in new.splits.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))
