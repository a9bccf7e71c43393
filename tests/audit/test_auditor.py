"""The audit of cells that pass through it: one reading serves the audit and the report."""

from __future__ import annotations

from typing import Any

from robench.audit.catalogue import FLAG_WORDS
from robench.audit.finding import flags_by_row
from robench.audit.run import Auditor, audit_run
from tests.audit.runs import LABELS, SmallRun, cell, every

#: Two victims: one attacked by a PGD that is weaker than FGSM, one that answers class 0 alone.
MADE = (
    cell("fgsm", every(47)), cell("pgd", every(20), flags=("stochastic",)),
    cell("fgsm", every(47), model="constant", predictions=0 * LABELS),
    cell("pgd", every(47), model="constant", predictions=0 * LABELS),
)


def test_cells_pass_in_their_order_with_the_flags_of_their_findings() -> None:
    auditor = Auditor(SmallRun(MADE).record)
    passed = list(auditor.through(iter(MADE)))
    done = auditor.done()
    assert done == audit_run(SmallRun(MADE))
    assert {"A2", "B1"} <= {finding.check for finding in done.findings}
    put = flags_by_row(done.findings, FLAG_WORDS)
    for (record, columns, metadata), (made, theirs, known) in zip(passed, MADE, strict=True):
        assert record == made
        assert columns.keys() == theirs.keys()
        assert all((columns[name] == theirs[name]).all() for name in theirs)
        assert metadata == {**known, "flags": [*known["flags"], *put.get(made.key, ())]}
    assert passed[1][2]["flags"][0] == "stochastic"
    assert FLAG_WORDS["A2"] in passed[1][2]["flags"]


def test_only_the_cells_of_one_victim_are_held() -> None:
    taken: list[str] = []

    def cells() -> Any:
        for one in MADE:
            taken.append(one[0].key)
            yield one

    passing = Auditor(SmallRun(MADE).record).through(cells())
    next(passing)
    assert len(taken) == 3  # the first cell of the next victim ends this one


def test_what_is_missing_is_counted_when_all_have_passed() -> None:
    auditor = Auditor(SmallRun(MADE, asked=9).record)
    assert len(list(auditor.through(iter(MADE)))) == 4
    assert any(one.check == "all" and one.why == "5 cells have no outcomes"
               for one in auditor.done().unchecked)
