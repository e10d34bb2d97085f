"""Given a config that does not learn, `tuitrain diagnose` names the true cause first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.cases import Case
from tests.diagnosis.matrix import problems
from tests.diagnosis.runs import a_place, run_case
from tests.diagnosis.sabotaged import FOLDER, SABOTAGED

SHORT = ("sabotaged-tau", "sabotaged-lr", "sabotaged-starts")
"""A run, and what is refused at once."""
LINGER_S = 1.5
"""Seconds a run goes on with after its fault has been seen: fewer than where all are run."""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, id=c.name, marks=() if c.name in SHORT else pytest.mark.long)
        for c in SABOTAGED
    ],
)
def test_the_true_cause_comes_first(case: Case, tmp_path: Path) -> None:
    with a_place(tmp_path) as place:
        assert problems(case, run_case(case, place, LINGER_S)) == []


def test_there_is_a_case_for_each_file() -> None:
    assert set(FOLDER.glob("*.toml")) == {case.file for case in SABOTAGED}
