"""Downloads that are not there, not whole, or not what they should be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import robench
from robench.errors import MissingDataError, UserError
from tests.data.downloads import MAKERS, save, table


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROBENCH_DATA", raising=False)


@pytest.fixture
def set_of(tmp_path: Path):
    def make(name: str) -> Path:
        MAKERS[name](tmp_path / "set")
        return tmp_path / "set"

    return make


def missing(name: str, path: Path | None = None) -> list[str]:
    with pytest.raises(MissingDataError) as error:
        robench.dataset(name, **({} if path is None else {"path": str(path)}))
    return str(error.value).splitlines()


def refused(name: str, path: Path, **params: object) -> str:
    with pytest.raises(UserError) as error:
        robench.dataset(name, path=str(path), image_size=8, **params)
    assert not isinstance(error.value, MissingDataError)
    return str(error.value)


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_missing_where_to_get_it_and_how_to_lay_it_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what, source, layout = missing(name)
    assert f"data set '{name}' is not found: looked for '{name}'" in what
    assert str(tmp_path) in what
    assert "$ROBENCH_DATA, which is not set" in what
    assert source.startswith("  get: ")
    assert "https://" in source
    assert layout.startswith(f"  layout: {name}/")
    assert layout.endswith("or its folder as path") or "Mendeley" in layout
    monkeypatch.setenv("ROBENCH_DATA", str(tmp_path / "elsewhere"))
    assert f"ROBENCH_DATA '{tmp_path / 'elsewhere'}'" in missing(name)[0]


def test_a_path_that_is_none(tmp_path: Path) -> None:
    what, *_ = missing("roct", tmp_path / "no")
    assert f"looked for '{tmp_path / 'no'}'" in what
    assert "ROBENCH_DATA" not in what
    assert "looked for 'no' in" in missing("roct", Path("no"))[0]


def test_an_archive_that_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "roct.zip").write_bytes(b"PK")
    what, source, _ = missing("roct", tmp_path / "roct.zip")
    assert f"'{tmp_path / 'roct.zip'}' is a file: unpack an archive" in what
    assert "kermany2018" in source


def test_a_home_that_is_none() -> None:
    assert "roct: path" in refused("roct", Path("~nobody-of-that-name/x"))


def test_a_list_that_is_no_text(set_of) -> None:
    root = set_of("nih_cxr14")
    (root / "test_list.txt").write_bytes(b"\xff\xfe")
    assert "test_list.txt: cannot read the list" in refused("nih_cxr14", root)


@pytest.mark.parametrize(("name", "lost"), [
    ("chest_xray", "test/NORMAL"), ("roct", "train/DRUSEN"), ("fundoscopy", "trainLabels.csv"),
    ("aptos2019", "valid.csv"), ("nih_cxr14", "test_list.txt"),
    ("isic2017", "ISIC-2017_Test_v2_Part3_GroundTruth.csv"),
    ("dermoscopy", "HAM10000_metadata.csv"),
])
def test_a_part_that_is_missing(name: str, lost: str, set_of) -> None:
    root = set_of(name)
    gone = root / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    what, source, _ = missing(name, root)
    assert f"data set '{name}' is not whole: '{root}' holds no '{lost}'" in what
    assert "https://" in source


@pytest.mark.parametrize(("name", "lost"), [
    ("fundoscopy", "train/7_left.jpeg"), ("messidor", "Base12/2005_12_3_PP.tif"),
    ("dermoscopy", "HAM10000_images_part_2/ISIC_df_1_1.jpg"),
    ("aptos2019", "val_images/val_images/val3.png"),
    ("isic2017", "ISIC-2017_Test_v2_Data/ISIC_Test_v2_1.jpg"),
    ("nih_cxr14", "images_002/images/00000003_001.png"),
])
def test_an_image_of_a_table_that_is_missing(name: str, lost: str, set_of) -> None:
    root = set_of(name)
    (root / lost).unlink()
    what, *_ = missing(name, root)
    assert "is not whole: no image '" in what
    assert Path(lost).stem in what


@pytest.mark.parametrize(("name", "file", "header", "row", "told"), [
    ("fundoscopy", "trainLabels.csv", "image,grade", ("0_left", 1), "no column 'level'"),
    ("fundoscopy", "trainLabels.csv", "image,level", ("0_left", 5), "'level', got '5'"),
    ("fundoscopy", "trainLabels.csv", "image,level", ("0_left", "mild"), "expected 0 to 4"),
    ("fundoscopy", "trainLabels.csv", "image,level", ("0_left", ""), "no value of 'level'"),
    ("aptos2019", "test.csv", "id_code,diagnosis", ("test0", 1.5), "test.csv:2"),
    ("messidor", "Annotation_Base11.csv", "Image name,Retinopathy grade",
     ("2005_11_0_PP.tif", 4), "expected 0 to 3"),
    ("dermoscopy", "HAM10000_metadata.csv", "lesion_id,image_id,dx",
     ("HAM_0", "ISIC_0", "mle"), "did you mean 'mel'"),
    ("isic2017", "ISIC-2017_Training_Part3_GroundTruth.csv",
     "image_id,melanoma,seborrheic_keratosis", ("ISIC_Training_0", 2, 0), "expected 0 to 1"),
    ("nih_cxr14", "Data_Entry_2017.csv", "Image Index,Finding Labels,Patient ID",
     ("00000000_000.png", "Mas|Hernia", 0), "did you mean 'Mass'"),
    ("nih_cxr14", "Data_Entry_2017.csv", "Image Index,Finding Labels,Patient ID",
     ("9.png", "Mass", 0), "neither list"),
])
def test_a_table_that_is_wrong(name, file, header, row, told, set_of) -> None:
    root = set_of(name)
    table(root / file, header, [row])
    said = refused(name, root)
    assert told in said
    assert file in said


def test_a_table_that_is_no_table(set_of) -> None:
    root = set_of("fundoscopy")
    (root / "trainLabels.csv").write_bytes(b"image,level\n\xff\xfe,1\n")
    assert "not a table of comma-separated values" in refused("fundoscopy", root)


def test_class_folders_of_another_data_set(set_of) -> None:
    root = set_of("chest_xray")
    save(root / "train" / "COVID" / "a.jpeg")
    said = refused("chest_xray", root)
    assert "other class folders" in said
    assert "expected NORMAL, PNEUMONIA" in said


def test_words_that_are_unknown(set_of) -> None:
    root = set_of("chest_xray")
    assert "did you mean 'official'" in refused("chest_xray", root, split="offical")
    for name in ("fundoscopy", "messidor", "isic2017", "nih_cxr14"):
        assert "did you mean 'binary'" in refused(name, root, task="binari")
