"""The two rates of transferred images, counted image by image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.scoring.rows import CellRecord
from robench.scoring.transfer import Transfers, count_transfer

RECORD = CellRecord(
    key="k", dataset="d", model="m", recipe="standard", defense="none", pruning_rate=0.0,
    threat="transfer", surrogate="s", attack="pgd", norm="linf", epsilon=0.03, seed=0,
)
IMAGE = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.booleans())


def columns(images: list[tuple[int, int, int, bool]]) -> dict[str, Any]:
    """Of each image: its label, the clean and the adversarial prediction, the surrogate's fall."""
    label, clean, after, fooled = (np.array(values) for values in zip(*images, strict=True))
    right = clean == label
    return {
        "image_id": np.array([f"i{place}" for place in range(len(images))], dtype=object),
        "label": label, "clean_prediction": clean, "adversarial_prediction": after,
        "clean_correct": right, "success": right & (after != label),
        "surrogate_success": fooled.astype(bool),
    }


@given(st.lists(IMAGE, min_size=1, max_size=40))
def test_counts_are_those_of_a_loop(images: list[tuple[int, int, int, bool]]) -> None:
    kept = fooled = kept_right = fooled_right = 0
    for label, clean, after, fell in images:
        if fell:
            kept += 1
            fooled += after != label
            if clean == label:
                kept_right += 1
                fooled_right += after != label
    found = count_transfer(RECORD, columns(images))
    assert (found.n, found.kept, found.fooled, found.kept_right, found.fooled_right) == (
        len(images), kept, fooled, kept_right, fooled_right)
    assert len(found.stood.image_ids) == kept
    assert int(found.stood.robust.sum()) == kept - fooled


def test_a_constant_network_looks_robust_and_a_poor_one_attackable() -> None:
    always_right = [(0, 0, 0, True)] * 6
    always_wrong = [(1, 0, 0, True)] * 6
    assert count_transfer(RECORD, columns(always_right)).fooled == 0
    poor = count_transfer(RECORD, columns(always_wrong))
    assert (poor.fooled, poor.kept, poor.fooled_right, poor.kept_right) == (6, 6, 0, 0)


def test_other_threats_pass_and_are_not_counted() -> None:
    from dataclasses import replace

    known = columns([(0, 0, 1, True), (0, 0, 0, False)])
    silent = {name: value for name, value in known.items() if name != "surrogate_success"}
    cells: list[Any] = [
        (RECORD, known, {}), (replace(RECORD, threat="white-box"), known, {}), (RECORD, silent, {}),
    ]
    counter = Transfers()
    assert list(counter.through(cells)) == cells
    assert [one.record for one in counter.found] == [RECORD]
    assert counter.uncounted == 1


def test_a_table_that_does_not_say_what_fooled_the_surrogate() -> None:
    known = columns([(0, 0, 1, True)])
    del known["surrogate_success"]
    with pytest.raises(ValueError, match="without the column 'surrogate_success'"):
        count_transfer(RECORD, known)
