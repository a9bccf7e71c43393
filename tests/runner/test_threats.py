"""What an attack sees of its victim, and on what its images are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import robench
from robench.errors import UserError
from robench.registry import plugins as entry_points
from robench.results import Run
from robench.runner.replay import Shown
from tests.runner import masks
from tests.runner.conftest import tiny


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_points, "find", masks.plugins)


def rows(run: Run, **wanted: Any) -> Any:
    board = run.leaderboard()
    for name, value in wanted.items():
        board = board[board[name] == value]
    return board


@pytest.mark.usefixtures("masked")
def test_masks_hold_against_who_does_not_see_them_and_against_nobody_else(store: Path) -> None:
    run = robench.run({
        "name": "masks", "datasets": ["shades"], "models": ["halves"], "recipes": ["none"],
        "defenses": list(masks.FAKES), "attacks": [{"pgd": {"steps": 40, "random_start": False}}],
        "epsilons": [0.25], "threats": ["grey-box", "white-box"],
    }, store=store)
    for name in masks.FAKES:
        (grey,) = rows(run, defense=name, threat="grey-box", attack="pgd").itertuples()
        (white,) = rows(run, defense=name, threat="white-box", attack="pgd").itertuples()
        assert grey.clean_accuracy == white.clean_accuracy == 1
        assert grey.robust_accuracy >= 0.95, name
        assert white.robust_accuracy <= 0.05, name
        assert "non-adaptive" in grey.flags.split(",")
        assert "non-adaptive" not in str(white.flags)


def test_without_their_stand_ins_the_masks_do_mask() -> None:
    dataset = masks.shades()
    test = dataset.splits["test"]
    images = torch.from_numpy(test.images[:]).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(np.asarray(test.labels))
    for defense in (masks.hard_quantisation, masks.huge_logits):
        network = defense(masks.halves(num_classes=2, in_channels=1, image_size=8))
        current = images.clone()
        for _ in range(10):  # the plain attack: torch's cross-entropy, no stand-in
            leaf = current.requires_grad_(True)
            loss = torch.nn.functional.cross_entropy(network(leaf), labels)
            (slope,) = torch.autograd.grad(loss, leaf, allow_unused=True)
            current = current.detach() + (0 if slope is None else 0.1 * slope.sign())
            current = current.clamp(images - 0.25, images + 0.25).clamp(0, 1)
        assert torch.equal(network(current).argmax(dim=1), labels)


@pytest.fixture(scope="module")
def transferred(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return robench.run(tiny(
        models=[{"small-cnn": {"width": 12}}, {"small-cnn": {"width": 8}, "label": "small"}],
        attacks=["fgsm", {"pgd": {"steps": 4}}, {"square": {"queries": 20}}],
        threats=["white-box", "black-box", {"transfer": {"surrogate": "all"}},
                 {"transfer": {"surrogate": "itself"}}],
    ), store=tmp_path_factory.mktemp("transferred"))


def test_every_victim_is_shown_the_same_images(transferred: Run) -> None:
    """Replayed here once more, by the networks' own hands."""
    cells = transferred.record["cells"]
    shown = list({cell["key"]: cell for cell in cells if cell["threat"] == "transfer"}.values())
    # Of two networks at two rates: all from the other, the pruned ones from themselves; "itself"
    # asks for the latter once more, and they have the same keys.
    assert len(shown) == (2 * 2 + 2) * 3 * 2
    for cell in shown[:6]:
        frame = transferred.outcomes(cell["key"])
        source = next(
            other for other in cells
            if other["threat"] == "white-box" and other["pruning_rate"] == 0
            and other["model"] == cell["surrogate"].split(" · ")[0]
            and other["attack"] == cell["attack"] and other["epsilon"] == cell["epsilon"]
        )
        there = transferred.outcomes(source["key"])
        # run alone and to its end, an attack breaks nothing that the ladder does not
        assert (there["success"] | ~frame["surrogate_success"]).all()
        for other in shown:  # the very same images
            if all(other[name] == cell[name] for name in ("surrogate", "attack", "epsilon")):
                again = transferred.outcomes(other["key"])
                for name in ("linf", "l2", "l0", "surrogate_success"):
                    np.testing.assert_array_equal(frame[name], again[name])
        assert (frame["forwards"] == 1).all()
        assert (frame["backwards"] == 0).all()
        fooled = frame["adversarial_prediction"] != frame["label"]
        assert (frame["success"] == (fooled & frame["clean_correct"])).all()


def test_images_for_others_are_made_with_the_whole_of_each_epsilon(transferred: Run) -> None:
    """Up the ladder, an image that falls at 0.05 would be shown at 0.3 as it fell at 0.05."""
    for cell in transferred.record["cells"]:
        if cell["threat"] == "transfer" and cell["attack"] == "fgsm":
            frame = transferred.outcomes(cell["key"])
            moved = frame["linf"][frame["clean_correct"] & (frame["linf"] > 0)]
            assert moved.to_numpy() == pytest.approx(float(cell["epsilon"]), rel=1e-5)


def test_the_images_of_a_surrogate_are_kept_once(transferred: Run) -> None:
    kept = list((transferred.store.folder / "adversarial").glob("*/*.safetensors"))
    assert len(kept) == 2 * 3 * 2  # two surrogates, three attacks, two epsilons
    shown = Shown.from_bytes(kept[0].read_bytes())
    assert shown.images.dtype == torch.float32
    assert len(shown.images) == len(shown.success) == 70
    assert 0 <= float(shown.images.min()) <= float(shown.images.max()) <= 1


def test_black_box_holds_what_asks_queries_alone_and_is_computed_once(transferred: Run) -> None:
    board = rows(transferred, threat="black-box")
    assert set(board["attack"]) == {"square", "worst-case"}
    keys = [
        [cell["key"] for cell in transferred.record["cells"]
         if cell["attack"] == "square" and cell["threat"] == threat]
        for threat in ("white-box", "black-box")
    ]
    assert keys[0] == keys[1]
    assert (board["forwards"] > 0).all()


def test_a_second_run_computes_nothing(transferred: Run) -> None:
    again = robench.api.plan(transferred.record["matrix"], store=transferred.store.folder)
    assert again.missing == 0


def test_images_that_were_removed_are_made_again(tmp_path: Path) -> None:
    matrix = tiny(attacks=["fgsm"], epsilons=[0.1], pruning={"rates": [0]},
                  defenses=["none", "bit-depth"], threats=["grey-box"])
    first = robench.run(matrix, store=tmp_path)
    (key,) = [cell["key"] for cell in first.record["cells"]]
    expected = first.outcomes(key)
    for path in [*tmp_path.glob("adversarial/*/*"), *tmp_path.glob(f"outcomes/*/{key}*")]:
        path.unlink()
    again = robench.run(matrix, store=tmp_path)
    assert again.outcomes(key).equals(expected)


@pytest.mark.parametrize(("threat", "defenses", "message"), [
    ("grey-box", ["none"], "nothing to run under the threat 'grey-box'.*a defense other than none"),
    ("black-box", ["none"], "nothing to run under the threat 'black-box'.*such as square"),
    ({"transfer": {"surrogate": "itself"}}, ["none"],
     "nothing to run under the threat 'transfer from itself'"),
    ({"transfer": {"surrogate": "smal-cnn"}}, ["none"],
     "the surrogate is none of the models.*small-cnn"),
    ({"transfer": {}}, ["none"], "a transfer names its surrogate"),
    ({"transfer": {"surrogate": "small-cnn", "rate": 1}}, ["none"], "unknown key 'rate'"),
    ({"transfer": {"surrogate": "small-cnn", "pruning_rate": 0.9}}, ["none"], "pruning_rate.*0.9"),
    ({"transfer": {"surrogate": "small-cnn", "recipe": "pgd"}}, ["none"], "no recipe.*'pgd'"),
    ("greybox", ["none"], "unknown threat 'greybox'.*grey-box"),
    (["white-box"], ["none"], "unknown threat"),
])
def test_threats_that_cannot_be(
    threat: Any, defenses: list[str], message: str, store: Path
) -> None:
    with pytest.raises(UserError, match=f"(?s){message}"):
        robench.run(tiny(threats=[threat], defenses=defenses, attacks=["fgsm"],
                         pruning={"rates": [0]}), store=store)
    assert not store.exists()


def test_a_threat_stands_once(store: Path) -> None:
    with pytest.raises(UserError, match="stands twice"):
        robench.run(tiny(threats=["white-box", "white-box"]), store=store)


def test_draws_are_a_whole_number(store: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)draws.*0.*≥ 1"):
        robench.run(tiny(draws=0), store=store)
