"""Axis items: a name, its settings, its label; the same grammar on every axis."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from robench.errors import UserError
from robench.matrix import Item, Matrix
from robench.matrix.document import Document
from robench.matrix.items import axis, known_label
from robench.registry import Registry

PGD = {"steps": 40, "step_size": None, "norm": "linf", "random_start": True, "restarts": 1,
       "loss": "ce", "target": None, "quantile": 0.99}


@pytest.fixture
def items(registry: Registry) -> Callable[..., tuple[Item, ...]]:
    def of(*entries: object, kind: str = "attack") -> tuple[Item, ...]:
        document = Document.of({f"{kind}s": list(entries)}, source="m.yaml")
        return axis(document, f"{kind}s", kind, registry, entries)  # type: ignore[arg-type]

    return of


def labels(found: tuple[Item, ...]) -> list[str]:
    return [item.label for item in found]


@pytest.mark.parametrize(
    ("entry", "settings", "given", "label"),
    [
        ("pgd", PGD, {}, "pgd"),
        ({"pgd": None}, PGD, {}, "pgd"),
        ({"pgd": {}}, PGD, {}, "pgd"),
        ({"pgd": {"steps": 4}}, {**PGD, "steps": 4}, {"steps": 4}, "pgd"),
        ({"pgd": {"steps": 4}, "label": "short"}, {**PGD, "steps": 4}, {"steps": 4}, "short"),
        ({"label": "short", "pgd": None}, PGD, {}, "short"),
    ],
)
def test_the_grammar(items, entry, settings, given, label) -> None:
    (item,) = items(entry)
    assert (item.kind, item.name, item.label) == ("attack", "pgd", label)
    assert item.settings == settings
    assert item.given == given
    assert item.origin == "robench"
    assert item.where == "m.yaml attacks[0]"


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("attack", {"bim": {"steps": 2}, "label": "x"}),
        ("model", {"small-cnn": {"width": 4}, "label": "x"}),
        ("model", {"timm/resnet18": {"pretrained": False, "drop_rate": 0.1}, "label": "x"}),
        ("defense", {"jpeg": {"quality": 50}, "label": "x"}),
        ("dataset", {"digits": {"limit": {"train": 5}}, "label": "x"}),
        ("recipe", {"standard": {"epochs": 1}, "label": "x"}),
    ],
)
def test_the_same_grammar_on_every_axis(items, kind, entry) -> None:
    (item,) = items(entry, kind=kind)
    (name,) = entry.keys() - {"label"}
    assert (item.name, item.label, item.kind) == (name, "x", kind)
    assert entry[name].items() <= item.settings.items()


def test_a_whole_number_for_a_share_is_kept_as_one_value(items) -> None:
    (one,), (other,) = (
        items({"standard": {"learning_rate": rate}}, kind="recipe") for rate in (1, 1.0)
    )
    assert one.settings == other.settings
    assert isinstance(one.settings["learning_rate"], float)
    assert one.meaning() == other.meaning()


def test_a_name_that_stands_twice_is_told_apart_by_what_is_given(items) -> None:
    assert labels(items("pgd", "fgsm")) == ["pgd", "fgsm"]
    assert labels(items("pgd", {"pgd": {"steps": 4}})) == ["pgd", "pgd(steps=4)"]
    assert labels(items({"pgd": {"steps": 4}}, {"pgd": {"steps": 8, "norm": "l2"}}, "bim")) == [
        "pgd(steps=4)", "pgd(steps=8, norm=l2)", "bim",
    ]


def test_a_label_of_its_own_needs_no_telling_apart(items) -> None:
    assert labels(items("pgd", {"pgd": {"steps": 4}, "label": "short"})) == ["pgd", "short"]
    shorter = {"pgd": {"steps": 4}, "label": "a"}, {"pgd": {"steps": 2}, "label": "b"}
    assert labels(items(*shorter)) == ["a", "b"]


@pytest.mark.parametrize(
    "entries",
    [
        ("pgd", "pgd"),
        ("pgd", "fgsm", {"pgd": None}),
        ({"pgd": {"steps": 4}}, {"pgd": {"steps": 4}}),
        ("fgsm", {"pgd": None, "label": "fgsm"}),
        ({"pgd": None, "label": "x"}, {"bim": None, "label": "x"}),
        ({"pgd": {}, "label": "a"}, {"pgd": {}, "label": "b"}),
        ("pgd", {"pgd": {"steps": 40}}),
    ],
)
def test_a_label_that_stands_twice(items, entries) -> None:
    with pytest.raises(UserError, match="stands twice on the axis") as error:
        items(*entries)
    assert error.value.where == f"m.yaml attacks[{len(entries) - 1}]"
    assert "first at m.yaml attacks[0]" in str(error.value)


def test_the_weights_of_a_model(items) -> None:
    found = items(
        {"small-cnn": {"checkpoint": "a.pt"}}, {"small-cnn": {"width": 4, "checkpoint": "b.pt"}},
        kind="model",
    )
    assert [item.checkpoint for item in found] == ["a.pt", "b.pt"]
    assert [item.settings for item in found] == [{"width": 32}, {"width": 4}]
    assert labels(found) == ["small-cnn(checkpoint=a.pt)", "small-cnn(width=4, checkpoint=b.pt)"]


def test_the_meaning_has_neither_label_nor_path(items) -> None:
    meanings = [
        items(entry, kind="model")[0].meaning()
        for entry in ("small-cnn", {"small-cnn": {"width": 32}, "label": "x"},
                      {"small-cnn": {"checkpoint": "a.pt"}})
    ]
    assert meanings[0] == meanings[1] == meanings[2] == {
        "name": "small-cnn", "origin": "robench", "version": 1, "settings": {"width": 32},
    }


def test_labels_and_names_are_known(items) -> None:
    found = items("pgd", {"fgsm": None, "label": "quick"})
    for known in ("pgd", "quick", "fgsm"):
        assert known_label(known, found, "attack", "here") == known
    with pytest.raises(UserError, match="no attack of this matrix is called 'quic'") as error:
        known_label("quic", found, "attack", "here")
    assert error.value.nearest == "quick"


def test_items_in_a_file_know_their_line(read: Callable[[str], Matrix]) -> None:
    matrix = read("""\
        name: m
        datasets: [digits]
        models:
          - small-cnn
          - small-cnn: {width: 8}
        attacks: [fgsm]
    """)
    assert [item.where for item in matrix.models] == ["m.yaml:4 models[0]", "m.yaml:5 models[1]"]
