"""Leaderboards for people and programs: markdown, CSV, JSON, HTML, LaTeX and the terminal."""

from robench.reporting.formats import FORMATS, render, render_sheet
from robench.reporting.layouts import LAYOUTS
from robench.reporting.table import Failure, RunTable

__all__ = ["FORMATS", "LAYOUTS", "Failure", "RunTable", "render", "render_sheet"]
