"""YAML with its lines: values, places, and what is no YAML."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from robench.errors import UserError
from robench.matrix.document import Document

TEXT = dedent("""\
    # a comment
    name: mine

    models: [a,
             b]
    attacks:
      - fgsm
      - pgd:
          steps: 4
        label: long
    exclude:
      - {model: a,
         attack: fgsm}
""")


def document(text: str = TEXT) -> Document:
    return Document.parse(text, source="m.yaml")


def refusal(text: str) -> str:
    with pytest.raises(UserError) as error:
        document(text)
    told = str(error.value)
    assert len(told.splitlines()) <= 2
    return told


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), "m.yaml:2"),
        (("name",), "m.yaml:2 name"),
        (("models",), "m.yaml:4 models"),
        (("models", 0), "m.yaml:4 models[0]"),
        (("models", 1), "m.yaml:5 models[1]"),
        (("attacks",), "m.yaml:6 attacks"),
        (("attacks", 0), "m.yaml:7 attacks[0]"),
        (("attacks", 1), "m.yaml:8 attacks[1]"),
        (("attacks", 1, "pgd", "steps"), "m.yaml:9 attacks[1].pgd.steps"),
        (("attacks", 1, "label"), "m.yaml:10 attacks[1].label"),
        (("exclude", 0, "attack"), "m.yaml:13 exclude[0].attack"),
    ],
)
def test_places(path: tuple[str | int, ...], place: str) -> None:
    assert document().place(*path) == place


def test_a_place_that_is_not_there_is_that_of_the_nearest_above() -> None:
    assert document().place("attacks", 1, "pgd", "norm") == "m.yaml:8 attacks[1].pgd.norm"
    assert document().place("epsilons", 0) == "m.yaml:2 epsilons[0]"


def test_a_document_made_in_python_has_no_lines() -> None:
    made = Document.of({"models": ["a"]})
    assert made.data == {"models": ["a"]}
    assert made.place("models", 0) == "matrix models[0]"


def test_the_data_is_what_yaml_reads() -> None:
    assert document().data == yaml.safe_load(TEXT)


@given(st.dictionaries(
    st.text("abcxyz", min_size=1, max_size=4),
    st.lists(st.integers() | st.booleans() | st.text("ab 0:#-[]{},\n'\"", max_size=6)),
    max_size=4,
))
def test_data_and_lines_of_any_document(data: dict[str, list[object]]) -> None:
    text = yaml.safe_dump(data, sort_keys=False)
    read = document(text)
    assert read.data == data
    lines = text.splitlines()
    for key in data:
        line = int(read.place(key).split(":")[1].split()[0])
        assert yaml.safe_load(lines[line - 1].partition(":")[0]) == yaml.safe_load(
            yaml.safe_dump(key).partition("\n")[0]
        )


@pytest.mark.parametrize(
    ("text", "number"), [("1e-3", 1e-3), ("5E2", 500.0), ("-2.e+1", -20.0), ("1.5e-2", 0.015)]
)
def test_numbers_with_exponents(text: str, number: float) -> None:
    value = document(f"a: {text}").data["a"]
    assert value == number
    assert isinstance(value, float)


@pytest.mark.parametrize("text", ["'1e-3'", "e3", "1e", "8/255", "1e3x"])
def test_words_that_look_like_numbers(text: str) -> None:
    assert isinstance(document(f"a: {text}").data["a"], str)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null"])
def test_nothing_in_the_file(text: str) -> None:
    assert document(text).data is None
    assert document(text).place().startswith("m.yaml")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: a\nmodels: [a, b\nattacks: x\n", 3),
        ("name: a\n\tmodels: [a]\n", 2),
        ("name: 'a\nmodels: [a]\n", 3),
        ("a: 1\nb: *gone\n", 2),
        ("a: 1\nb: 2\n[x]: 3\n", 3),
        ("a: !!python/object/apply:os.getcwd []\n", 1),
        ("a: 1\nb: \x01\n", 2),
        ("a: 1\n--- \nb: 2\n", 2),
    ],
)
def test_no_yaml(text: str, line: int) -> None:
    told = refusal(text)
    assert told.startswith(f"m.yaml:{line}: not YAML: ")


def test_a_date_that_is_none() -> None:
    assert "not YAML: month must be in" in refusal("a: 2001-13-01")


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", 3),
        ("x:\n  - {b: 1,\n     b: 2}\n", "b", 3),
        ("1: 1\n'1': 2\n", "1", 2),
    ],
)
def test_a_key_that_stands_twice(text: str, key: str, line: int) -> None:
    assert refusal(text) == f"m.yaml:{line}: the key '{key}' stands twice"


def test_aliases_and_merged_keys() -> None:
    read = document("base: &b {steps: 4}\nuse: *b\nmore:\n  <<: *b\n  norm: l2\n")
    assert read.data["use"] == {"steps": 4}
    assert read.data["more"] == {"steps": 4, "norm": "l2"}
    assert read.place("more", "norm") == "m.yaml:5 more.norm"


def test_nesting_without_an_end() -> None:
    inside_itself = document("a: &a [*a]\n").data
    assert inside_itself["a"][0] is inside_itself["a"]
    assert "nested too deeply" in refusal("a: " + "[" * 1200)
    laughs = "\n".join(["l0: &l0 [x, x, x, x, x, x, x, x, x]", *(
        f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)
    )])
    assert list(document(laughs).data) == [f"l{n}" for n in range(12)]


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("name: ε\n", encoding="utf-8")
    assert Document.read(file).data == {"name": "ε"}
    assert Document.read(file).place("name") == f"{file}:1 name"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.yaml: cannot read the matrix: No such file"):
        Document.read(tmp_path / "gone.yaml")
    with pytest.raises(UserError, match="cannot read the matrix: Is a directory"):
        Document.read(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.yaml: not a text file in UTF-8"):
        Document.read(tmp_path / "latin.yaml")
