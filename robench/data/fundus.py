"""Retinal photographs: fundoscopy (EyePACS on Kaggle), aptos2019, messidor and eye_diseases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from robench.data.dataset import Dataset
from robench.data.download import Download
from robench.data.labelled import Labelled, from_class_folders, from_files
from robench.data.options import Options
from robench.data.tables import ImageIndex, number, read_table
from robench.data.tasks import Task, task_of

GRADES = ("No DR", "Mild", "Moderate", "Severe", "Proliferative DR")
_DR_TASKS = {
    "multiclass": Task(GRADES),
    "binary": Task(("No DR", "DR"), {grade: min(grade, 1) for grade in range(5)}),
}
_MESSIDOR_TASKS = {
    "multiclass": Task(("grade 0", "grade 1", "grade 2", "grade 3")),
    "binary": Task(("No DR", "DR"), {grade: min(grade, 1) for grade in range(4)}),
}

FUNDOSCOPY = Download(
    name="fundoscopy",
    source="Diabetic Retinopathy Detection (EyePACS), "
           "https://www.kaggle.com/c/diabetic-retinopathy-detection",
    layout="fundoscopy/trainLabels.csv (image, level) and fundoscopy/train/*.jpeg "
           "in $ROBENCH_DATA, or its folder as path",
    folders=("fundoscopy", "diabetic-retinopathy-detection", "eyepacs"),
    holds=("trainLabels.csv", "train"),
)
APTOS2019 = Download(
    name="aptos2019",
    source="APTOS 2019, https://www.kaggle.com/datasets/mariaherrerot/aptos2019",
    layout="aptos2019/{train_1,valid,test}.csv (id_code, diagnosis) and "
           "aptos2019/{train,val,test}_images/*.png in $ROBENCH_DATA, or its folder as path",
    folders=("aptos2019", "aptos2019-blindness-detection", "aptos"),
    holds=("train_1.csv", "valid.csv", "test.csv"),
)
MESSIDOR = Download(
    name="messidor",
    source="Messidor (Decencière et al. 2014, doi:10.5566/ias.1155), "
           "https://www.adcis.net/en/third-party/messidor/",
    layout="messidor/Annotation_Base*.csv (the page's .xls files saved as CSV) and the images in "
           "messidor/ or messidor/Base*/*.tif in $ROBENCH_DATA, or its folder as path",
    folders=("messidor", "Messidor", "MESSIDOR"),
    holds=("Annotation*.csv",),
)
EYE_DISEASES = Download(
    name="eye_diseases",
    source="eye_diseases_classification, "
           "https://www.kaggle.com/datasets/gunavenkatdoddi/eye-diseases-classification",
    layout="eye_diseases/{cataract,diabetic_retinopathy,glaucoma,normal}/*.jpg in $ROBENCH_DATA, "
           "or its folder as path",
    folders=("eye_diseases", "eye-diseases-classification", "eye_diseases_classification"),
    holds=("cataract", "glaucoma"),
)


def fundoscopy(
    *,
    path: str | os.PathLike[str] | None = None,
    task: str = "multiclass",
    image_size: int | None = 224,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
    validation: float | None = None,
) -> Dataset:
    """EyePACS: five grades of diabetic retinopathy, or none against any (`task` "binary").

    The labelled training images of the competition, divided 70/15/15 with both eyes of a patient on
    one side. `path` and errors: see Download.find; the other options are those of Options.
    """
    options = Options("fundoscopy", image_size=image_size, channels=channels, limit=limit,
                      validation=validation)
    chosen = task_of(task, _DR_TASKS, where="fundoscopy")
    root = FUNDOSCOPY.find(path)
    index = ImageIndex(FUNDOSCOPY, root, ["train", "train/train"])
    rows = [
        Labelled(index[row["image"]],
                 chosen.of(number(row["level"], column="level", place=place, classes=5)),
                 row["image"].partition("_")[0])
        for place, row in read_table(root / "trainLabels.csv", ["image", "level"])
    ]
    return from_files({"": rows}, root, options, class_names=chosen.class_names, resplit=True)


def aptos2019(
    *,
    path: str | os.PathLike[str] | None = None,
    task: str = "multiclass",
    image_size: int | None = 224,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
) -> Dataset:
    """APTOS 2019, in the splits of the download: five grades, or none against any ("binary").

    `path` and errors: see Download.find; the other options are those of Options.
    """
    options = Options("aptos2019", image_size=image_size, channels=channels, limit=limit)
    chosen = task_of(task, _DR_TASKS, where="aptos2019")
    root = APTOS2019.find(path)
    parts = {}
    for split, table, folder in (("train", "train_1.csv", "train_images"),
                                 ("validation", "valid.csv", "val_images"),
                                 ("test", "test.csv", "test_images")):
        index = ImageIndex(APTOS2019, root, [folder, f"{folder}/{folder}"])
        parts[split] = [
            Labelled(found := index[row["id_code"]],
                     chosen.of(number(row["diagnosis"], column="diagnosis", place=place,
                                      classes=5)),
                     found.relative_to(root).as_posix())
            for place, row in read_table(root / table, ["id_code", "diagnosis"])
        ]
    return from_files(parts, root, options, class_names=chosen.class_names)


def messidor(
    *,
    path: str | os.PathLike[str] | None = None,
    task: str = "multiclass",
    image_size: int | None = 224,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
    validation: float | None = None,
) -> Dataset:
    """Messidor: four grades of retinopathy, or grade 0 against the others (`task` "binary").

    80 % train, 20 % test, stratified. `path` and errors: see Download.find; the other options are
    those of Options.
    """
    options = Options("messidor", image_size=image_size, channels=channels, limit=limit,
                      validation=validation)
    chosen = task_of(task, _MESSIDOR_TASKS, where="messidor")
    root = MESSIDOR.find(path)
    index = ImageIndex(MESSIDOR, root, ["", "Base*", "images"])
    rows = [
        _graded(root, index[row["Image name"]],
                chosen.of(number(row["Retinopathy grade"], column="Retinopathy grade",
                                 place=place, classes=4)))
        for table in sorted(root.glob("Annotation*.csv"))
        for place, row in read_table(table, ["Image name", "Retinopathy grade"])
    ]
    return from_files({"": rows}, root, options, class_names=chosen.class_names, resplit=True,
                      fractions={"train": 0.8, "test": 0.2})


def eye_diseases(
    *,
    path: str | os.PathLike[str] | None = None,
    image_size: int | None = 224,
    channels: int | None = None,
    limit: Mapping[str, int] | None = None,
    validation: float | None = None,
) -> Dataset:
    """Cataract, diabetic retinopathy, glaucoma or normal; divided 70/15/15, stratified.

    `path` and errors: see Download.find; the other options are those of Options.
    """
    options = Options("eye_diseases", image_size=image_size, channels=channels, limit=limit,
                      validation=validation)
    return from_class_folders(
        EYE_DISEASES.find(path), options, resplit=True, group=lambda name: None,
        class_names=("cataract", "diabetic_retinopathy", "glaucoma", "normal"),
    )


def _graded(root: Path, file: Path, label: int) -> Labelled:
    return Labelled(file, label, file.relative_to(root).as_posix())
