"""Arrays out of an .npz file: small ones in memory, large ones mapped from disk."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import weakref
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from robench.errors import UserError

_BLOCK = 2**20
# What zipfile, zlib and numpy raise for a file that is damaged, cut, encrypted or no zip.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    length: int

    @property
    def total(self) -> int:
        """Bytes that the whole .npy must have."""
        return self.length + math.prod(self.shape) * self.dtype.itemsize


def entry_names(path: Path) -> tuple[str, ...]:
    """The names of the arrays in an .npz file; UserError where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _BROKEN as error:
        raise UserError(
            f"cannot be read as an .npz file ({error})", where=str(path), expected="an .npz file"
        ) from error
    return tuple(name.removesuffix(".npy") for name in names if name.endswith(".npy"))


def read_entry(path: Path, name: str, *, memory_limit: int) -> NDArray[Any]:
    """The array `name` of an .npz file, memory-mapped where it has more than `memory_limit` bytes.

    An entry that is stored is mapped in the file itself, without a check of its CRC. A deflated
    one is unpacked block by block into a temporary file, which is removed when the array is
    no longer used or the program ends. UserError names file and array.
    """
    place = f"{path}: {name}"
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"{name}.npy")
            with archive.open(entry) as stream:
                header = _read_header(stream, place)
            if header.total != entry.file_size:
                raise UserError(
                    "the array is not as long as its header says",
                    where=place,
                    got=f"{entry.file_size} bytes",
                    expected=f"{header.total}",
                )
            if entry.file_size <= memory_limit:
                with archive.open(entry) as stream:
                    return np.asarray(npy.read_array(stream, allow_pickle=False))
            if entry.compress_type == zipfile.ZIP_STORED:
                return _mapped(path, header, _data_offset(path, entry))
            return _unpacked(archive, entry, header)
    except _BROKEN as error:
        raise UserError(f"the array cannot be read ({error})", where=place) from error


def _read_header(stream: IO[bytes], place: str) -> _Header:
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, fortran_order, dtype = npy.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran_order, dtype = npy.read_array_header_2_0(stream)
    else:
        raise UserError("unknown .npy version", where=place, got=version, expected="1.0 or 2.0")
    if dtype.hasobject:
        raise UserError(
            "the array holds Python objects, which are never loaded",
            where=place,
            got=f"dtype {dtype}",
            expected="numbers or fixed-length strings",
        )
    return _Header(shape, fortran_order, dtype, stream.tell())


def _data_offset(path: Path, entry: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored entry begin: behind its local header, which has own lengths."""
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        local = file.read(30)
    if local[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("bad local header")
    lengths = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    return entry.header_offset + 30 + lengths


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, header: _Header) -> NDArray[Any]:
    folder = Path(tempfile.mkdtemp(prefix="robench-"))
    try:
        with archive.open(entry) as packed, (folder / "array.npy").open("wb") as target:
            shutil.copyfileobj(packed, target, _BLOCK)
        array = _mapped(folder / "array.npy", header, 0)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(array.base, shutil.rmtree, os.fspath(folder), ignore_errors=True)
    return array


def _mapped(path: Path, header: _Header, start: int) -> NDArray[Any]:
    return np.memmap(
        path,
        dtype=header.dtype,
        mode="r",
        offset=start + header.length,
        shape=header.shape,
        order="F" if header.fortran_order else "C",
    )
