"""All checks on tables: what they look for, the flag they put on a row, what they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from robench.audit.checks import (
    ablation,
    accuracy,
    arithmetic,
    attacks,
    collapse,
    metrics,
    pruning,
    ranking,
    repeats,
    stated,
)
from robench.audit.finding import SEVERITIES, Audit, Finding, Unchecked
from robench.audit.table import Table


@dataclass(frozen=True)
class Check:
    """A check: `title` says what it finds, `flag` is its word on a leaderboard's row.

    `needs` are the columns or metrics without which it can find nothing; of `a|b` either will do.
    """

    id: str
    title: str
    flag: str
    needs: tuple[str, ...]
    run: Callable[[Table], Iterator[Finding]]


_ATTACKED: Final = "adversarial_accuracy|asr"
CHECKS: Final[tuple[Check, ...]] = (
    Check("A1", "accuracy under attack above clean accuracy", "above-clean",
          ("clean_accuracy", "adversarial_accuracy"), accuracy.above_clean),
    Check("A2", "an iterative attack weaker than a single step", "weak-attack",
          ("attack", _ATTACKED), attacks.iterative_below_single_step),
    Check("A3", "PGD and BIM differ at the same settings", "bim-pgd-differ",
          ("attack", "n", "settings|steps", _ATTACKED), attacks.random_start_matters),
    Check("A4", "accuracy rises with epsilon", "rises-with-epsilon",
          ("attack", "epsilon", f"{_ATTACKED}|miou|dice"), accuracy.rises_with_epsilon),
    Check("A5", "JSMA tracks FGSM", "jsma-is-fgsm", ("attack", _ATTACKED),
          attacks.pixels_track_fgsm),
    Check("A6", "an attack printed per epsilon that has none", "no-such-epsilon",
          ("attack", "epsilon", "settings", _ATTACKED), stated.epsilon_without_setting),
    Check("A7", "AutoAttack weaker than another attack", "weak-ensemble", ("attack", _ATTACKED),
          attacks.ensemble_below_another),
    Check("A8", "an attack without gradients is the strongest", "masked-gradient",
          ("attack", _ATTACKED), attacks.queries_beat_gradients),
    Check("A9", "a minimum-norm attack without a distance", "no-distance", ("attack", _ATTACKED),
          stated.no_distance_bound),
    Check("A10", "an attack without epsilon, norm or steps", "settings-unstated",
          ("attack", "settings|norm", "settings|steps", _ATTACKED), stated.unstated_settings),
    Check("A11", "accuracy above chance at a large epsilon", "survives-large-epsilon",
          ("attack", "epsilon", "classes|task", "adversarial_accuracy"),
          accuracy.alive_at_large_epsilon),
    Check("B1", "accuracy equal to a class share", "collapse-suspect",
          ("class counts", "clean_accuracy|adversarial_accuracy"), collapse.class_share),
    Check("B2", "a heavily pruned model that nothing breaks", "pruned-unbroken",
          ("pruning_rate", "asr"), collapse.pruned_and_unbroken),
    Check("B3", "clean accuracy below chance or the majority share", "below-chance",
          ("classes|task", "clean_accuracy"), collapse.below_chance),
    Check("B4", "ASR of a changed model without its clean accuracy", "no-clean-accuracy",
          ("pruning_rate|defense", "asr"), collapse.rate_without_clean_accuracy),
    Check("C1", "a rate that no count of images gives", "impossible-rate",
          ("n", "clean_accuracy|adversarial_accuracy"), arithmetic.granularity),
    Check("C2", "ASRs of one row without a common denominator", "no-denominator",
          ("n", "asr"), arithmetic.shared_denominators),
    Check("C3", "pruned rows contradict unpruned ones", "pruning-contradiction",
          ("pruning_rate", "clean_accuracy", "adversarial_accuracy", "asr"),
          pruning.against_unpruned),
    Check("C5", "F1 is not that of precision and recall", "f1-contradiction",
          ("precision", "sensitivity", "f1"), metrics.f1_of_precision_and_recall),
    Check("C6", "a confusion matrix contradicts the rates", "confusion-contradiction",
          ("confusion_correct", "confusion_error"), metrics.confusion),
    Check("C7", "Dice above what the IoU allows", "dice-above-iou", ("dice", "miou"),
          metrics.dice_of_iou),
    Check("C8", "one measurement with two values", "two-values", (), repeats.two_values),
    Check("C9", "parameters left do not fit the pruning rate", "pruning-compounds",
          ("params_m", "pruning_rate"), pruning.parameters_left),
    Check("C10", "an ablation with more parameters", "ablation-larger", ("params_m", "model"),
          ablation.parameters_of_ablations),
    Check("C11", "bold is not the best", "bold-not-best", ("bold",), ranking.bold_is_best),
    Check("C12", "a bold win within chance", "within-chance", ("bold", "n"),
          ranking.bold_is_significant),
    Check("C13", "an ablation that helps", "ablation-helps", ("model",),
          ablation.monotone_ablation),
    Check("C14", "transfer ASR below what clean accuracy allows", "survives-wrong",
          ("threat", "clean_accuracy", "asr"), repeats.transfer_above_clean),
    Check("C17", "how many images a p-value needs", "p-value", ("p_value", _ATTACKED),
          repeats.possible_p_values),
)
#: What an audit of a run adds, by the rows of its images.
_OF_RUNS: Final = (
    ("F6-gradient", "the gradient is zero for every image", "no-gradient"),
    ("F6-direction", "an attack moves images away from the boundary", "wrong-direction"),
    ("F6-unmoved", "an attack returns the clean images", "unmoved"),
    ("F6-silent", "wrong after the attack and not counted", "uncounted"),
    ("F6-unstable", "the loss around the images is noisy", "unstable-loss"),
    ("F6-incomplete", "the loss still falls at the last step", "unfinished"),
    ("F6-path", "an earlier success that did not count", "success-lost"),
    ("F7-clean", "clean predictions differ between attacks", "clean-differs"),
    ("F6-unbounded", "holds out where nothing bounds the attack", "survives-everything"),
    ("F7-steps", "more steps break more", "too-few-steps"),
    ("F7-ladder", "an attack run alone breaks more than up the ladder", "ladder-weaker"),
    ("F7-noise", "an attack with gradients is weaker than noise", "weaker-than-noise"),
    ("F7-transfer", "an attack is weaker than a transferred one", "weaker-than-transfer"),
)
#: The title of every check by its id.
TITLES: Final = {**{check.id: check.title for check in CHECKS},
                 **{name: title for name, title, _ in _OF_RUNS}}
#: The flag that every check puts on the rows of its findings.
FLAG_WORDS: Final = {**{check.id: check.flag for check in CHECKS},
                     **{name: word for name, _, word in _OF_RUNS}}


def check_tables(tables: Iterable[Table], *, name: str) -> Audit:
    """Every check on every table (all of one paper each), the most serious findings first."""
    found: list[Finding] = []
    unchecked: list[Unchecked] = []
    sources: list[tuple[str, str]] = []
    for table in tables:
        if table.facts.cite:
            sources.append((table.paper, table.facts.cite))
        for check in CHECKS:
            missing = [need for need in check.needs if table.known.isdisjoint(need.split("|"))]
            if missing:
                why = ", ".join(need.replace("|", " or ") for need in missing)
                unchecked.append(Unchecked(check.id, table.paper, f"no column {why}"))
            else:
                found += check.run(table)
    found.sort(key=lambda one: -SEVERITIES.index(one.severity))
    return Audit(name, tuple(found), tuple(unchecked), tuple(sources))
