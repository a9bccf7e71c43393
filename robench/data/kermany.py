"""chest_xray and roct: the chest X-rays and retinal OCT scans of Kermany et al. 2018."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from robench.data.dataset import Dataset
from robench.data.download import Download
from robench.data.labelled import asks_resplit, from_class_folders
from robench.data.options import Options

_MENDELEY = "or Mendeley Data, doi:10.17632/rscbjbr9sj"
_PERSON = re.compile(r"person\d+|IM-\d+")
_PATIENT = re.compile(r"(?<=-)\d+(?=-)")

CHEST_XRAY = Download(
    name="chest_xray",
    source="Chest X-Ray Images (Pneumonia), "
           "https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia, "
           f"{_MENDELEY} (version 2)",
    layout="chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg in $ROBENCH_DATA, "
           "or its folder as path; Mendeley's has no val",
    folders=("chest_xray", "chest-xray-pneumonia", "ChestXRay2017", "chestxray_kermany"),
    holds=("train/NORMAL", "test/NORMAL"),
)
ROCT = Download(
    name="roct",
    source="Retinal OCT Images, https://www.kaggle.com/datasets/paultimothymooney/kermany2018, "
           f"{_MENDELEY} (version 3)",
    layout="roct/{train,val,test}/{CNV,DME,DRUSEN,NORMAL}/*.jpeg in $ROBENCH_DATA, "
           "or its folder as path; Mendeley's has no val",
    folders=("roct", "kermany2018", "OCT2017"),
    holds=("train/DRUSEN", "test/DRUSEN"),
)


def chest_xray(
    *,
    path: str | os.PathLike[str] | None = None,
    split: str = "official",
    image_size: int | None = 224,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
    validation: float | None = None,
) -> Dataset:
    """Pediatric chest X-rays, NORMAL or PNEUMONIA.

    `path`: its folder (None: looked for, see Download.find). `split`: "official", as the download
    has it, or "resplit", all images divided 70/15/15 anew, stratified, a patient on one side.
    `image_size` and the other options: see Options. Groups are the patients that file names tell.
    Raises MissingDataError where it is not there, UserError where it is not what it should be.
    """
    options = Options("chest_xray", image_size=image_size, channels=channels, limit=limit,
                      validation=validation)
    resplit = asks_resplit(split, where="chest_xray")
    return from_class_folders(
        CHEST_XRAY.find(path), options, class_names=("NORMAL", "PNEUMONIA"),
        group=lambda name: _first(_PERSON, name), resplit=resplit,
    )


def roct(
    *,
    path: str | os.PathLike[str] | None = None,
    split: str = "official",
    image_size: int | None = 224,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
    validation: float | None = None,
) -> Dataset:
    """Retinal OCT scans: CNV, DME, DRUSEN or NORMAL. Settings and errors as `chest_xray`."""
    options = Options("roct", image_size=image_size, channels=channels, limit=limit,
                      validation=validation)
    resplit = asks_resplit(split, where="roct")
    return from_class_folders(
        ROCT.find(path), options, class_names=("CNV", "DME", "DRUSEN", "NORMAL"),
        group=lambda name: _first(_PATIENT, name), resplit=resplit,
    )


def _first(pattern: re.Pattern[str], name: str) -> str | None:
    found = pattern.search(name)
    return found.group() if found else None
