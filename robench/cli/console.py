"""Where commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.text import Text

_PLAIN_WIDTH = 100


def out() -> Console:
    """The console for results; 100 columns wide where the output is no terminal."""
    return _console(stderr=False)


def err() -> Console:
    """The console for progress, warnings and errors."""
    return _console(stderr=True)


def warn(text: str) -> None:
    """Print a warning."""
    err().print(Text.assemble(("warning: ", "yellow"), text))


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PLAIN_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)
