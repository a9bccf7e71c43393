"""From a matrix to a plan: the data sets read, the checkpoints hashed. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from robench.data import Dataset
from robench.errors import MissingDataError, UserError, nearest
from robench.keys import canonical
from robench.matrix import Item, Matrix
from robench.plan import DataFacts, Ladder, Plan
from robench.planning import make_plan


@dataclass(frozen=True)
class Prepared:
    """A plan and the data sets it is for, by label.

    `missing` are the data sets that are not on this machine, by label, and `waiting` the ladders
    that need them; the plan is without these.
    """

    plan: Plan
    datasets: Mapping[str, Dataset]
    missing: Mapping[str, MissingDataError] = field(default_factory=dict)
    waiting: tuple[Ladder, ...] = ()


Loaded = dict[str, Dataset | MissingDataError]
"""What was read or missed before, by what it means: shared between matrices."""


def prepare(matrix: Matrix, *, loaded: Loaded | None = None) -> Prepared:
    """Read the data sets of a matrix and plan it. Raises UserError with the place at fault."""
    found: dict[str, Dataset] = {}
    missing: dict[str, MissingDataError] = {}
    for item in matrix.datasets:
        dataset = _load_once(item, {} if loaded is None else loaded)
        if isinstance(dataset, MissingDataError):
            missing[item.label] = dataset
        else:
            found[item.label] = dataset
    digests = {
        path: _file_digest(setting, path, item.where)
        for item in (*matrix.models, *matrix.defenses) for setting, path in item.files.items()
    }
    facts = {label: facts_of(dataset) for label, dataset in found.items()}
    whole = make_plan(matrix, facts | {label: _unknown(label) for label in missing}, digests)
    if not missing:
        return Prepared(whole, found)
    here = replace(matrix, datasets=tuple(
        item for item in matrix.datasets if item.label in found
    ))
    runnable, waiting = (
        tuple(ladder for ladder in whole.ladders
              if (ladder.target.training.dataset.label in found) is present)
        for present in (True, False)
    )
    return Prepared(Plan(here, runnable), found, missing, waiting)


def _load_once(item: Item, loaded: Loaded) -> Dataset | MissingDataError:
    meaning = canonical([item.name, item.origin, item.settings])
    if meaning not in loaded:
        try:
            loaded[meaning] = load_dataset(item)
        except MissingDataError as error:
            loaded[meaning] = error
    return loaded[meaning]


def _unknown(label: str) -> DataFacts:
    """Facts enough to plan a data set that is not there; no key of such a plan is used."""
    return DataFacts(fingerprint=f"missing {label}", num_classes=1000, in_channels=3,
                     image_size=(224, 224), train=1, validation=1, test=1)


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
