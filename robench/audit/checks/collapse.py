"""Networks that answer one class, or next to it, and look robust for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from robench.audit.checks.common import finding, listed
from robench.audit.facts import TestSet
from robench.audit.finding import Finding, Severity
from robench.audit.granularity import counts
from robench.audit.table import ASR, CLEAN_ACCURACY, UNDER_ATTACK, Entry, Table, at, grouped
from robench.scoring.wilson import wilson

_PRUNED: Final = 0.7
_UNBROKEN: Final = 0.01


def class_share(table: Table) -> Iterator[Finding]:
    """B1: accuracy equal to the share of a class, as of a classifier that answers this class only.

    Where a table has counts, a clean accuracy whose 95 % Wilson interval holds the share of the
    largest class is a suspect too, or one below it; a printed number must be that share as
    rounded. What rests on a test set that was inferred from the numbers is a warning.
    """
    for _, group in grouped(table.of(CLEAN_ACCURACY, UNDER_ATTACK), "table", "victim"):
        found = [(one, said) for one in group if (said := _share(table, one))]
        if not found:
            continue
        clean = [one for one, _ in found if one.metric == CLEAN_ACCURACY]
        severity: Severity = "serious" if any(sure for _, (_, sure) in found) else "warning"
        told = dict.fromkeys(
            f"{at(one)}{'clean' if one.metric == CLEAN_ACCURACY else one.attack} {one.shown} "
            f"({said[0]})" for one, said in found)
        yield finding(
            "B1", severity, [one for one, _ in found],
            f"{found[0][0].named} is as accurate as a constant answer: {listed(list(told))}. "
            + (f"It {group[0].aside}. " if group[0].aside else "")
            + ("It has probably collapsed to one class, and what a constant answer gets right no "
               "attack can take." if clean else
               "Under attack it probably answers one class for every image."),
            "print the confusion matrix, clean and attacked",
        )


def pruned_and_unbroken(table: Table) -> Iterator[Finding]:
    """B2: ASR of at most 1 % on a model pruned by at least 70 %."""
    clean = {one.victim: one for one in table.of(CLEAN_ACCURACY)}
    pruned = [one for one in table.of(ASR)
              if (one.pruning or 0) >= _PRUNED - 1e-9 and one.value <= _UNBROKEN + 1e-9]
    for _, in_table in grouped(pruned, "table"):
        told = []
        for (victim,), group in grouped(in_table, "victim"):
            rates = ", ".join(f"{one.attack} {at(one)}{one.shown}" for one in group)
            beside = f", clean {clean[victim].shown}" if victim in clean else ""
            told.append(f"{group[0].named}{beside}: {rates}")
        unknown = any(one.victim not in clean for one in in_table)
        yield finding(
            "B2", "serious" if unknown else "warning", in_table,
            f"an ASR of at most 1 % on networks pruned by 70 % or more"
            f"{', whose clean accuracy is not printed' if unknown else ''}: {listed(told)}. "
            "A network that lost so many weights usually answers one class, which is not "
            "robustness.",
            "print clean accuracy and confusion matrix of the pruned network",
        )


def below_chance(table: Table) -> Iterator[Finding]:
    """B3: clean accuracy below the share of the largest class, or below one in K classes."""
    for _, group in grouped(table.of(CLEAN_ACCURACY), "table", "victim"):
        entry = group[0]
        classes = table.facts.number_of_classes(entry.dataset, entry.task)
        sets = [one for one in table.facts.sets(entry.dataset) if one.classes]
        images = table.test_set([entry]) if sets else None
        if images is not None and images.classes and entry.high < images.majority:
            what = f"the {100 * images.majority:.1f} % of the largest class"
        elif classes is not None and entry.high < 1 / classes:
            what = f"one in {classes} classes, {100 / classes:.1f} %"
        else:
            continue
        yield finding(
            "B3", "serious", group,
            f"the clean accuracy of {entry.named}, {entry.shown}, is below {what}: answering one "
            "class throughout is better. A rate under attack says nothing of such a network.",
            "leave the network out, or train it again",
        )


def rate_without_clean_accuracy(table: Table) -> Iterator[Finding]:
    """B4: the ASR of a changed (pruned or defended) model without its clean accuracy anywhere."""
    clean = {one.victim for one in table.of(CLEAN_ACCURACY, tables_only=False)}
    bare = [one for one in table.of(ASR)
            if one.victim not in clean and (one.pruning or one.defense not in ("", "none"))]
    for _, group in grouped(bare, "table"):
        models = dict.fromkeys(one.named for one in group)
        yield finding(
            "B4", "warning", group,
            f"ASR of {len(models)} changed networks without their clean accuracy: "
            f"{listed(list(models))}. A network that has lost its accuracy has little left to "
            "break, and looks robust.",
            "print clean accuracy and the number of images right before the attack",
        )


def _share(table: Table, entry: Entry) -> tuple[str, bool] | None:
    """What class share an accuracy is, and whether that is sure; None where it is none."""
    sets = table.facts.sets(entry.dataset)
    if entry.n is not None and entry.count is not None:
        known = [one for one in sets if one.n == entry.n and one.classes]
        return _within(known[0], entry) if known else None
    for images in sets:
        for name, count in images.classes.items():
            if count in counts(images.n, entry.interval) and len(
                    counts(images.n, entry.interval)) == 1:
                guess = ", inferred" if images.inferred else ""
                return f"{count}/{images.n} is the share of {name}{guess}", not images.inferred
    return None


def _within(images: TestSet, entry: Entry) -> tuple[str, bool] | None:
    if entry.metric != CLEAN_ACCURACY or entry.count is None or entry.n is None:
        return None
    largest = max(images.classes.values())
    low, _ = wilson(entry.count, entry.n)
    if low > images.majority:
        return None
    return (f"{entry.count}/{entry.n}, 95 % interval from {100 * low:.1f} %; the largest class "
            f"has {largest}/{images.n}, {100 * images.majority:.1f} %",
            entry.count in images.classes.values())
