"""What is said of an attack: settings that its rows do not fit, and settings that are missing."""

from __future__ import annotations

from collections.abc import Iterator

from robench.audit.checks.common import finding, listed
from robench.audit.finding import Finding
from robench.audit.names import (
    ENSEMBLE,
    ITERATIVE,
    MINIMUM_NORM,
    PIXEL_COUNTING,
    UNSPECIFIED,
)
from robench.audit.table import Entry, Table, epsilon_text, grouped


def epsilon_without_setting(table: Table) -> Iterator[Finding]:
    """A6: an attack printed per epsilon although its stated settings hold no epsilon."""
    attacked = [one for one in table.attacked()
                if one.epsilon is not None and one.norm in ("", "linf")]
    for (_, attack), group in grouped(attacked, "table", "attack"):
        settings = {name for name in table.facts.attacks.get(attack, {}) if name != "where"}
        if attack in PIXEL_COUNTING and settings and "epsilon" not in settings:
            yield finding(
                "A6", "serious", group,
                f"{attack} is printed at ε "
                f"{', '.join(dict.fromkeys(epsilon_text(one.epsilon or 0) for one in group))}, "
                f"but its stated settings ({', '.join(sorted(settings))}) hold no ε. Where its "
                "numbers change with ε, something else was run under its name.",
                f"report the number of pixels {attack} may change, and one row per model",
            )


def no_distance_bound(table: Table) -> Iterator[Finding]:
    """A9: a minimum-norm attack reported as a rate without a bound on its distance.

    An attack that searches the nearest adversarial image always finds one; a rate says how many lie
    within a distance, which must be named.
    """
    searched = [one for one in table.attacked()
                if one.attack in MINIMUM_NORM and not _epsilon(table, one)]
    for _, group in grouped(searched, "table"):
        attacks = ", ".join(dict.fromkeys(one.attack for one in group))
        yield finding(
            "A9", "warning", group,
            f"{len(group)} rates of attacks that search the nearest adversarial image ({attacks}) "
            "stand without the distance within which an image counts. Such a rate depends on when "
            "the search was given up, and cannot be compared.",
            "give the median distance, or the rate at named distances",
        )


def unstated_settings(table: Table) -> Iterator[Finding]:
    """A10: attack rows without epsilon, norm or steps, neither beside the numbers nor in the text.

    Steps are asked of iterative attacks only, an epsilon of those with a fixed budget.
    """
    for _, group in grouped(table.attacked(), "table"):
        attacked = [one for one in group if one.attack not in ("none", UNSPECIFIED)]
        missing = {
            "ε": [one for one in attacked
                  if one.attack not in MINIMUM_NORM | PIXEL_COUNTING and not _epsilon(table, one)],
            "norm": [one for one in attacked if _asked(table, "norm") and not one.norm],
            "steps": [one for one in attacked
                      if one.attack in ITERATIVE - {"apgd", "apgd-t"} and not _steps(table, one)
                      and _asked(table, "steps")],
        }
        rows = list(dict.fromkeys(one for entries in missing.values() for one in entries))
        if rows:
            parts = [f"no {name} for {', '.join(dict.fromkeys(e.attack for e in entries))}"
                     for name, entries in missing.items() if entries]
            yield finding(
                "A10", "warning" if missing["ε"] or missing["steps"] else "note", rows,
                f"{listed(parts)} ({len(rows)} of {len(attacked)} rows). Without them a rate "
                "cannot be repeated or compared.",
                "print norm, ε, step and number of steps beside every rate",
            )


def _asked(table: Table, setting: str) -> bool:
    """Whether the setting can be missing: there is a place where it would stand."""
    return setting in table.known or bool(table.facts.attacks)


def _epsilon(table: Table, entry: Entry) -> bool:
    """Whether the size of the perturbation is known: in the row, or the text names one for all.

    What the text says of a whole paper does not tell which of several printed epsilons a table
    without them is about.
    """
    if entry.epsilon is not None:
        return True
    stated = table.facts.setting(entry.attack, "epsilon")
    printed = {one.epsilon for one in table.entries
               if one.attack == entry.attack and one.epsilon is not None}
    return isinstance(stated, float) and printed <= {stated}


def _steps(table: Table, entry: Entry) -> bool:
    stated = table.facts.setting(entry.attack, "steps")
    return entry.steps is not None or entry.attack in ENSEMBLE or stated is not None
