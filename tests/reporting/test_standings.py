"""The section that says who can be told apart, read back from markdown and HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from robench.reporting import RunTable, render
from robench.reporting.standings import TITLE, standings
from robench.scoring.comparison import Collector
from robench.scoring.rows import CellRecord, leaderboard_rows

N = 200
LABELS: dict[str, Any] = {
    "key": "ab" * 32, "dataset": "digits", "recipe": "standard", "defense": "none",
    "pruning_rate": 0.0, "threat": "white-box", "surrogate": None, "norm": "linf", "seed": 0,
}


def run_table(
    *cells: tuple[str, str, float, int, dict[str, Any]], flags: tuple[str, ...] = ()
) -> RunTable:
    """A run of (model, attack, epsilon, images broken, further labels)."""
    made = []
    for model, attack, epsilon, broken, labels in cells:
        record = CellRecord(
            **{**LABELS, "model": model, "attack": attack, "epsilon": epsilon, **labels}
        )
        columns = {
            "image_id": [f"image-{place:03}" for place in range(N)],
            "label": np.zeros(N), "clean_prediction": np.zeros(N),
            "clean_correct": np.ones(N, dtype=bool), "success": np.arange(N) < broken,
            "linf": np.full(N, epsilon), "l2": np.full(N, epsilon),
            "forwards": np.ones(N), "backwards": np.ones(N),
        }
        made.append((record, columns, {"seconds": 1.0, "sparsity": 0.0, "flags": list(flags)}))
    collector = Collector()
    rows = leaderboard_rows(collector.through(made))
    return RunTable(rows, "name", "run", comparisons=collector.worst_case(),
                    epsilon_text={8 / 255: "8/255"})


@pytest.fixture(scope="module")
def table() -> RunTable:
    return run_table(
        ("a_b", "fgsm", 0.01, 20, {}), ("a_b", "pgd", 0.01, 30, {}),
        ("vgg", "fgsm", 0.01, 34, {}), ("vgg", "pgd", 0.01, 10, {}),
        ("vgg", "fgsm", 0.01, 90, {"pruning_rate": 0.7}),
        ("vgg", "pgd", 0.01, 90, {"pruning_rate": 0.7}),
        ("a_b", "fgsm", 8 / 255, 200, {}), ("a_b", "pgd", 8 / 255, 199, {}),
        ("vgg", "fgsm", 8 / 255, 200, {}), ("vgg", "pgd", 8 / 255, 200, {}),
    )


EXPECTED = [
    ["ε", "tier", "ranks", "model", "pruned %", "clean %", "robust %"],
    ["0.01", "1", "1–2", "a_b", "0", "100.0", "85.0"],
    ["", "1", "1–2", "vgg", "0", "100.0", "83.0"],
    ["", "2", "3", "vgg", "70", "100.0", "55.0"],
    ["8/255", "1", "1–2", "a_b", "0", "100.0", "0.0"],
    ["", "1", "1–2", "vgg", "0", "100.0", "0.0"],
]


class Tables(HTMLParser):
    """The cells of each table of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        self.inside = tag in ("td", "th")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.tables[-1][-1][-1] += data


def test_markdown(table: RunTable) -> None:
    text = render(table, "markdown")
    section = text.split(f"## {TITLE}\n")[1].split("\n## ")[0]
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(section):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and token.level == 4:
            rows[-1].append("".join(child.content for child in token.children or []))
    assert rows == EXPECTED
    assert "Holm" in section
    assert text.index("Worst-case: an image") < text.index(TITLE) < text.index("## Provenance")


def test_html(table: RunTable) -> None:
    text = render(table, "html")
    tables = Tables(text).tables
    assert len(tables) == 2
    assert tables[1] == EXPECTED
    assert f"<h2>{TITLE}</h2>" in text
    assert len(re.findall("<tbody>", text.split(TITLE)[1])) == 2
    assert text.startswith("<!DOCTYPE html>\n")


@pytest.mark.parametrize("name", ["markdown", "html", "latex", "csv", "json"])
def test_one_victim_has_nobody_to_be_told_apart_from(name: str) -> None:
    table = run_table(("vgg", "fgsm", 0.01, 3, {}), ("vgg", "fgsm", 0.02, 4, {}))
    assert standings(table) is None
    assert TITLE not in render(table, name)


def test_flags_stand_beside_the_rank() -> None:
    found = standings(
        run_table(("a", "fgsm", 0.1, 3, {}), ("b", "fgsm", 0.1, 3, {}), flags=("constant",))
    )
    assert found is not None
    assert found.table.columns[-1].title == "flags"
    assert [row[-1].text for block in found.table.blocks for row in block] == ["constant"] * 2


def test_what_differs_gets_a_column_and_what_is_left_out_is_counted() -> None:
    table = run_table(
        ("a", "fgsm", 0.01, 3, {}), ("b", "fgsm", 0.01, 3, {"defense": "jpeg"}),
        ("a", "fgsm", 0.5, 3, {"norm": "l2"}), ("b", "fgsm", 0.5, 3, {"norm": "l2"}),
        ("c", "fgsm", 0.01, 3, {}), ("c", "pgd", 0.01, 3, {}),
    )
    found = standings(table)
    assert found is not None
    titles = [column.title for column in found.table.columns]
    assert titles == ["norm", "ε", "tier", "ranks", "model", "defense", "clean %", "robust %"]
    assert found.note.endswith(
        " 1 of 5 worst-case rows are not compared: no other victim met the same attacks there."
    )
    everyone = standings(run_table(("a", "fgsm", 0.1, 3, {}), ("b", "fgsm", 0.1, 3, {})))
    assert everyone is not None
    assert "not compared" not in everyone.note
