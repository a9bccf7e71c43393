"""Each check on a table that it must find, and on the nearest that it must not."""

from __future__ import annotations

import pytest

from robench.audit.catalogue import CHECKS
from tests.audit.small import FACTS, findings, of

LONG = "table|dataset|model|attack|epsilon|metric|value|unit"
CASES: dict[str, list[tuple[str, str]]] = {
    "A1": [
        ("model|attack|accuracy\nm|none|72.92%\nm|pgd|72.94%",
         "model|attack|accuracy\nm|none|72.92%\nm|pgd|72.93%"),  # 72.925 rounds to either
        ("dataset|model|attack|accuracy\nlarge|m|none|90.0%\nlarge|m|pgd|97.7%",
         "dataset|model|attack|accuracy\nlarge|m|none|90.0%\nlarge|n|pgd|97.7%"),
    ],
    "A2": [
        ("model|attack|epsilon|accuracy\nm|fgsm|0.1|50.0%\nm|pgd|0.1|50.2%",
         "model|attack|epsilon|accuracy\nm|fgsm|0.1|50.0%\nm|pgd|0.1|50.1%"),
        ("model|attack|epsilon|asr|threat\nm|fgsm|.1|50.0%|white_box\nm|bim|.1|49.8%|white_box",
         "model|attack|epsilon|asr|threat\nm|fgsm|.1|50.0%|transfer\nm|bim|.1|49.8%|transfer"),
        ("model|attack|epsilon|accuracy\nm|fgsm|0.1|10%\nm|pgd|0.1|60%",
         "model|attack|epsilon|accuracy\nm|fgsm|0.1|10%\nm|pgd|0.05|60%"),
    ],
    "A3": [  # of 1,000: 20 against 33 has p = .092, 20 against 37 p = .031
        ("dataset|model|attack|accuracy\nlarge|m|bim|2.0%\nlarge|m|pgd|3.7%",
         "dataset|model|attack|accuracy\nlarge|m|bim|2.0%\nlarge|m|pgd|3.3%"),
        # Over two pairs, .031 is not enough.
        ("dataset|model|attack|epsilon|accuracy\nlarge|m|bim|.1|2.0%\nlarge|m|pgd|.1|5.0%\n"
         "large|m|bim|.2|2.0%\nlarge|m|pgd|.2|2.0%",
         "dataset|model|attack|epsilon|accuracy\nlarge|m|bim|.1|2.0%\nlarge|m|pgd|.1|3.7%\n"
         "large|m|bim|.2|2.0%\nlarge|m|pgd|.2|2.0%"),
    ],
    "A4": [
        ("model|attack|epsilon|accuracy\nm|pgd|2/255|30.0%\nm|pgd|4/255|30.2%",
         "model|attack|epsilon|accuracy\nm|pgd|2/255|30.0%\nm|pgd|4/255|30.1%"),
        ("model|attack|epsilon|asr\nm|pgd|2/255|30.2%\nm|pgd|4/255|30.0%",
         "model|attack|epsilon|asr\nm|pgd|2/255|30.0%\nm|pgd|4/255|30.2%"),
        ("model|attack|epsilon|miou\nm|pgd|2/255|0.200\nm|pgd|4/255|0.230",
         "model|attack|epsilon|miou\nm|pgd|2/255|0.200\nn|pgd|4/255|0.230"),
    ],
    "A5": [
        ("model|attack|accuracy\nm|fgsm|50.00%\nm|jsma|51.00%\nn|fgsm|60.00%\nn|jsma|60.10%",
         "model|attack|accuracy\nm|fgsm|50.00%\nm|jsma|51.01%\nn|fgsm|60.00%\nn|jsma|60.10%"),
        # What FGSM does not move, or breaks wholly, tells nothing.
        ("model|attack|asr\nm|fgsm|50%\nm|jsma|50%\nn|fgsm|60%\nn|jsma|60%",
         "model|attack|asr\nm|fgsm|0%\nm|jsma|0%\nn|fgsm|100%\nn|jsma|100%"),
    ],
    "A6": [
        ("model|attack|epsilon|accuracy\nm|jsma|0.1|50%", "model|attack|epsilon|accuracy\n"
         "m|fgsm|0.1|40%\nm|jsma||50%"),
        ("model|attack|norm|epsilon|accuracy\nm|jsma|linf|0.1|50%",
         "model|attack|norm|epsilon|accuracy\nm|jsma|l0|10|50%"),
    ],
    "A7": [
        ("model|attack|accuracy\nm|apgd|41.0%\nm|autoattack|41.2%",
         "model|attack|accuracy\nm|apgd|41.0%\nm|autoattack|41.1%"),
        ("model|attack|accuracy\nm|cw|41.0%\nm|AutoAttack (standard)|45.0%",
         "model|attack|accuracy\nm|boundary|41.0%\nm|autoattack|45.0%"),
    ],
    "A8": [
        ("model|attack|accuracy\nm|pgd|41.2%\nm|boundary|41.0%",
         "model|attack|accuracy\nm|pgd|41.1%\nm|boundary|41.0%"),
        ("model|attack|asr\nm|autoattack|60%\nm|square|70%",
         "model|attack|asr\nn|autoattack|60%\nm|square|70%"),
    ],
    "A9": [
        ("model|attack|epsilon|accuracy\nm|deepfool||50%",
         "model|attack|epsilon|accuracy\nm|deepfool|0.5|50%"),
    ],
    "A10": [
        ("model|attack|norm|epsilon|steps|accuracy\nm|mi-fgsm|linf||40|50%",
         "model|attack|norm|epsilon|steps|accuracy\nm|mi-fgsm|linf|0.1|40|50%"),
        ("model|attack|norm|epsilon|steps|accuracy\nm|pgd||.1|40|50%",
         "model|attack|norm|epsilon|steps|accuracy\nm|fgsm|linf|.1||50%"),
    ],
    "A11": [
        ("dataset|model|attack|epsilon|accuracy\nlarge|m|pgd|25/255|28.0%",
         "dataset|model|attack|epsilon|accuracy\nlarge|m|pgd|24/255|28.0%"),
        # Of 1,000 images, 274 are more than a fourth at 5 % (p = .044), 273 are not (.051).
        ("dataset|model|attack|epsilon|accuracy\nlarge|m|pgd|0.1|27.4%",
         "dataset|model|attack|epsilon|accuracy\nlarge|m|pgd|0.1|27.3%"),
    ],
    "B1": [
        ("dataset|model|clean_accuracy\nd|m|70.0%", "dataset|model|clean_accuracy\nd|m|71.0%"),
        ("dataset|model|attack|accuracy\nd|m|pgd|30.0%",
         "dataset|model|attack|accuracy\nd|m|pgd|31.0%"),
        # With counts: the interval of 78 of 100 reaches down to 68.9 %, that of 79 to 70.02 %.
        ("dataset|model|n|clean_accuracy\nd|m|100|0.7800000\nd|k|100|0.9500000",
         "dataset|model|n|clean_accuracy\nd|m|100|0.7900000\nd|k|100|0.9500000"),
    ],
    "B2": [
        ("model|pruning_rate|attack|asr\nm|0.7|pgd|1.00%",
         "model|pruning_rate|attack|asr\nm|0.7|pgd|1.01%"),
        ("model|pruning_rate|attack|asr\nm|70|pgd|0.0%",
         "model|pruning_rate|attack|asr\nm|69|pgd|0.0%"),
    ],
    "B3": [
        ("dataset|model|clean_accuracy\nhard|m|19.9%",
         "dataset|model|clean_accuracy\nhard|m|20.0%"),
        ("dataset|model|clean_accuracy\nd|m|69.0%", "dataset|model|clean_accuracy\nd|m|70.0%"),
    ],
    "B4": [
        ("model|pruning_rate|metric|value|attack\nm|0.3|asr|5%|pgd",
         "model|pruning_rate|metric|value|attack\nm|0.3|asr|5%|pgd\nm|0.3|clean_accuracy|90%|none"),
        ("model|defense|metric|value|attack\nm|jpeg|asr|5%|pgd",
         "model|defense|metric|value|attack\nm|none|asr|5%|pgd"),
    ],
    "C1": [
        ("dataset|model|clean_accuracy\nodd|m|57.15%",
         "dataset|model|clean_accuracy\nodd|m|57.14%"),
        ("model|n|clean_accuracy\nm|7|57.2%", "model|n|clean_accuracy\nm|7|57.1%"),
    ],
    "C2": [  # of at most 7 right: 1/7, 2/7, and 1/6
        ("dataset|model|attack|asr\nodd|m|fgsm|14.3%\nodd|m|pgd|16.7%",
         "dataset|model|attack|asr\nodd|m|fgsm|14.3%\nodd|n|pgd|16.7%"),
    ],
    "C3": [
        (f"{LONG}|pruning_rate\n1|x|m|none||clean_accuracy|90|percent|\n"
         "1|x|m|pgd|.1|adversarial_accuracy|45|percent|\n2|x|m|pgd||asr|56.5|percent|0.3",
         f"{LONG}|pruning_rate\n1|x|m|none||clean_accuracy|90|percent|\n"
         "1|x|m|pgd|.1|adversarial_accuracy|45|percent|\n2|x|m|pgd||asr|54.5|percent|0.3"),
    ],
    "C5": [
        ("model|precision|recall|f1\nm|91.88%|91.50%|91.70%",
         "model|precision|recall|f1\nm|91.88%|91.50%|91.69%"),
    ],
    "C6": [
        ("model|class_label|metric|value\nm|a|confusion_correct|90\nm|a->b|confusion_error|10\n"
         "m|b|confusion_correct|80\nm|b->a|confusion_error|20\nm||clean_accuracy|86%",
         "model|class_label|metric|value\nm|a|confusion_correct|90\nm|a->b|confusion_error|10\n"
         "m|b|confusion_correct|80\nm|b->a|confusion_error|20\nm||clean_accuracy|85%"),
        ("model|class_label|metric|value\nm|a|confusion_correct|90\nm|a->b|confusion_error|10\n"
         "m|b|confusion_correct|80\nm|b->a|confusion_error|20\nm|a|precision|81%",
         "model|class_label|metric|value\nm|a|confusion_correct|90\nm|a->b|confusion_error|10\n"
         "m|b|confusion_correct|80\nm|b->a|confusion_error|20\nm|a|precision|82%"),
    ],
    "C7": [
        ("model|miou|dice\nm|0.500|0.668", "model|miou|dice\nm|0.500|0.667"),
    ],
    "C8": [
        ("table|model|attack|accuracy\n1|m|pgd|50.0%\n2|m|pgd|50.2%",
         "table|model|attack|accuracy\n1|m|pgd|50.0%\n2|m|pgd|50%"),
        ("table|model|attack|accuracy\n1|m|pgd|50.0%\n1|m|pgd|50.0%",
         "table|model|attack|accuracy\n1|m|pgd-40|50.0%\n1|m|pgd-100|40.0%"),
    ],
    "C9": [
        ("model|pruning_rate|params_m\nm|0|10.00\nm|0.2|8.00\nm|0.4|4.80",
         "model|pruning_rate|params_m\nm|0|10.00\nm|0.2|8.00\nm|0.4|6.00"),
    ],
    "C10": [
        ("model|params_m\nm_wo_a_b|5.02\nm_wo_a|5.00",
         "model|params_m\nm_wo_a_b|5.00\nm_wo_a|5.00\nm_full|6.00"),
        ("model|params_m\nm_without_a|6.02\nm_full|6.00",
         "model|params_m\nn_without_a|6.02\nm|6.00"),
    ],
    "C11": [
        ("model|attack|bold|accuracy\nm|pgd|no|50%\nn|pgd|yes|49%",
         "model|attack|bold|accuracy\nm|pgd|yes|50%\nn|pgd|no|49%"),
        ("model|attack|bold|asr\nm|pgd|yes|50%\nn|pgd|no|50%",
         "model|attack|bold|asr\nm|pgd|yes|50%\nn|pgd|yes|50%"),
    ],
    "C12": [  # of 1,000: 500 against 456 has p = .054, against 455 p = .049
        ("dataset|model|attack|bold|accuracy\nlarge|m|pgd|yes|50.0%\nlarge|n|pgd|no|45.6%",
         "dataset|model|attack|bold|accuracy\nlarge|m|pgd|yes|50.0%\nlarge|n|pgd|no|45.5%"),
    ],
    "C13": [  # of 1,000, one-sided: 500 against 463 has p = .053, against 462 p = .048
        ("dataset|model|attack|accuracy\nlarge|m|pgd|46.2%\nlarge|m_wo_a|pgd|50.0%",
         "dataset|model|attack|accuracy\nlarge|m|pgd|46.3%\nlarge|m_wo_a|pgd|50.0%"),
        ("model|attack|asr\nm|pgd|46%\nm_wo_a|pgd|40%",
         "model|attack|asr\nm|pgd|40%\nm_wo_a|pgd|46%"),
    ],
    "C14": [
        ("model|threat|attack|metric|value\nm||none|clean_accuracy|60%\nm|transfer|pgd|asr|38%",
         "model|threat|attack|metric|value\nm||none|clean_accuracy|60%\nm|transfer|pgd|asr|39%"),
        # The surrogate is right on 80 %, so 60 % may be 75 % of what it gets right.
        ("dataset|model|threat|attack|metric|value\nlarge|source||none|clean_accuracy|80%\n"
         "large|m||none|clean_accuracy|60.0%\nlarge|m|transfer|pgd|asr|24.8%",
         "dataset|model|threat|attack|metric|value\nlarge|source||none|clean_accuracy|80%\n"
         "large|m||none|clean_accuracy|60.0%\nlarge|m|transfer|pgd|asr|25.0%"),
    ],
    "C17": [
        ("table|model|attack|metric|value\n1|m|pgd|asr|40.0%\n1|n|pgd|asr|39.8%\n"
         "prose|m|pgd|p_value|0.01",
         "table|model|attack|metric|value\n1|m|pgd|asr|40.0%\n1|n|pgd|asr|45.0%\n"
         "prose|k|pgd|p_value|0.01"),
    ],
}


def test_every_check_has_a_case() -> None:
    assert CASES.keys() == {check.id for check in CHECKS}


@pytest.mark.parametrize(
    ("check", "wrong", "near"),
    [pytest.param(check, *case, id=f"{check}-{place}")
     for check, cases in CASES.items() for place, case in enumerate(cases)],
)
def test_what_is_wrong_is_found_and_the_nearest_table_is_not(
    check: str, wrong: str, near: str
) -> None:
    found = of(check, wrong)
    assert found
    for one in found:
        assert one.rows
        assert one.message.endswith(".")
        assert one.next_step
    assert of(check, near) == []


CLEAN = """
table|dataset|model|attack|norm|epsilon|steps|n|n_correct|clean_accuracy|robust_accuracy|asr
1|d|m|fgsm|linf|0.01|1|100|95|0.9500000|0.8000000|0.15789474
1|d|m|pgd|linf|0.01|40|100|95|0.9500000|0.7600000|0.2
1|d|m|bim|linf|0.01|40|100|95|0.9500000|0.7700000|0.18947368
1|d|m|fgsm|linf|0.1|1|100|95|0.9500000|0.4000000|0.57894737
1|d|m|pgd|linf|0.1|40|100|95|0.9500000|0.0100000|0.98947368
1|d|m|bim|linf|0.1|40|100|95|0.9500000|0.0200000|0.97894737
1|d|m|square|linf|0.1|5000|100|95|0.9500000|0.0500000|0.94736842
"""


def test_a_sound_table_has_no_findings() -> None:
    assert findings(CLEAN) == []
    assert findings(CLEAN.replace("|0.0100000|0.98947368", "|0.9600000|0.0")) != []


@pytest.mark.parametrize(
    ("check", "text", "severity"),
    [
        ("A1", "dataset|model|attack|accuracy\nlarge|m|none|90.0%\nlarge|m|pgd|90.2%", "note"),
        ("A1", "dataset|model|attack|accuracy\nlarge|m|none|90.0%\nlarge|m|pgd|97.0%", "serious"),
        ("A1", "dataset|model|attack|accuracy\nnew|m|none|90.0%\nnew|m|pgd|97.0%", "warning"),
        ("A4", "dataset|model|attack|epsilon|accuracy\nlarge|m|fgsm|.1|10%\nlarge|m|fgsm|.2|50%",
         "warning"),
        ("A4", "dataset|model|attack|epsilon|accuracy\nlarge|m|pgd|.1|10.0%\nlarge|m|pgd|.2|50.0%",
         "serious"),
    ],
)
def test_severity_follows_the_counts(check: str, text: str, severity: str) -> None:
    (found,) = of(check, text, FACTS)
    assert found.severity == severity


def test_the_rows_and_numbers_of_a_finding() -> None:
    (found,) = of("C9", "row_id|model|pruning_rate|params_m\nR1|m|0|11.18\nR2|m|0.2|8.95\n"
                        "R3|m|0.4|5.37\nR4|m|0.6|2.16\nR5|m|0.8|0.44")
    assert found.rows == ("R1", "R3", "R4", "R5")
    assert "5.37 M printed, 6.71 M at the rate, 5.37 M compounding" in found.message
    assert "one after another" in found.message


def test_p_values_and_the_images_they_need() -> None:
    (found,) = of("C17", "table|dataset|model|attack|metric|value\n1|x|m|pgd|asr|22.82%\n"
                         "1|x|n|pgd|asr|23.30%\nprose|x|m|pgd|p_value|0.0006")
    # 12 pairs give p = 2/4096 = .00049, 11 give .00098; a difference of at most .49 points.
    assert "n ≥ 2449" in found.message
    assert found.severity == "note"
