"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Store = Annotated[
    Path | None,
    typer.Option("--store", help="Where artifacts are kept. Default: ROBENCH_STORE, or .robench.",
                 show_default=False),
]
