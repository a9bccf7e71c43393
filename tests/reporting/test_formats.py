"""Markdown, HTML and LaTeX, read back by parsers of these languages."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from robench.reporting import FORMATS, Failure, RunTable, render
from robench.reporting.flags import FLAGS
from robench.reporting.grid import grid
from robench.reporting.latex import escape as latex_escape
from robench.reporting.layout import layout
from robench.reporting.markdown import escape as markdown_escape

NASTY = r"a_b_c *x* `y` |z| <script> & $5 50% #1 {b} ~t~ ^ \n [l](u) _w_ &lt; "
PEOPLE = ("markdown", "html", "latex")


class Page(HTMLParser):
    """The cells of a page's table, its bold cells, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.bold = False
        self.rows: list[list[str]] = []
        self.bold_cells: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "meta":
            return
        self.open.append(tag)
        self.bold = "worst-case" in (dict(attrs).get("class") or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
            if self.bold:
                self.bold_cells.append(data)


def markdown_cells(text: str) -> list[list[str]]:
    """The table of a markdown text as a CommonMark parser reads it; bold cells keep their stars."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and token.level == 4 and rows:
            bold = any(child.type == "strong_open" for child in token.children or [])
            content = "".join(child.content for child in token.children or [])
            rows[-1].append(f"**{content}**" if bold else content)
    return rows


def expected_cells(table: RunTable, *, stars: str) -> list[list[str]]:
    cells = grid(layout(table))
    rows = [row for block in cells.blocks for row in block]
    return [
        [column.title for column in cells.columns],
        *([f"{stars}{cell.text}{stars}" if cell.bold else cell.text for cell in r] for r in rows),
    ]


@pytest.fixture
def nasty(run_table: RunTable) -> RunTable:
    rows = [
        {**row, "model": NASTY.strip() + row["model"], "flags": "*odd|flag*"}
        for row in run_table.rows
    ]
    failure = Failure("k_1", NASTY, NASTY)
    return replace(run_table, rows=rows, name=NASTY.strip(), failures=(failure,))


def test_formats() -> None:
    assert FORMATS == ("markdown", "csv", "json", "html", "latex")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_every_run(run_table: RunTable, nasty: RunTable, name: str) -> None:
    bare = RunTable([], "bare", "run")
    for table in (run_table, nasty, bare):
        text = render(table, name)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert text == render(table, name)


@pytest.mark.parametrize("name", PEOPLE)
def test_reports_for_people_say_it_all(run_table: RunTable, name: str) -> None:
    text = render(run_table, name)
    for expected in ("95.0 (38/40)", "13.2", "5/38", "8/255", "29.9", "worst-case"):
        assert expected in text
    for expected in ("20250102-abcdef", "train 1000, validation 200, test 40", "torch 2.11"):
        assert expected in text
    assert FLAGS["zero-gradient"] in text
    assert FLAGS["constant"] not in text
    assert "RuntimeError" in text


def test_markdown_is_read_as_it_was_meant(run_table: RunTable, nasty: RunTable) -> None:
    for table in (run_table, nasty):
        assert markdown_cells(render(table, "markdown")) == expected_cells(table, stars="**")


def test_markdown_lines_up_unrendered(run_table: RunTable) -> None:
    lines = [line for line in render(run_table, "markdown").splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(run_table.rows)
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("text", [NASTY, "convnext_tiny", "[1.0, 2.0] (3/4)", "~~a~~", "[a]: b"])
def test_markdown_escape(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable("strikethrough").parse(f"x {markdown_escape(text)}")
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children) == f"x {' '.join(text.split())}"


def test_markdown_leaves_plain_names_alone() -> None:
    for plain in ("timm/convnext_tiny", "12.0 [9.4, 15.2] (3/4)", "50 % · L∞", "AT&T"):
        assert markdown_escape(plain).replace(r"\&", "&") == plain


def test_html_is_read_as_it_was_meant(run_table: RunTable, nasty: RunTable) -> None:
    for table in (run_table, nasty):
        page = Page(render(table, "html"))
        assert page.open == []
        assert page.rows == expected_cells(table, stars="")
        assert "script" not in page.tags
        bold = [c.text for b in grid(layout(table)).blocks for row in b for c in row if c.bold]
        assert page.bold_cells == bold


def test_html_needs_nothing_from_outside(run_table: RunTable) -> None:
    assert not re.search(r"https?://|src=|href=|@import", render(run_table, "html"))


def test_latex_escapes_every_special_character() -> None:
    escaped = latex_escape(NASTY)
    commands = r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}"
    rest = re.sub(commands, "", escaped)
    rest = re.sub(r"\\[{}$&%#_]", "", rest).replace("{[}", "").replace("{*}", "")
    assert not re.search(r"[\\{}$&%#_~^|<>*\[]", rest)
    assert latex_escape("ε = ∞") == r"$\varepsilon$ = $\infty$"
    assert latex_escape("\\n") == r"\textbackslash{}n"


def test_latex_rows_have_as_many_cells_as_columns(run_table: RunTable, nasty: RunTable) -> None:
    for table in (run_table, nasty):
        text = render(table, "latex")
        found = re.search(r"\\begin\{tabular\}\{([lr]+)\}\n(.*)\\end\{tabular\}", text, re.DOTALL)
        assert found
        rows = [line for line in found[2].splitlines() if line.endswith(r" \\")]
        assert len(rows) == 1 + len(table.rows)
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == len(found[1]) - 1
        assert found[2].count(r"\midrule") == 2
        plain = re.sub(r"\\[{}]", "", text)
        assert plain.count("{") == plain.count("}")
        environments = re.findall(r"\\(begin|end)\{(\w+)\}", text)
        assert environments == [
            ("begin", "table"),
            ("begin", "tabular"),
            ("end", "tabular"),
            ("end", "table"),
        ]


def test_latex_bold_stands_in_worst_case_rows_only(run_table: RunTable) -> None:
    for line in render(run_table, "latex").splitlines():
        assert (r"\textbf" in line) == (r"\textbf{worst-case}" in line)


def test_importing_is_cheap_and_plain_formats_need_no_heavy_library() -> None:
    heavy = "{'torch', 'pandas', 'scipy', 'statsmodels', 'sklearn', 'matplotlib', 'jinja2', 'rich'}"
    code = f"""
import sys
import robench.reporting
import robench.results
for name in ("markdown", "csv", "json", "latex"):
    robench.reporting.render(robench.reporting.RunTable([], "n", "r"), name)
print(sorted({heavy} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
