"""Suites: a file that only names matrices, `include: [first, second]`, run one after another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robench.errors import UserError, nearest
from robench.matrix.document import Document
from robench.matrix.matrix import Matrix, find, parse
from robench.registry import Registry

_KEYS = ("name", "include")


def load_all(matrix: str | Path | Mapping[str, Any], registry: Registry) -> tuple[Matrix, ...]:
    """The matrices that are meant: those a suite includes, in its order, or the one.

    A suite has the keys `name` and `include` and no others. What it includes are files beside it or
    the names of shipped matrices, each once, and no suites. Raises UserError with the place.
    """
    document = (Document.of(dict(matrix)) if isinstance(matrix, Mapping)
                else Document.read(find(matrix)))
    if not is_suite(document):
        return (parse(document, registry),)
    names = _included(document)
    folder = None if isinstance(matrix, Mapping) else Path(document.source).parent
    read = [
        parse(_read(name, folder, document.place("include", index)), registry)
        for index, name in enumerate(names)
    ]
    for index, one in enumerate(read):
        if one.name in [other.name for other in read[:index]]:
            raise UserError(f"two matrices are called '{one.name}'",
                            where=document.place("include", index))
    return tuple(read)


def is_suite(document: Document) -> bool:
    """Whether a document includes matrices instead of being one."""
    return isinstance(document.data, Mapping) and "include" in document.data


def _included(document: Document) -> list[str]:
    data = document.data
    for key in data:
        if key not in _KEYS:
            raise UserError(f"a matrix that includes others has no key '{key}'",
                            where=document.place(str(key)), expected=f"only {', '.join(_KEYS)}",
                            nearest=nearest(str(key), _KEYS))
    if not isinstance(data.get("name"), str):
        raise UserError("the key 'name' is missing", where=document.source)
    names = data["include"]
    if not isinstance(names, list) or not names:
        raise UserError("include", where=document.place("include"), got=names,
                        expected="a list of matrices, as in include: [quickstart, mine.yaml]")
    for index, name in enumerate(names):
        if not isinstance(name, str) or name in names[:index]:
            raise UserError("include", where=document.place("include", index), got=name,
                            expected="a file or the name of a shipped matrix, each once")
    return list(names)


def _read(name: str, folder: Path | None, where: str) -> Document:
    beside = None if folder is None else folder / name
    try:
        found = Document.read(beside if beside is not None and beside.is_file() else find(name))
    except UserError as error:
        raise error.at(where) from None
    if is_suite(found):
        raise UserError(f"'{name}' includes matrices itself", where=where,
                        expected="one of those it includes")
    return found
