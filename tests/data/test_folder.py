"""Folders of images: splits, classes, ids, sizes and colours."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robench.data.folder import folder

RANDOM = np.random.default_rng(5)


def picture(*shape: int) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, shape, np.uint8))


def fill(root: Path, counts: dict[str, int], *shape: int, suffix: str = ".png") -> None:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(*shape).save(root / name / f"p{index // 2}_{index}{suffix}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(
        tmp_path / "set",
        {"train/b": 20, "train/a": 10, "val/a": 2, "val/b": 3, "test/b": 4, "test/a": 5},
        9,
        7,
    )
    return tmp_path / "set"


def test_splits_classes_ids_and_pixels(root) -> None:
    (root / "train" / "a" / ".DS_Store").write_text("")
    (root / "train" / "a" / "notes.txt").write_text("")
    (root / "__MACOSX").mkdir()
    held = folder(path=root)
    assert held.class_names == ("a", "b")
    assert [held.class_counts(name) for name in held.splits] == [(10, 20), (2, 3), (5, 4)]
    assert (held.name, held.in_channels, held.image_size) == ("folder", 1, (9, 7))
    assert held.validation.image_ids.tolist()[:3] == [
        "val/a/p0_0.png",
        "val/a/p0_1.png",
        "val/b/p0_0.png",
    ]
    for index, name in enumerate(held.test.image_ids):
        assert (held.test.images[index][..., 0] == np.asarray(Image.open(root / name))).all()
        assert held.class_names[held.test.labels[index]] == name.split("/")[1]


@pytest.mark.parametrize("name", ["valid", "validation", "VAL"])
def test_other_names_of_validation(root, name) -> None:
    (root / "val").rename(root / name)
    assert len(folder(path=root).validation) == 5


def test_without_a_validation_folder_it_is_taken_from_train(root) -> None:
    shutil.rmtree(root / "val")
    held = folder(path=root, validation=0.2)
    assert held.class_counts("validation") == (2, 4)
    assert held.class_counts("train") == (8, 16)


def test_class_folders_alone_are_split_by_fractions(root) -> None:
    held = folder(path=root / "train", group_pattern=r"p\d+")
    assert [len(split) for split in held.splits.values()] == [20, 6, 4]
    groups = [set(split.group_ids) for split in held.splits.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))
    two = folder(path=root / "train", split={"train": 0.5, "test": 0.5}, validation=0)
    assert [len(split) for split in two.splits.values()] == [15, 15]
    assert set(two.train.image_ids[0].split("/")) & {"a", "b"}


def test_groups_come_from_the_file_name(root) -> None:
    assert set(folder(path=root, group_pattern=r"p(\d+)_").test.group_ids) == {"0", "1", "2"}


def test_a_limit_does_not_depend_on_the_other_files(root) -> None:
    kept = folder(path=root, limit={"train": 8}).train
    assert set(kept.labels.tolist()) == {0, 1}
    for file in (root / "train").rglob("*.png"):
        if file.relative_to(root).as_posix() not in kept.image_ids:
            file.unlink()
    assert folder(path=root, limit={"train": 8}).train.image_ids.tolist() == kept.image_ids.tolist()
    (root / kept.image_ids[-1]).unlink()
    assert set(folder(path=root).train.image_ids) == set(kept.image_ids[:-1])


def test_the_fingerprint_is_of_the_content_not_of_the_place(root, tmp_path) -> None:
    before = folder(path=root).fingerprint
    shutil.copytree(root, tmp_path / "copy")
    assert folder(path=tmp_path / "copy").fingerprint == before
    assert folder(path=root, image_size=5).fingerprint != before
    Image.open(root / "test/a/p0_0.png").save(root / "test/a/p0_0.png", compress_level=0)
    assert folder(path=root).fingerprint != before


def test_copies_of_a_file_are_counted(root) -> None:
    shutil.copy(root / "train/a/p0_0.png", root / "test/a/new.png")
    shutil.copy(root / "train/a/p0_0.png", root / "train/b/new.PNG")
    duplicates = folder(path=root).duplicates
    assert (duplicates["train-test"], duplicates["train"], duplicates["test"]) == (1, 1, 0)


def test_images_of_different_sizes_are_resized(root) -> None:
    picture(30, 20).save(root / "test" / "a" / "large.png")
    held = folder(path=root, image_size=6)
    assert held.test.images[:].shape == (10, 6, 6, 1)


def test_channels_follow_the_first_image_of_each_class(root) -> None:
    picture(9, 7, 3).save(root / "train" / "a" / "z_last.png")
    held = folder(path=root)
    assert held.in_channels == 1
    last = Image.open(root / "train/a/z_last.png").convert("L")
    assert (held.train.images[10][..., 0] == np.asarray(last)).all()
    picture(9, 7, 3).save(root / "train" / "b" / "0_first.png")
    assert folder(path=root).in_channels == 3
    assert folder(path=root, channels=1).test.images[0].shape == (9, 7, 1)


def test_jpeg_in_any_spelling_and_palettes_and_transparency(tmp_path) -> None:
    fill(tmp_path / "s", {"test/a": 1, "test/b": 1}, 16, 16, 3, suffix=".JPEG")
    picture(16, 16, 3).save(tmp_path / "s/test/a/x.Jpg", format="JPEG")
    picture(16, 16, 3).quantize(8).save(tmp_path / "s/test/a/y.png")
    picture(16, 16, 4).save(tmp_path / "s/test/b/z.png")
    held = folder(path=tmp_path / "s")
    assert held.test.images[:].shape == (5, 16, 16, 3)
    palette = Image.open(tmp_path / "s/test/a/y.png").convert("RGB")
    assert (held.test.images[2] == np.asarray(palette)).all()
