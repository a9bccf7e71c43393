"""Metrics of one classifier or one segmentation that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from robench.audit.checks.common import finding, listed
from robench.audit.finding import Finding
from robench.audit.table import Entry, Table, grouped

_SLACK = 1e-9


def f1_of_precision_and_recall(table: Table) -> Iterator[Finding]:
    """C5: F1 = 2PR/(P+R), as the interval that the rounded precision and recall leave.

    A macro average of F1 over classes need not be the F1 of the averaged P and R, so that over
    several classes a difference is a warning only.
    """
    metrics = table.of("precision", "sensitivity", "f1", tables_only=False)
    for _, group in grouped(metrics, "table", "victim", "attack", "epsilon", "threat", "norm",
                            "variant", "label"):
        found = {one.metric: one for one in group}
        if len(found) < 3:
            continue
        p, r, f1 = found["precision"], found["sensitivity"], found["f1"]
        low, high = _f1(p.low, r.low), _f1(p.high, r.high)
        if f1.high < low - _SLACK or f1.low > high + _SLACK:
            averaged = f1.task == "multiclass" and not f1.label
            label = f", class {f1.label}" if f1.label else ""
            yield finding(
                "C5", "warning" if averaged else "serious", [p, r, f1],
                f"precision {p.shown} and recall {r.shown} of {f1.named}{label} give F1 between "
                f"{100 * low:.2f} and {100 * high:.2f} %, {f1.shown} is printed. "
                + ("A macro average may differ from this, but says so. " if averaged else "")
                + "One of the three is mistyped or was measured otherwise.",
                "compute all three from one confusion matrix, and name the average",
            )


def dice_of_iou(table: Table) -> Iterator[Finding]:
    """C7: Dice ≤ 2·mIoU/(1+mIoU).

    Of one image Dice is exactly 2·IoU/(1+IoU), which is concave in IoU, so that by Jensen's
    inequality the mean Dice of one class cannot be above that of the mean IoU.
    """
    for _, group in grouped(table.of("miou", "dice"), "table", "victim", "attack", "epsilon",
                            "threat", "norm", "variant", "label"):
        found = {one.metric: one for one in group}
        if len(found) < 2:
            continue
        iou, dice = found["miou"], found["dice"]
        bound = 2 * iou.high / (1 + iou.high)
        if dice.low > bound + _SLACK:
            epsilon = "" if dice.epsilon is None else f" at ε {dice.epsilon:.4g}"
            yield finding(
                "C7", "serious", [iou, dice],
                f"Dice {dice.shown} of {dice.named}{epsilon} is above {bound:.3f}, the most that a "
                f"mean IoU of {iou.shown} allows. One of the two is mistyped, or they average "
                "different images or classes.",
                "compute both from the same masks, image by image",
            )


def confusion(table: Table) -> Iterator[Finding]:
    """C6: a confusion matrix, and accuracy, precision and recall that contradict it.

    Counts of a class are what is printed of it: right ones, and errors as `TRUE->PREDICTED`.
    Rows of classes that are not printed are bounded by the size of the class, where that is known.
    """
    counts = table.of("confusion_correct", "confusion_error", tables_only=False)
    for (victim,), group in grouped(counts, "victim"):
        matrix = _Matrix(table, group)
        wrong: list[tuple[Entry, str]] = []
        for entry in table.of("precision", "sensitivity", "class_accuracy", "clean_accuracy",
                              "error_rate", tables_only=False):
            if entry.victim != victim or entry.attack != "none":
                continue
            bounds = matrix.bounds(entry)
            if bounds and (entry.high < bounds[0] - _SLACK or entry.low > bounds[1] + _SLACK):
                low, high = bounds
                least = f"{100 * low:.2f} %" if low == high else (
                    f"{100 * low:.2f} to {100 * high:.2f} %")
                of = f" of {entry.label}" if entry.label else ""
                wrong.append((entry, f"{entry.metric}{of} {entry.shown}, the matrix gives {least}"))
        if wrong:
            entries = [one for one, _ in wrong]
            yield finding(
                "C6", "serious", [*group, *entries],
                f"the confusion matrix of {group[0].named} contradicts what is printed beside it: "
                f"{listed(list(dict.fromkeys(said for _, said in wrong)))}. They belong to "
                "different networks or test sets.",
                "compute all of them in one pass over one test set",
            )


class _Matrix:
    """The printed part of a confusion matrix; every value is a pair of bounds."""

    def __init__(self, table: Table, group: list[Entry]) -> None:
        self._correct = {one.label: int(one.value) for one in group
                         if one.metric == "confusion_correct"}
        self._errors: dict[tuple[str, str], int] = {}
        for one in group:
            if one.metric == "confusion_error" and "->" in one.label:
                true, predicted = one.label.split("->")
                self._errors[true, predicted] = int(one.value)
        sets = [one for one in table.facts.sets(group[0].dataset) if one.classes]
        printed = {name: self._row(name) for name in self._correct}
        same = [one for one in sets
                if all(one.classes.get(name, count) >= count for name, count in printed.items())]
        # Among the known test sets, the one whose classes are those of the matrix.
        self._sizes = next((dict(one.classes) for one in same if all(
            one.classes.get(name) == count for name, count in printed.items())), printed)

    def bounds(self, entry: Entry) -> tuple[float, float] | None:
        """What the matrix allows of a printed rate; None where it says nothing of it."""
        if entry.metric in ("clean_accuracy", "error_rate") and not entry.label:
            n, right = sum(self._sizes.values()), sum(self._correct.values())
            low, high = right / n, (right + self._unknown()) / n
            return (low, high) if entry.metric == "clean_accuracy" else (1 - high, 1 - low)
        name = entry.label
        if name not in self._correct:
            return None
        right, size = self._correct[name], self._row(name)
        if entry.metric in ("sensitivity", "class_accuracy"):
            return right / size, right / size
        if entry.metric == "error_rate":
            return 1 - right / size, 1 - right / size
        taken = sum(count for (_, predicted), count in self._errors.items() if predicted == name)
        return right / (right + taken + self._unknown()), right / (right + taken)

    def _row(self, name: str) -> int:
        return self._correct.get(name, 0) + sum(
            count for (true, _), count in self._errors.items() if true == name)

    def _unknown(self) -> int:
        """The images of classes whose row is not printed."""
        return sum(size for name, size in self._sizes.items() if name not in self._correct)


def _f1(precision: float, recall: float) -> float:
    total = precision + recall
    return 2 * precision * recall / total if total > 0 else 0.0
