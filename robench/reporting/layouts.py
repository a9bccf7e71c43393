"""The layouts of a report, by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, cast

from robench.errors import UserError, unknown
from robench.reporting.sheet import Sheet
from robench.reporting.table import RunTable

LEADERBOARD: Final = "leaderboard"
# Named, not imported: a leaderboard must not pay for the other layouts.
_SHEETS: Final[Mapping[str, str]] = {
    "epsilon": "robench.reporting.epsilon_layout:epsilon_sheet",
    "pruning": "robench.reporting.pruning_layout:pruning_sheet",
    "transfer": "robench.reporting.transfer_layout:transfer_sheet",
    "curves": "robench.reporting.curves_layout:curves_sheet",
    "attacks": "robench.reporting.attacks_layout:attacks_sheet",
    "medical": "robench.reporting.medical_layout:medical_sheet",
    "surface": "robench.reporting.surface_layout:surface_sheet",
}
_BROKEN: Final = ("image_id", "group_id", "clean_correct", "success")
_DISTANCES: Final = ("linf", "l2", "l0")
_IMAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "curves": (*_BROKEN, *_DISTANCES),
    "attacks": (*_BROKEN, *_DISTANCES, "label", "clean_prediction", "forwards", "backwards",
                "draws_wrong"),
    "medical": (*_BROKEN, "label", "clean_prediction", "adversarial_prediction", "clean_margin",
                "adversarial_margin"),
    "surface": _BROKEN,
}
LAYOUTS: Final[tuple[str, ...]] = (LEADERBOARD, *_SHEETS)


def check_layout(name: str) -> None:
    """Raise UserError, with the nearest name, for what is none of `LAYOUTS`."""
    if name not in LAYOUTS:
        raise unknown("report layout", name, LAYOUTS)


def images_of(layout: str) -> tuple[str, ...]:
    """The columns of outcomes that a layout counts on, besides what every layout is given."""
    return _IMAGES.get(layout, ())


def sheet(table: RunTable, layout: str) -> Sheet:
    """`table` arranged in a layout other than the leaderboard.

    Raises UserError for another name, and where the run has nothing that the layout shows.
    """
    check_layout(layout)
    if not table.rows:
        raise UserError("no cell of the run has a result", where=table.run_id,
                        expected=f"at least one; --layout {LEADERBOARD} names the failed cells")
    module, function = _SHEETS[layout].split(":")
    return cast(Callable[[RunTable], Sheet], getattr(import_module(module), function))(table)
