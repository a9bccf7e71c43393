"""YAML with its lines: every value can be said where it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from robench.errors import UserError

Path_ = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as YAML 1.2 does; PyYAML alone takes it for a word."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


class Document:
    """The data of one YAML file and the line of each value in it."""

    def __init__(self, data: Any, *, source: str, lines: dict[Path_, int]) -> None:
        self.data = data
        self.source = source
        self._lines = lines

    @classmethod
    def read(cls, path: Path) -> Document:
        """Raises UserError where the file is missing, unreadable or no YAML."""
        try:
            return cls.parse(path.read_text(encoding="utf-8"), source=str(path))
        except OSError as error:
            raise UserError(f"cannot read the matrix: {error.strerror}", where=str(path)) from None
        except UnicodeDecodeError:
            raise UserError("not a text file in UTF-8", where=str(path)) from None

    @classmethod
    def parse(cls, text: str, *, source: str) -> Document:
        try:
            root = yaml.compose(text, Loader=_Loader)
            lines: dict[Path_, int] = {}
            if root is not None:
                _walk(root, (), lines, source, set())
            return cls(yaml.load(text, Loader=_Loader), source=source, lines=lines)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark else ""
            raise UserError(f"not YAML: {error.problem}", where=f"{source}{line}") from None
        except ReaderError as error:
            number = text[: error.position].count("\n") + 1
            raise UserError(f"not YAML: {error.reason}", where=f"{source}:{number}") from None
        except RecursionError:
            raise UserError("not YAML: nested too deeply", where=source) from None
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f"not YAML: {error}", where=source) from None

    @classmethod
    def of(cls, data: Any, *, source: str = "matrix") -> Document:
        """A document made in Python; it has no lines."""
        return cls(data, source=source, lines={})

    def place(self, *path: str | int) -> str:
        """`file:line key[index]` of the value at `path`, or of the nearest one above it."""
        known = path
        while known and known not in self._lines:
            known = known[:-1]
        line = f":{self._lines[known]}" if known in self._lines else ""
        shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        return f"{self.source}{line}{' ' + shown.lstrip('.') if shown else ''}"


def _walk(
    node: yaml.Node, path: Path_, lines: dict[Path_, int], source: str, walked: set[int]
) -> None:
    lines[path] = node.start_mark.line + 1
    if id(node) in walked:  # an alias; it may even stand inside itself
        return
    walked.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), lines, source, walked)
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for name, value in node.value:
            key = str(name.value)
            if key in seen:
                raise UserError(f"the key '{key}' stands twice",
                                where=f"{source}:{name.start_mark.line + 1}")
            seen.add(key)
            _walk(value, (*path, key), lines, source, walked)
            lines[(*path, key)] = name.start_mark.line + 1
