"""Leaderboards as a LaTeX table with booktabs rules, to be put into a paper by `\\input`."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from robench.reporting.grid import Cell, Column, Grid, grid
from robench.reporting.layout import NOTE, layout
from robench.reporting.sheet import Sheet
from robench.reporting.table import RunTable

_ESCAPES: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "%": r"\%",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        "∞": r"$\infty$",
        "ε": r"$\varepsilon$",
        "·": r"\textperiodcentered{}",
        "–": "--",
        "…": r"\ldots{}",
        "†": r"\dag{}",
        "‡": r"\ddag{}",
        "≠": r"$\neq$",
        "≤": r"$\leq$",
        "ξ": r"$\xi$",
        "→": r"$\rightarrow$",
        "−": r"$-$",
        # After the end of a row, LaTeX reads both as arguments of that end.
        "[": "{[}",
        "*": "{*}",
    }
)


def to_latex(table: RunTable) -> str:
    """A `table` environment; the meaning of flags, failed cells and provenance stand below it.

    Needs the package booktabs. Worst-case rows are bold.
    """
    arranged = layout(table)
    lines = [r"% Needs \usepackage{booktabs}", r"\begin{table}", r"\centering", r"\small"]
    lines.append(rf"\caption{{{escape(arranged.title)}: {escape(arranged.caption)}}}")
    if arranged.blocks:
        lines += [*_tabular(grid(arranged)), ""]
    lines += [r"\smallskip", r"\raggedright\footnotesize"]
    if arranged.blocks:
        lines.append(rf"{escape(NOTE)}\par")
    lines += [
        rf"{escape(name)}: {escape(text)}\par"
        for name, text in (
            *arranged.legend, *arranged.findings, *_failed(arranged.failures), *arranged.provenance
        )
    ]
    lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"


def sheet_to_latex(sheet: Sheet) -> str:
    """A `table` environment for each table; notes and sections stand below the last.

    Needs the package booktabs.
    """
    lines = [r"% Needs \usepackage{booktabs}"]
    for panel in sheet.panels:
        lines += [r"\begin{table}", r"\centering", r"\scriptsize", r"\setlength{\tabcolsep}{3pt}",
                  rf"\caption{{{escape(sheet.title)}: {escape(panel.caption)}}}",
                  *_tabular(panel.grid), r"\end{table}", ""]
    lines += [r"\begingroup", r"\raggedright\footnotesize"]
    lines += [rf"{escape(line)}\par" for line in (*sheet.lead, *sheet.notes)]
    lines += [rf"{escape(name)}: {escape(text)}\par"
              for _, pairs in sheet.sections for name, text in pairs]
    lines.append(r"\endgroup")
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """`text` on one line, with every character that LaTeX would take for markup spelled out."""
    return " ".join(text.split()).translate(_ESCAPES)


def _failed(failures: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [(f"failed cell {label}", error) for label, error in failures]


def _tabular(cells: Grid) -> list[str]:
    alignment = "".join("r" if column.numeric else "l" for column in cells.columns)
    lines = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", *_above(cells.columns)]
    lines.append(_row([escape(column.title) for column in cells.columns]))
    for block in cells.blocks:
        lines.append(r"\midrule")
        lines += [_row([_cell(cell) for cell in row]) for row in block]
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _above(columns: tuple[Column, ...]) -> list[str]:
    """The titles that neighbours share, each with a rule as wide as they are."""
    if not any(column.above for column in columns):
        return []
    texts, rules, place = [], [], 1
    for title, members in groupby(columns, key=lambda column: column.above):
        width = len(list(members))
        if title:
            texts.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(title)}}}")
            rules.append(rf"\cmidrule(lr){{{place}-{place + width - 1}}}")
        else:
            texts += [""] * width
        place += width
    return [_row(texts), " ".join(rules)]


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    return rf"\textbf{{{text}}}" if cell.bold and text else text


def _row(texts: list[str]) -> str:
    return " & ".join(texts) + r" \\"
