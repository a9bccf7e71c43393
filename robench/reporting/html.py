"""Leaderboards as one HTML page that needs nothing else: no script, font or style from outside."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

import jinja2

from robench.reporting.grid import Column, grid
from robench.reporting.layout import NOTE, layout
from robench.reporting.sheet import Sheet
from robench.reporting.standings import TITLE, standings
from robench.reporting.table import RunTable

_MACRO: Final = """\
{%- macro grid(table, caption, bold="worst-case") %}
<div class="scroll">
<table>
<caption>{{ caption }}</caption>
<thead>
{%- if table.columns | map(attribute="above") | select | list %}
<tr>
{%- for title, width in above(table.columns) %}
<th{% if title %} scope="colgroup" class="above"{% endif %} colspan="{{ width }}">{{ title }}</th>
{%- endfor %}
</tr>
{%- endif %}
<tr>
{%- for column in table.columns %}
<th scope="col"{% if column.numeric %} class="number"{% endif %}>{{ column.title }}</th>
{%- endfor %}
</tr>
</thead>
{%- for block in table.blocks %}
<tbody>
{%- for row in block %}
<tr>
{%- for cell in row %}
{%- set classes = [] %}
{%- if table.columns[loop.index0].numeric %}{% set _ = classes.append("number") %}{% endif %}
{%- if cell.bold %}{% set _ = classes.append(bold) %}{% endif %}
<td{% if classes %} class="{{ classes | join(" ") }}"{% endif %}>{{ cell.text }}</td>
{%- endfor %}
</tr>
{%- endfor %}
</tbody>
{%- endfor %}
</table>
</div>
{%- endmacro -%}
"""
_HEAD: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap }
caption { text-align: left; padding-bottom: .5rem }
th, td { padding: .2rem .7rem; text-align: left }
td:last-child:not(.number) { white-space: normal }
.number { text-align: right }
thead { border-bottom: 2px solid }
tbody { border-bottom: 1px solid #8888 }
.worst-case, .best { font-weight: 700 }
.above { text-align: center }
.note { opacity: .75; max-width: 60rem }
</style>
</head>
<body>
<h1>{{ title }}</h1>
"""
_BOARD: Final = """\
{%- if page.blocks %}
{{- grid(table, page.caption) }}
<p class="note">{{ note }}</p>
{%- else %}
<p>{{ page.caption }}</p>
{%- endif %}
{%- if apart %}
<h2>{{ apart_title }}</h2>
{{- grid(apart.table, "worst-case") }}
<p class="note">{{ apart.note }}</p>
{%- endif %}
"""
_PANELS: Final = """\
{%- for line in page.lead %}
<p>{{ line }}</p>
{%- endfor %}
{%- for panel in page.panels %}
{{- grid(panel.grid, panel.caption, "best") }}
{%- endfor %}
{%- for line in page.notes %}
<p class="note">{{ line }}</p>
{%- endfor %}
"""
_SECTIONS: Final = """\
{%- for title, pairs in sections if pairs %}
<h2>{{ title }}</h2>
<ul>
{%- for name, text in pairs %}
<li><strong>{{ name }}</strong>: {{ text }}</li>
{%- endfor %}
</ul>
{%- endfor %}
</body>
</html>
"""


def to_html(table: RunTable) -> str:
    """A whole page: caption, table, the meaning of flags, findings, failed cells and provenance."""
    arranged = layout(table)
    return _page(
        _BOARD,
        title=arranged.title,
        page=arranged,
        table=grid(arranged),
        note=NOTE,
        apart=standings(table),
        apart_title=TITLE,
        sections=[
            ("Flags", arranged.legend),
            ("Findings", arranged.findings),
            ("Failed cells", arranged.failures),
            ("Provenance", arranged.provenance),
        ],
    )


def sheet_to_html(sheet: Sheet) -> str:
    """A whole page: what must be known first, tables, notes and sections."""
    return _page(_PANELS, title=sheet.title, page=sheet, sections=sheet.sections)


def _page(body: str, **values: Any) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    source = _MACRO + _HEAD + body.removesuffix("\n") + "\n" + _SECTIONS
    return environment.from_string(source).render(above=_above, **values)


def _above(columns: tuple[Column, ...]) -> list[tuple[str, int]]:
    """The titles that neighbours share, each with how many columns it is over."""
    return [(title, len(list(members)))
            for title, members in groupby(columns, key=lambda column: column.above)]
