"""Every layout in every format, read back by parsers of these languages."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from robench.errors import UserError
from robench.reporting import FORMATS, LAYOUTS, RunTable, render
from robench.reporting.layouts import sheet
from robench.reporting.sheet import Sheet
from tests.reporting.layout_runs import cell, run_table, texts, transferred

SHEETS = tuple(name for name in LAYOUTS if name != "leaderboard")
NASTY = r"a_b*|<b>&$5 50%#1{b}~^"


def table(model: str = "a") -> RunTable:
    return run_table(
        cell(model, "fgsm", 8 / 255, 20, flags=["stochastic"]),
        cell(model, "pgd", 8 / 255, 30),
        cell(model, "pgd", 8 / 255, 60, pruning_rate=0.3),
        cell("b", "pgd", 8 / 255, 90), cell("b", "pgd", 8 / 255, 61, pruning_rate=0.3),
        cell("c", "pgd", 8 / 255, 0, right=120, flags=["constant"]),
        cell("d", "pgd", 8 / 255, 150), cell("d", "pgd", 8 / 255, 150, pruning_rate=0.3),
        transferred(model, "s_1", 90, 20), transferred("b", "s_1", 90, 85),
        facts={"datasets": {"digits": {"classes": [f"{model} ill", "well"]}}},
    )


def panels(page: Sheet) -> list[list[list[str]]]:
    return [texts(panel.grid) for panel in page.panels]


def markdown_tables(text: str) -> list[list[list[str]]]:
    tables: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline" and token.level == 4 and tables:
            bold = any(child.type == "strong_open" for child in token.children or [])
            content = "".join(child.content for child in token.children or [])
            tables[-1][-1].append(f"*{content}*" if bold else content)
    return tables


class Page(HTMLParser):
    """The tables of a page, the row of shared titles put in front of the others."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tags: list[str] = []
        self.bold = False
        self.inside = False
        self.span = 1
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append(tag)
        self.inside = tag in ("td", "th")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif self.inside:
            self.bold = "best" in (known.get("class") or "")
            self.span = int(known.get("colspan") or 1)
            self.tables[-1][-1] += [""] * self.span

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            said = f"*{data}*" if self.bold else data
            row = self.tables[-1][-1]
            for place in range(len(row) - self.span, len(row)):
                row[place] += said

    def joined(self) -> list[list[list[str]]]:
        """With the two rows of titles as one."""
        found = []
        for above, titles, *rows in self.tables:
            pairs = zip(above, titles, strict=True)
            found.append([[f"{one} {other}".strip() for one, other in pairs], *rows])
        return found


@pytest.mark.parametrize("layout", SHEETS)
@pytest.mark.parametrize("model", ["a", NASTY])
def test_markdown_and_html_are_read_as_they_were_meant(layout: str, model: str) -> None:
    held = table(model)
    expected = panels(sheet(held, layout))
    assert any("*" in one.replace(NASTY, "") for grid in expected for row in grid for one in row)
    assert markdown_tables(render(held, "markdown", layout=layout)) == expected
    page = Page(render(held, "html", layout=layout))
    assert page.joined() == expected
    assert "b" not in page.tags


@pytest.mark.parametrize("layout", SHEETS)
@pytest.mark.parametrize("model", ["a", NASTY])
def test_latex_has_as_many_cells_as_columns(layout: str, model: str) -> None:
    held = table(model)
    text = render(held, "latex", layout=layout)
    found = re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    expected = panels(sheet(held, layout))
    assert len(found) == len(expected)
    heads = [panel.grid.columns for panel in sheet(held, layout).panels]
    for (alignment, body), grid, columns in zip(found, expected, heads, strict=True):
        rows = [line for line in body.splitlines() if line.endswith(r" \\")]
        above, *others = rows
        assert len(others) == len(grid)
        spans = [int(width) for width in re.findall(r"\\multicolumn\{(\d+)\}", above)]
        cells = len(re.findall(r"(?<!\\)&", above)) + 1
        assert cells - len(spans) + sum(spans) == len(alignment)
        for row in others:
            assert len(re.findall(r"(?<!\\)&", row)) == len(alignment) - 1
        ends = [int(end) for end in re.findall(r"\\cmidrule\(lr\)\{\d+-(\d+)\}", body)]
        shared = [place for place, column in enumerate(columns, start=1) if column.above]
        assert max(ends) == shared[-1]
        bold = sum(one.startswith("*") for row in grid for one in row)
        assert body.count(r"\textbf{") == bold
    environments = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    assert environments == [("begin", "table"), ("begin", "tabular"), ("end", "tabular"),
                            ("end", "table")] * len(expected)
    assert not re.search("[†‡ε∞·–≠−≤ξ→]", text)
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")


@pytest.mark.parametrize("layout", SHEETS)
def test_csv_and_json_hold_the_same_long_rows(layout: str) -> None:
    held = table()
    page = sheet(held, layout)
    lines = list(csv.reader(io.StringIO(render(held, "csv", layout=layout))))
    assert tuple(lines[0]) == page.columns
    assert len(lines) == 1 + len(page.rows)
    read = json.loads(render(held, "json", layout=layout))
    assert (read["layout"], read["run"], tuple(read["columns"])) == (layout, "run-1", page.columns)
    rates = {"robust_accuracy", "fooled_rate"} & set(page.columns)
    for line, row, known in zip(lines[1:], read["rows"], page.rows, strict=True):
        by_name = dict(zip(page.columns, line, strict=True))
        assert all(float(by_name[name]) == row[name] == known[name] for name in rates)
        assert by_name["model"] == row["model"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("format", FORMATS)
def test_every_layout_in_every_format(layout: str, format: str) -> None:
    held = table()
    text = render(held, format, layout=layout)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert text == render(replace(held), format, layout=layout)


def test_flags_and_provenance_stand_below() -> None:
    text = render(table(), "markdown", layout="epsilon")
    assert "- constant: the victim predicts one class" in text
    assert "- stochastic: " in text
    assert "- run: run-1" in text
    assert "- zero-gradient: " not in text


@pytest.mark.parametrize(("name", "close"), [("epsilom", "epsilon"), ("prunning", "pruning")])
def test_an_unknown_layout(name: str, close: str) -> None:
    with pytest.raises(UserError, match=f"unknown report layout '{name}'") as caught:
        render(table(), "markdown", layout=name)
    assert caught.value.nearest == close


@pytest.mark.parametrize("layout", SHEETS)
def test_a_run_without_a_result(layout: str) -> None:
    with pytest.raises(UserError, match="no cell of the run has a result") as caught:
        render(RunTable([], "bare", "run-1"), "markdown", layout=layout)
    assert "leaderboard names the failed cells" in str(caught.value)


def test_an_unknown_format_is_told_before_the_layout_is_made() -> None:
    with pytest.raises(UserError, match="unknown report format 'md'"):
        render(run_table(cell("a", "pgd", 0.1, 2)), "md", layout="transfer")
