import sys

import pytest

from .peers import peer


@pytest.mark.parametrize(("required", "raised"), [
    (None, pytest.skip.Exception), ("", pytest.skip.Exception), ("1", ImportError),
])
def test_a_missing_reference_is_skipped_or_fails_where_all_are_required(
    required, raised, monkeypatch
):
    monkeypatch.delenv("ROBENCH_REFERENCES", raising=False)
    if required is not None:
        monkeypatch.setenv("ROBENCH_REFERENCES", required)
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    with pytest.raises(raised, match="torchattacks"):
        peer("torchattacks")


@pytest.mark.parametrize("required", ["", "1"])
def test_one_that_is_there_is_given(required, monkeypatch):
    monkeypatch.setenv("ROBENCH_REFERENCES", required)
    assert peer("json").loads("1") == 1
