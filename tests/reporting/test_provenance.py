from robench.reporting.provenance import provenance
from robench.reporting.table import RunTable


def told(**facts: object) -> dict[str, str]:
    return dict(provenance(RunTable(rows=(), name="m", run_id="r", facts=facts)))


def test_what_is_not_known_is_left_out() -> None:
    assert told() == {"run": "r", "matrix": "m"}
    assert "asked again in float32" not in told(verdicts={})


def test_the_gap_of_a_low_precision_is_told() -> None:
    line = told(verdicts={"confirmed": 40, "differed": 3})["asked again in float32"]
    assert line == "40 verdicts, of which 3 were others in low precision"


def test_each_way_an_ensemble_ran_is_told() -> None:
    ways = {"autoattack": ["apgd-ce, apgd-t", "apgd-ce, apgd-margin"]}
    assert told(members=ways)["autoattack ran"] == "apgd-ce, apgd-t or apgd-ce, apgd-margin"
