"""Errors a person can act on: what is wrong, where, what was got, what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace

_UNSET = object()


class UserError(Exception):
    """A mistake of the user's, told in one or two lines; the program exits with 2.

    `what` says what is wrong, `where` names the file and the place in it. `got`, `expected`
    and `nearest` (the closest allowed name) are added where they help.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        got: object = _UNSET,
        expected: str | None = None,
        nearest: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.got = got
        self.expected = expected
        self.nearest = nearest
        super().__init__(what)

    def __str__(self) -> str:
        first = f"{self.where}: {self.what}" if self.where else self.what
        first = _one_line(first)
        if self.got is not _UNSET:
            first += f", got {_shorten(self.got)}"
        hints = []
        if self.expected:
            hints.append(f"expected {self.expected}")
        if self.nearest:
            hints.append(f"did you mean '{self.nearest}'?")
        return first + (f"\n  {_one_line('; '.join(hints))}" if hints else "")

    def at(self, where: str) -> UserError:
        """The same error with its place; a place that is already known is kept behind it."""
        place = f"{where}: {self.where}" if self.where else where
        return type(self)(
            self.what, where=place, got=self.got, expected=self.expected, nearest=self.nearest
        )


class MaskingWarning(UserWarning):
    """An attack found the gradient zero for every image: its result says nothing."""


class UnattackedWarning(UserWarning):
    """An attack found nothing to begin with for some images: that they hold says nothing."""


@dataclass(frozen=True)
class Missing:
    """A public data set that is not on this machine.

    `name`: what robench calls it; `what`: what was looked for, and where; `source`: the page to get
    it from; `layout`: how its files must lie; `where`: the place that asks for it.
    """

    name: str
    what: str
    source: str
    layout: str
    where: str | None = None

    def __str__(self) -> str:
        first = f"{self.where}: {self.what}" if self.where else self.what
        return f"{_one_line(first)}\n  get: {self.source}\n  layout: {self.layout}"


class MissingDataError(UserError):
    """Data sets that are not on this machine, each told in three lines."""

    def __init__(self, *missing: Missing, expected: str | None = None) -> None:
        super().__init__("; ".join(each.what for each in missing), expected=expected)
        self.missing = missing

    @classmethod
    def together(
        cls, errors: Iterable[MissingDataError], *, expected: str | None = None
    ) -> MissingDataError:
        """All that some errors miss, each told once."""
        told: dict[str, Missing] = {}
        for error in errors:
            for each in error.missing:
                told.setdefault(each.what, each)
        return cls(*told.values(), expected=expected)

    def __str__(self) -> str:
        hint = [f"expected {self.expected}"] if self.expected else []
        return "\n".join([*map(str, self.missing), *hint])

    def at(self, where: str) -> MissingDataError:
        """The same with its place; a place that is already known is kept behind it."""
        placed = [replace(each, where=f"{where}: {each.where}" if each.where else where)
                  for each in self.missing]
        return MissingDataError(*placed, expected=self.expected)


class StoreError(UserError):
    """The store cannot be read or written: a full or read-only disk, a newer version."""


class VictimError(UserError):
    """A network does not do what a victim must: NaN, wrong shape, wrong number of logits."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is closest to `name`, or None where none is close."""
    found = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown(kind: str, name: str, names: Iterable[str], *, where: str | None = None) -> UserError:
    """The error for a `name` that is none of `names`."""
    known = sorted(names)
    close = nearest(name, known)
    listed = ", ".join(known[:12]) + (" …" if len(known) > 12 else "")
    return UserError(
        f"unknown {kind} '{name}'",
        where=where,
        expected=None if close else f"one of {listed}" if known else "none: nothing is known",
        nearest=close,
    )


def _one_line(text: str) -> str:
    return " ".join(part.strip() for part in text.splitlines())


def _shorten(value: object, limit: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
