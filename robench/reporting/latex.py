"""Leaderboards as a LaTeX table with booktabs rules, to be put into a paper by `\\input`."""

from __future__ import annotations

from typing import Final

from robench.reporting.grid import Cell, grid
from robench.reporting.layout import NOTE, layout
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
        cells = grid(arranged)
        alignment = "".join("r" if column.numeric else "l" for column in cells.columns)
        lines += [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule"]
        lines.append(_row([escape(column.title) for column in cells.columns]))
        for block in cells.blocks:
            lines.append(r"\midrule")
            lines += [_row([_cell(cell) for cell in row]) for row in block]
        lines += [r"\bottomrule", r"\end{tabular}", ""]
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


def escape(text: str) -> str:
    """`text` on one line, with every character that LaTeX would take for markup spelled out."""
    return " ".join(text.split()).translate(_ESCAPES)


def _failed(failures: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [(f"failed cell {label}", error) for label, error in failures]


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    return rf"\textbf{{{text}}}" if cell.bold and text else text


def _row(texts: list[str]) -> str:
    return " & ".join(texts) + r" \\"
