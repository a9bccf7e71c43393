"""What folder refuses, and what it says: the path, got, expected."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robench.data.folder import folder
from robench.errors import UserError

RANDOM = np.random.default_rng(5)


def save(path: Path, *shape: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RANDOM.integers(0, 256, shape or (6, 8), np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            for index in range(3):
                save(tmp_path / "set" / split / name / f"{index}.png")
    return tmp_path / "set"


def told(path: Path | str | None, **options) -> str:
    with pytest.raises(UserError) as error:
        folder(path=path, **options)
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


def test_a_missing_folder(root, monkeypatch) -> None:
    assert f"did you mean '{root}'" in told(root.with_name("sets"))
    assert "a path is needed" in told(None)


@pytest.mark.parametrize("name", ["set.tar", "set.tar.gz", "set.zip"])
def test_an_archive_is_to_be_unpacked(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b"")
    message = told(tmp_path / name)
    assert "unpack it" in message
    assert name in message


def test_a_file_is_no_folder(root) -> None:
    assert "0.png: is not a folder" in told(root / "train" / "cat" / "0.png")


def test_a_folder_without_images(tmp_path) -> None:
    assert "two class folders" in told(tmp_path)


def test_the_folder_one_too_high(root) -> None:
    assert f"did you mean '{root}'" in told(root.parent)


def test_an_empty_class_folder(root) -> None:
    for file in (root / "test" / "dog").iterdir():
        file.rename(file.with_suffix(".gif"))
    message = told(root)
    assert str(root / "test" / "dog") in message
    assert "*.jpeg" in message


def test_one_class(root) -> None:
    shutil.rmtree(root / "test" / "dog")
    message = told(root)
    assert str(root / "test") in message
    assert "['cat']" in message


def test_classes_that_differ(root) -> None:
    (root / "test" / "dog").rename(root / "test" / "dogs")
    message = told(root)
    assert "'test' has no 'dog'" in message
    assert "did you mean 'dogs'" in message
    save(root / "test" / "dog" / "a.png")
    assert "'train' has no 'dogs'" in told(root)


def test_split_folders_that_are_misspelt_or_double(root) -> None:
    (root / "test").rename(root / "tets")
    message = told(root)
    assert "tets" in message
    assert "did you mean 'test'" in message
    (root / "tets").rename(root / "Training")
    assert "two folders mean the train split" in told(root)


def test_sizes_that_differ(root) -> None:
    save(root / "test" / "dog" / "2.png", 12, 10)
    message = told(root)
    assert "set image_size" in message
    assert f"{root / 'test' / 'dog' / '2.png'}: " in message
    assert "got '10x12'" in message
    assert "expected 8x6" in message


@pytest.mark.parametrize("content", [b"", b"not an image", b"GIF89a" + bytes(40)])
def test_a_file_that_is_no_image_is_named_when_loading(root, content) -> None:
    (root / "train" / "dog" / "1.png").write_bytes(content)
    message = told(root)
    assert str(root / "train" / "dog" / "1.png") in message
    assert "not a readable image" in message


@pytest.mark.parametrize(("suffix", "missing"), [(".png", 30), (".png", 60), (".jpg", 20),
                                                 (".jpg", 200)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_cut_image_is_named_when_loading(root, suffix, missing, split) -> None:
    cut = root / split / "cat" / f"x{suffix}"
    Image.fromarray(RANDOM.integers(0, 256, (6, 8), np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:-missing])
    assert f"{cut}: not a readable image" in told(root)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_bytes_behind_the_end_do_no_harm(root, suffix) -> None:
    file = root / "test" / "cat" / f"x{suffix}"
    Image.fromarray(RANDOM.integers(0, 256, (6, 8), np.uint8)).save(file)
    file.write_bytes(file.read_bytes() + bytes(9))
    assert len(folder(path=root).test) == 7


@pytest.mark.parametrize("count", [1, 60])
def test_a_damaged_image_is_named_when_it_is_decoded(root, count) -> None:
    for index in range(count):
        save(root / "train" / "cat" / f"x{index}.png")
    damaged = root / "train" / "cat" / f"x{count - 1}.png"
    content = damaged.read_bytes()
    middle = content.index(b"IDAT") + 12
    damaged.write_bytes(content[:middle] + bytes(8) + content[middle + 8 :])
    held = folder(path=root, validation=0)
    with pytest.raises(UserError, match="cannot decode") as error:
        held.train.images[:]
    assert str(damaged) in str(error.value)


def test_a_file_that_changes_or_goes_after_loading(root) -> None:
    held = folder(path=root)
    save(root / "test" / "cat" / "0.png", 5, 5)
    (root / "test" / "cat" / "1.png").unlink()
    with pytest.raises(UserError, match="changed its size"):
        held.test.images[0]
    with pytest.raises(UserError, match=r"1\.png: cannot decode"):
        held.test.images[1]


def test_more_than_eight_bits(root) -> None:
    Image.fromarray(np.full((6, 8), 40000, np.uint16)).save(root / "test" / "cat" / "0.png")
    message = told(root)
    assert "8 bits" in message
    assert str(root / "test" / "cat" / "0.png") in message


def test_options_that_do_not_fit(root) -> None:
    assert "already has splits" in told(root, split={"train": 1.0})
    assert "did you mean 'test'" in told(root / "train", split={"train": 0.5, "tset": 0.5})
    assert "folder: group_pattern: not a regular" in told(root, group_pattern="[")
    assert "no group in '0.png'" in told(root, group_pattern="person")
    assert "already have a validation split" in told(root / "train", validation=0.1)
    assert "none is left for" in told(root / "train", group_pattern="png")
