"""Leaderboards for people and programs: markdown, CSV, JSON, HTML, LaTeX and the terminal."""

from robench.reporting.formats import FORMATS, render
from robench.reporting.table import Failure, RunTable

__all__ = ["FORMATS", "Failure", "RunTable", "render"]
