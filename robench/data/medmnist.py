"""MedMNIST v2 by name: the 2D sets with one label per image, through the `medmnist` package."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robench.data.dataset import Dataset
from robench.data.npz import load_npz
from robench.data.options import Options
from robench.data.paths import data_folder
from robench.errors import UserError

SIZES = (28, 64, 128, 224)


@dataclass(frozen=True)
class _Published:
    """What the medmnist package says of one file."""

    file: str
    url: str
    md5: str
    class_names: tuple[str, ...]
    dataset_class: Callable[..., Any]
    default_root: str | None


def _medmnist(name: str) -> Callable[..., Dataset]:
    def factory(
        *,
        size: int = 28,
        download: bool = True,
        root: str | os.PathLike[str] | None = None,
        image_size: int | None = None,
        channels: int | None = None,
        limit: Mapping[str, int] | None = None,
        memory_limit_mb: int = 1024,
    ) -> Dataset:
        options = Options(name, image_size=image_size, channels=channels, limit=limit)
        published = _published(name, size)
        file = _find(published, root) or _fetch(published, name, size, download, root)
        _check_content(file, published)
        return load_npz(
            file,
            options,
            class_names=published.class_names,
            group_pattern=None,
            memory_limit_mb=memory_limit_mb,
        )

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = f"""{name} of MedMNIST v2 with its official splits, images of side `size`.

        Looks for the published file (`{name}.npz`, `{name}_64.npz`, …) in `root`, in
        ROBENCH_DATA and in medmnist's own folder (~/.medmnist); with `download`, fetches it to
        `root` or there. Arrays above `memory_limit_mb` (10⁶ bytes) are mapped from disk.
        The other options are those of Options. Raises UserError where the package or the file is
        missing, and where its MD5 is not the published one.
        """
    return factory


def _published(name: str, size: int) -> _Published:
    if size not in SIZES or isinstance(size, bool):
        raise UserError(
            "not a published size", where=f"{name}: size", got=size, expected="28, 64, 128 or 224"
        )
    try:
        import medmnist
        from medmnist.info import DEFAULT_ROOT, INFO
    except ImportError as error:
        raise UserError(
            f"the package medmnist cannot be imported ({error})",
            where=name,
            expected="it to be installed: pip install 'robench[medmnist]'",
        ) from error
    info = INFO[name]
    flag = "" if size == 28 else f"_{size}"
    return _Published(
        file=f"{name}{flag}.npz",
        url=info[f"url{flag}"],
        md5=info[f"MD5{flag}"],
        class_names=tuple(info["label"][label] for label in sorted(info["label"], key=int)),
        dataset_class=getattr(medmnist, info["python_class"]),
        default_root=DEFAULT_ROOT,
    )


def _find(published: _Published, root: str | os.PathLike[str] | None) -> Path | None:
    places = [
        None if root is None else Path(root).expanduser(),
        data_folder(),
        None if published.default_root is None else Path(published.default_root),
    ]
    files = [place / published.file for place in places if place is not None]
    return next((file for file in files if file.is_file()), None)


def _fetch(
    published: _Published,
    name: str,
    size: int,
    download: bool,
    root: str | os.PathLike[str] | None,
) -> Path:
    chosen = root if root is not None else published.default_root
    target = Path(chosen).expanduser() if chosen is not None else None
    hint = f"{published.file} from {published.url} in {target or 'root'} or in ROBENCH_DATA"
    if not download or target is None:
        raise UserError("the file is not there", where=name, expected=f"{hint}, or download: true")
    try:
        target.mkdir(parents=True, exist_ok=True)
        # The class downloads the whole file, then loads a split: "val" is a small one.
        published.dataset_class(split="val", download=True, root=os.fspath(target), size=size)
    except (RuntimeError, OSError) as error:
        raise UserError("the download failed", where=name, expected=hint) from error
    return target / published.file


def _check_content(file: Path, published: _Published) -> None:
    with file.open("rb") as content:
        md5 = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != published.md5:
        raise UserError(
            "is not the published file: remove it to download it again, or use it as npz",
            where=str(file),
            got=f"MD5 {md5}",
            expected=f"MD5 {published.md5} ({published.url})",
        )


pathmnist = _medmnist("pathmnist")
dermamnist = _medmnist("dermamnist")
octmnist = _medmnist("octmnist")
pneumoniamnist = _medmnist("pneumoniamnist")
retinamnist = _medmnist("retinamnist")
breastmnist = _medmnist("breastmnist")
bloodmnist = _medmnist("bloodmnist")
tissuemnist = _medmnist("tissuemnist")
organamnist = _medmnist("organamnist")
organcmnist = _medmnist("organcmnist")
organsmnist = _medmnist("organsmnist")
