"""Small folders laid out as the public downloads are, with random images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from robench.data.nih_cxr14 import FINDINGS

RANDOM = np.random.default_rng(11)


def save(file: Path, *, colour: bool = True) -> None:
    """A random image of a random size."""
    file.parent.mkdir(parents=True, exist_ok=True)
    height, width = RANDOM.integers(8, 20, 2)
    shape = (height, width, 3) if colour else (height, width)
    Image.fromarray(RANDOM.integers(0, 256, shape, np.uint8)).save(file)


def table(file: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def chest_xray(root: Path) -> None:
    for split, patients in (("train", range(12)), ("val", range(12, 14)), ("test", range(14, 20))):
        for patient in patients:
            for view in (1, 2):
                save(root / split / "PNEUMONIA" / f"person{patient}_virus_{view}.jpeg")
            save(root / split / "NORMAL" / f"IM-{patient:04d}-0001.jpeg", colour=False)


def roct(root: Path) -> None:
    for split, patients in (("train", range(8)), ("val", range(8, 9)), ("test", range(9, 12))):
        for name in ("CNV", "DME", "DRUSEN", "NORMAL"):
            for patient in patients:
                for view in (1, 2):
                    save(root / split / name / f"{name}-{patient}-{view}.jpeg", colour=False)


def fundoscopy(root: Path) -> None:
    eyes = [(f"{patient}_{eye}", patient % 5) for patient in range(20) for eye in ("left", "right")]
    for name, _ in eyes:
        save(root / "train" / f"{name}.jpeg")
    table(root / "trainLabels.csv", "image,level", eyes)


def aptos2019(root: Path) -> None:
    for file, folder, count in (("train_1", "train", 10), ("valid", "val", 5), ("test", "test", 5)):
        rows = [(f"{folder}{index}", index % 5) for index in range(count)]
        for name, _ in rows:
            save(root / f"{folder}_images" / f"{folder}_images" / f"{name}.png")
        table(root / f"{file}.csv", "id_code,diagnosis", rows)


def messidor(root: Path) -> None:
    for base in (11, 12):
        rows = [(f"2005_{base}_{index}_PP.tif", "Service", index % 4, 0) for index in range(20)]
        for name, *_ in rows:
            save(root / f"Base{base}" / name)
        table(root / f"Annotation_Base{base}.csv",
              "Image name,Ophthalmologic department,Retinopathy grade,Risk of macular edema ", rows)


def eye_diseases(root: Path) -> None:
    for name in ("cataract", "diabetic_retinopathy", "glaucoma", "normal"):
        for index in range(10):
            save(root / "dataset" / name / f"{name}_{index}.jpg")


def dermoscopy(root: Path) -> None:
    kinds = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    rows = [(f"HAM_{kind}{lesion}", f"ISIC_{kind}_{lesion}_{view}", kind, "histo")
            for kind in kinds for lesion in range(5) for view in range(2)]
    for index, (_, image, *_) in enumerate(rows):
        save(root / f"HAM10000_images_part_{1 + index % 2}" / f"{image}.jpg")
    table(root / "HAM10000_metadata.csv", "lesion_id,image_id,dx,dx_type", rows)


def isic2017(root: Path) -> None:
    for part, count in (("Training", 12), ("Validation", 6), ("Test_v2", 6)):
        rows = [(f"ISIC_{part}_{index}", float(index % 3 == 1), float(index % 3 == 2))
                for index in range(count)]
        for name, *_ in rows:
            save(root / f"ISIC-2017_{part}_Data" / f"{name}.jpg")
            save(root / f"ISIC-2017_{part}_Data" / f"{name}_superpixels.png")
        table(root / f"ISIC-2017_{part}_Part3_GroundTruth.csv",
              "image_id,melanoma,seborrheic_keratosis", rows)


def nih_cxr14(root: Path) -> None:
    findings = [*FINDINGS, "Effusion|Mass"]
    names: dict[str, list[str]] = {"train_val_list": [], "test_list": []}
    rows = []
    for patient in range(8):
        for follow, finding in enumerate(findings):
            name = f"{patient:08d}_{follow:03d}.png"
            save(root / f"images_{1 + patient % 2:03d}" / "images" / name, colour=False)
            names["test_list" if patient > 5 else "train_val_list"].append(name)
            rows.append((name, finding, follow, patient, 50))
    for file, held in names.items():
        (root / f"{file}.txt").write_text("\n".join(held), encoding="utf-8")
    table(root / "Data_Entry_2017.csv",
          "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age", rows)


MAKERS: dict[str, Callable[[Path], None]] = {
    maker.__name__: maker for maker in (
        chest_xray, roct, fundoscopy, aptos2019, messidor, eye_diseases, dermoscopy, isic2017,
        nih_cxr14,
    )
}
