"""Dermoscopic images: dermoscopy (HAM10000) and isic2017."""

from __future__ import annotations

import os
from collections.abc import Mapping

from robench.data.dataset import Dataset
from robench.data.download import Download
from robench.data.labelled import Labelled, from_files
from robench.data.options import Options
from robench.data.tables import ImageIndex, number, read_table
from robench.data.tasks import Task, task_of
from robench.errors import unknown

LESIONS = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
_NEVUS, _MELANOMA, _KERATOSIS = range(3)
_ISIC_TASKS = {
    "multiclass": Task(("nevus", "melanoma", "seborrheic_keratosis")),
    "binary": Task(("benign", "melanoma"), {_NEVUS: 0, _MELANOMA: 1, _KERATOSIS: 0}),
}
_ISIC_PARTS = {"train": "Training", "validation": "Validation", "test": "Test_v2"}

DERMOSCOPY = Download(
    name="dermoscopy",
    source="Skin Cancer MNIST: HAM10000, https://www.kaggle.com/kmader/skin-cancer-mnist-ham10000, "
           "or Harvard Dataverse, doi:10.7910/DVN/DBW86T",
    layout="dermoscopy/HAM10000_metadata.csv and dermoscopy/HAM10000_images_part_{1,2}/*.jpg "
           "in $ROBENCH_DATA, or its folder as path",
    folders=("dermoscopy", "skin-cancer-mnist-ham10000", "HAM10000", "ham10000"),
    holds=("HAM10000_metadata.csv",),
)
ISIC2017 = Download(
    name="isic2017",
    source="ISIC 2017 challenge, https://challenge.isic-archive.com/data/#2017",
    layout="isic2017/ISIC-2017_{Training,Validation,Test_v2}_Data/*.jpg and "
           "isic2017/ISIC-2017_…_Part3_GroundTruth.csv in $ROBENCH_DATA, or its folder as path",
    folders=("isic2017", "ISIC2017", "ISIC-2017", "isic-2017"),
    holds=tuple(f"ISIC-2017_{part}_Part3_GroundTruth.csv" for part in _ISIC_PARTS.values()),
)


def dermoscopy(
    *,
    path: str | os.PathLike[str] | None = None,
    image_size: int | None = 224,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
    validation: float | None = None,
) -> Dataset:
    """HAM10000: seven kinds of pigmented lesions, divided 70/15/15, a lesion on one side.

    `path` and errors: see Download.find; the other options are those of Options.
    """
    options = Options("dermoscopy", image_size=image_size, channels=channels, limit=limit,
                      validation=validation)
    root = DERMOSCOPY.find(path)
    index = ImageIndex(DERMOSCOPY, root, [
        "HAM10000_images_part_1", "HAM10000_images_part_2", "HAM10000_images", "images",
    ])
    rows = []
    for place, row in read_table(root / "HAM10000_metadata.csv", ["lesion_id", "image_id", "dx"]):
        if row["dx"] not in LESIONS:
            raise unknown("dx", row["dx"], LESIONS, where=place)
        rows.append(
            Labelled(index[row["image_id"]], LESIONS.index(row["dx"]), row["lesion_id"])
        )
    return from_files({"": rows}, root, options, class_names=LESIONS, resplit=True)


def isic2017(
    *,
    path: str | os.PathLike[str] | None = None,
    task: str = "multiclass",
    image_size: int | None = 224,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
) -> Dataset:
    """ISIC 2017, part 3, in its official splits: nevus, melanoma or seborrheic keratosis.

    `task` "binary": melanoma against the others. `path` and errors: see Download.find; the other
    options are those of Options.
    """
    options = Options("isic2017", image_size=image_size, channels=channels, limit=limit)
    chosen = task_of(task, _ISIC_TASKS, where="isic2017")
    root = ISIC2017.find(path)
    parts = {}
    for split, part in _ISIC_PARTS.items():
        folder = f"ISIC-2017_{part}_Data"
        index = ImageIndex(ISIC2017, root, [folder, f"{folder}/{folder}"])
        parts[split] = [
            Labelled(index[row["image_id"]], chosen.of(_diagnosis(row, place)), row["image_id"])
            for place, row in read_table(
                root / f"ISIC-2017_{part}_Part3_GroundTruth.csv",
                ["image_id", "melanoma", "seborrheic_keratosis"],
            )
        ]
    return from_files(parts, root, options, class_names=chosen.class_names)


def _diagnosis(row: Mapping[str, str], place: str) -> int:
    melanoma, keratosis = (
        number(row[column], column=column, place=place, classes=2)
        for column in ("melanoma", "seborrheic_keratosis")
    )
    return _MELANOMA if melanoma else _KERATOSIS if keratosis else _NEVUS
