"""From a matrix to a plan: the data sets read, the checkpoints hashed. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robench.data import Dataset
from robench.errors import UserError, nearest
from robench.matrix import Item, Matrix
from robench.plan import DataFacts, Plan, make_plan


@dataclass(frozen=True)
class Prepared:
    """A plan and the data sets it is for, by label."""

    plan: Plan
    datasets: Mapping[str, Dataset]


def prepare(matrix: Matrix) -> Prepared:
    """Read the data sets of a matrix and plan it. Raises UserError with the place at fault."""
    datasets = {item.label: load_dataset(item) for item in matrix.datasets}
    facts = {label: facts_of(dataset) for label, dataset in datasets.items()}
    digests = {
        path: _file_digest(setting, path, item.where)
        for item in (*matrix.models, *matrix.defenses) for setting, path in item.files.items()
    }
    return Prepared(make_plan(matrix, facts, digests), datasets)


def load_dataset(item: Item) -> Dataset:
    """The data set an axis item names."""
    from robench.registry import Registry

    factory = Registry.discover().get("dataset", item.name, where=item.where).load()
    try:
        dataset = factory(**item.settings)
    except UserError as error:
        raise error.at(item.where) from error
    except (TypeError, ValueError) as error:
        raise UserError(f"data set '{item.name}' cannot be built: {error}",
                        where=item.where) from error
    if not isinstance(dataset, Dataset):
        raise UserError(f"data set '{item.name}' is no robench.Dataset", where=item.where,
                        got=type(dataset).__name__,
                        expected="robench.Dataset.from_arrays(…), or a subclass")
    return dataset


def facts_of(dataset: Dataset) -> DataFacts:
    """What a plan needs to know of a data set."""
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    return DataFacts(
        fingerprint=dataset.fingerprint, num_classes=dataset.num_classes,
        in_channels=dataset.in_channels, image_size=dataset.image_size,
        train=sizes.get("train", 0), validation=sizes.get("validation", 0),
        test=sizes.get("test", 0),
    )


def checkpoint_path(model: Item) -> Path | None:
    """The file of a model's own weights, or None."""
    return Path(model.checkpoint).expanduser() if model.checkpoint else None


def _file_digest(setting: str, file: str, where: str) -> str:
    path = Path(file).expanduser()
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        names = [beside.name for beside in path.parent.glob("*")] if path.parent.is_dir() else []
        raise UserError(f"cannot read the file of {setting}, {path}: {error.strerror}",
                        where=where, nearest=nearest(path.name, names)) from None
