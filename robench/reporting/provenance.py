"""Where a run's numbers come from, as lines of a report. Every fact is optional."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from robench.reporting import text
from robench.reporting.table import RunTable

_SPLITS: Final = ("train", "validation", "test")


def provenance(table: RunTable) -> tuple[tuple[str, str], ...]:
    """Pairs of a name and what is known; what is not known is left out."""
    facts = table.facts
    matrix = _mapping(facts.get("matrix")).get("name") or table.name
    pairs = [("run", table.run_id), ("matrix", str(matrix))]
    for label, known in _mapping(facts.get("datasets")).items():
        pairs.append((f"data set {label}", _dataset(_mapping(known))))
    pairs += [(f"{attack} ran", " or ".join(ran))
              for attack, ran in _mapping(facts.get("members")).items()]
    verdicts = _mapping(facts.get("verdicts"))
    if verdicts:
        pairs.append(("asked again in float32", f"{verdicts['confirmed']} verdicts, of which "
                      f"{verdicts['differed']} were others in low precision"))
    versions = _mapping(facts.get("versions"))
    pairs.append(("versions", ", ".join(f"{name} {value}" for name, value in versions.items())))
    pairs.append(("device", str(facts.get("device") or "")))
    pairs.append(("git commit", str(facts.get("git_commit") or "")))
    wall = facts.get("wall_seconds")
    pairs.append(("wall time", "" if wall is None else text.seconds(float(wall))))
    return tuple((name, value) for name, value in pairs if value)


def _dataset(known: Mapping[str, Any]) -> str:
    counts = [f"{name} {known[name]}" for name in _SPLITS if known.get(name) is not None]
    parts = [", ".join(counts)] if counts else []
    classes = known.get("classes")
    if classes:
        parts.append(f"{len(classes)} classes")
    duplicates = _mapping(known.get("duplicates"))
    if duplicates:
        each = ", ".join(f"{name} {_value(value)}" for name, value in duplicates.items())
        parts.append(f"duplicates: {each}")
    if known.get("fingerprint"):
        parts.append(f"fingerprint {str(known['fingerprint'])[:12]}")
    return "; ".join(parts)


def _value(value: object) -> str:
    return str(len(value)) if isinstance(value, (list, tuple)) else str(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
