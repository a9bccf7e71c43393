"""A matrix from end to end: its outcomes, what is shared, what is found again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import robench
from robench.results import Run
from robench.scoring.leaderboard import rows_equal
from robench.scoring.rows import COLUMNS
from robench.store import Store

from .conftest import tiny


def outcomes_of(run: Run) -> dict[str, pd.DataFrame]:
    return {cell["key"]: run.outcomes(cell["key"]) for cell in run.record["cells"]}


def assert_same_outcomes(one: Run, other: Run) -> None:
    first, second = outcomes_of(one), outcomes_of(other)
    assert first.keys() == second.keys()
    for key, frame in first.items():
        pd.testing.assert_frame_equal(frame, second[key])


def test_leaderboard_has_a_row_per_cell_and_worst_case(undisturbed: Run) -> None:
    board = undisturbed.leaderboard()
    assert tuple(board.columns) == COLUMNS
    assert len(board[board.attack != "worst-case"]) == len(undisturbed.record["cells"]) == 12
    assert len(board[board.attack == "worst-case"]) == 4
    assert (board.n == 70).all()
    assert board.clean_accuracy.min() > 0.7, "a few epochs on real digits are enough to learn"


def test_sparsity_is_measured_on_a_fresh_copy(undisturbed: Run) -> None:
    board = undisturbed.leaderboard()
    measured = board.groupby("pruning_rate").sparsity.unique()
    assert measured[0.0] == pytest.approx([0.0], abs=1e-6)
    assert measured[0.5] == pytest.approx([0.5], abs=1e-3)


@pytest.mark.parametrize("batch_size", [3, 13, 64])
def test_outcomes_do_not_depend_on_the_batch_size(
    undisturbed: Run, store: object, batch_size: int
) -> None:
    other = robench.run(tiny(), store=str(store), batch_size=batch_size)
    assert_same_outcomes(undisturbed, other)


def test_an_image_broken_at_a_smaller_epsilon_keeps_its_outcome(undisturbed: Run) -> None:
    cells = [cell for cell in undisturbed.record["cells"]
             if cell["attack"] == "fgsm" and cell["pruning_rate"] == 0]
    small, large = (undisturbed.outcomes(cell["key"]) for cell in cells)
    broken = small.success.to_numpy()
    assert broken.any()
    pd.testing.assert_frame_equal(small[broken], large[broken])


def test_without_the_ladder_every_epsilon_stands_alone(store: object) -> None:
    run = robench.run(tiny(ladder=False, attacks=["fgsm"], pruning={"rates": [0]}),
                      store=str(store))
    small, large = (run.outcomes(cell["key"]) for cell in run.record["cells"])
    moved = small.success & large.success
    assert moved.any()
    assert (large.linf[moved] > small.linf[moved]).all()


def test_a_larger_epsilon_is_added_to_what_is_there(undisturbed: Run, store: object) -> None:
    before = robench.run(tiny(), store=str(store))
    after = robench.run(tiny(epsilons=[0.05, 0.15, 0.3]), store=str(store))
    kept = {cell["key"] for cell in before.record["cells"]}
    assert kept < {cell["key"] for cell in after.record["cells"]}
    assert after.record["executions"][-1]["cells_computed"] == 6
    direct = robench.run(tiny(epsilons=[0.05, 0.15, 0.3]), store=f"{store}-direct")
    assert_same_outcomes(direct, after)


def test_the_second_run_computes_nothing(store: object) -> None:
    first = robench.run(tiny(), store=str(store))
    second = robench.run(tiny(), store=str(store))
    assert second.record["executions"] == first.record["executions"]
    pd.testing.assert_frame_equal(first.leaderboard(), second.leaderboard())


def test_another_label_or_name_finds_the_same_cells(store: object) -> None:
    robench.run(tiny(), store=str(store))
    renamed = tiny(name="renamed", models=[{"small-cnn": {"width": 12}, "label": "mine"}])
    again = robench.run(renamed, store=str(store))
    assert again.record["executions"] == []
    assert set(again.leaderboard().model) == {"mine"}


def test_a_larger_sample_contains_a_smaller_one(undisturbed: Run, store: object) -> None:
    more = robench.run(tiny(samples=100), store=str(store))
    few, many = (set(run.outcomes(run.record["cells"][0]["key"]).image_id)
                 for run in (undisturbed, more))
    assert len(few) == 70
    assert few < many


def test_outcomes_agree_with_the_attack_called_by_hand(undisturbed: Run) -> None:
    """Each number can be followed to the images: the network is loaded and attacked anew."""
    import safetensors.torch
    import torch

    cell = next(cell for cell in undisturbed.record["cells"]
                if cell["attack"] == "pgd" and cell["pruning_rate"] == 0
                and cell["epsilon"] == 0.15)
    content = undisturbed.store.read("checkpoint", cell["checkpoint"])
    assert content is not None
    network = robench.model("small-cnn", width=12, num_classes=10, in_channels=1, image_size=8)
    network.load_state_dict(safetensors.torch.load(content))
    frame = undisturbed.outcomes(cell["key"])
    test = robench.dataset("digits", limit={"train": 800, "validation": 60}).test
    rows = [int(np.flatnonzero(test.image_ids == name)[0]) for name in frame.image_id]
    images = torch.from_numpy(test.images[rows]).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(test.labels[rows])
    result = robench.attack("pgd", steps=4)(
        network, images, labels, epsilons=[0.05, 0.15], image_ids=list(frame.image_id)
    )[1]
    assert result.success.tolist() == frame.success.tolist()
    with torch.no_grad():
        assert network(result.adversarial).argmax(1).tolist() == \
            frame.adversarial_prediction.tolist()
    assert (result.adversarial - images).abs().flatten(1).amax(1).numpy() == pytest.approx(
        frame.linf.to_numpy(), abs=1e-7)


def test_own_weights_are_taken_as_they_are(undisturbed: Run, tmp_path: object) -> None:
    key = undisturbed.record["cells"][0]["checkpoint"]
    path = f"{tmp_path}/mine.safetensors"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(undisturbed.store.read("checkpoint", key) or b"")
    asked = tiny(models=[{"small-cnn": {"width": 12, "checkpoint": path}}], recipes=None)
    del asked["recipes"]
    run = robench.run(asked, store=f"{tmp_path}/store")
    board = run.leaderboard()
    assert set(board.recipe) == {"none"}
    mine = board.drop(columns=["recipe", "seconds"])
    theirs = undisturbed.leaderboard().drop(columns=["recipe", "seconds"])
    pd.testing.assert_frame_equal(mine, theirs)


def test_rows_equal_sees_a_difference(undisturbed: Run) -> None:
    board = undisturbed.leaderboard()
    changed = board.copy()
    changed.loc[3, "robust_accuracy"] += 0.01
    assert rows_equal(board, board)
    assert not rows_equal(board, changed)


def test_the_record_says_where_it_ran(undisturbed: Run) -> None:
    record = Store(undisturbed.store.folder).read_run(undisturbed.id)
    assert record is not None
    (execution,) = record["executions"]
    assert execution["cells_computed"] == 12
    assert execution["device"].startswith("cpu")
    assert {"python", "robench", "torch"} <= set(execution["versions"])
    fgsm = {"fgsm": {"norm": "linf", "target": None}, "label": "fgsm"}
    assert record["matrix"]["attacks"][1] == fgsm
