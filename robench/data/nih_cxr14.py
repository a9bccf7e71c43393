"""nih_cxr14: the frontal chest X-rays of the NIH, with fourteen findings told from reports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from robench.data.dataset import Dataset
from robench.data.download import Download
from robench.data.labelled import Labelled, from_files
from robench.data.options import Options
from robench.data.tables import ImageIndex, read_table
from robench.errors import UserError, unknown

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis",
    "Hernia", "Infiltration", "Mass", "No Finding", "Nodule", "Pleural_Thickening", "Pneumonia",
    "Pneumothorax",
)
TASKS = ("multiclass", "binary")
_NONE = "No Finding"
_LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}

NIH_CXR14 = Download(
    name="nih_cxr14",
    source="NIH Chest X-rays (ChestX-ray14), https://www.kaggle.com/datasets/nih-chest-xrays/data",
    layout="nih_cxr14/{Data_Entry_2017.csv,train_val_list.txt,test_list.txt} and "
           "nih_cxr14/images_*/images/*.png in $ROBENCH_DATA, or its folder as path",
    folders=("nih_cxr14", "nih-chest-xrays", "ChestX-ray14", "CXR8"),
    holds=("Data_Entry_2017*.csv", *_LISTS.values()),
)


def nih_cxr14(
    *,
    path: str | os.PathLike[str] | None = None,
    task: str = "multiclass",
    image_size: int | None = 224,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
    validation: float | None = None,
) -> Dataset:
    """ChestX-ray14 in its official splits, by patient.

    `task` "multiclass": 15 classes, the images of several findings left out; "binary": no finding
    against any, all images. `path` and errors: see Download.find; the other options are those of
    Options.
    """
    options = Options("nih_cxr14", image_size=image_size, channels=channels, limit=limit,
                      validation=validation)
    if task not in TASKS:
        raise unknown("task", str(task), TASKS, where="nih_cxr14: task")
    root = NIH_CXR14.find(path)
    split_of = _split_of(root)
    index = ImageIndex(NIH_CXR14, root, ["images_*/images", "images_*", "images"])
    parts: dict[str, list[Labelled]] = {split: [] for split in _LISTS}
    table = min(root.glob("Data_Entry_2017*.csv"))
    for place, row in read_table(table, ["Image Index", "Finding Labels", "Patient ID"]):
        label = _label(row["Finding Labels"].split("|"), task, place)
        if label is None:
            continue
        name = row["Image Index"]
        if name not in split_of:
            raise UserError(f"'{name}' is in neither list of a split", where=place)
        parts[split_of[name]].append(Labelled(index[name], label, row["Patient ID"]))
    names = FINDINGS if task == "multiclass" else (_NONE, "Finding")
    return from_files(parts, root, options, class_names=names)


def _label(findings: list[str], task: str, place: str) -> int | None:
    """The class of an image with these findings; None leaves it out."""
    for finding in findings:
        if finding not in FINDINGS:
            raise unknown("finding", finding, FINDINGS, where=place)
    if task == "binary":
        return int(findings != [_NONE])
    return FINDINGS.index(findings[0]) if len(findings) == 1 else None


def _split_of(root: Path) -> dict[str, str]:
    """The split of each image name, from the two lists."""
    found: dict[str, str] = {}
    for split, file in _LISTS.items():
        try:
            names = (root / file).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the list ({error})", where=str(root / file)) from error
        found |= dict.fromkeys(names, split)
    return found
