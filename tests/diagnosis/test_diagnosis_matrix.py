"""Faults in real runs raise their checks and no others; a run without a fault raises none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.cases import Case, explained
from tests.diagnosis.clean import CLEAN
from tests.diagnosis.injections import INJECTIONS
from tests.diagnosis.matrix import problems, tables
from tests.diagnosis.runs import Seen, a_place, run_case
from tuitrain.diagnosis.checks import CHECKS

ALL = {case.name: case for case in (*INJECTIONS, *CLEAN)}
SHORT = ("twice-the-target", "sequential")
"""A double and nothing; a config's fault is with those that are sabotaged. The others are long."""
LINGER_S = 1.5
"""Seconds a run goes on with after its fault has been seen: fewer than where all are run."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in SHORT else pytest.mark.long) for n in ALL],
)
def test_a_run_raises_what_is_wrong_with_it(name: str, tmp_path: Path) -> None:
    with a_place(tmp_path) as place:
        assert problems(ALL[name], run_case(ALL[name], place, LINGER_S)) == []


def test_every_check_has_a_fault() -> None:
    assert {check.id for check in CHECKS} <= {case.check for case in INJECTIONS}
    assert len(ALL) == len(INJECTIONS) + len(CLEAN)
    assert len(CLEAN) >= 20
    assert SYMPTOM in explained("processes")


FAULT = Case("f", "something is wrong", "processes", "12.2")
SYMPTOM = "standstill"
OTHER = "lost_lines"


@pytest.mark.parametrize(
    ("case", "seen", "problem"),
    [
        (FAULT, Seen({"processes": "fail"}, ["processes"]), ""),
        (FAULT, Seen({"processes": "fail", SYMPTOM: "warn"}, ["processes", SYMPTOM]), ""),
        (FAULT, Seen({}, []), "processes was not raised"),
        (FAULT, Seen({"processes": "fail", OTHER: "warn"}, ["processes"]), "lost_lines was raised"),
        (FAULT, Seen({"processes": "fail"}, [OTHER, "processes"]), "named lost_lines, processes"),
        (FAULT, Seen({"processes": "fail"}, []), "named nothing"),
        (Case("c"), Seen(state="finished"), ""),
        (Case("c"), Seen({OTHER: "warn"}, state="finished"), "false alarm: lost_lines"),
        (Case("c"), Seen(state="failed"), "ended as failed"),
    ],
)
def test_what_is_not_as_declared_is_a_problem(case: Case, seen: Seen, problem: str) -> None:
    found = problems(case, seen)
    assert bool(found) == bool(problem)
    assert problem in "".join(found)


def test_the_table_shows_what_was_missed_and_what_was_too_much() -> None:
    cases = [FAULT, Case("g", "else", "spec", "1.2")]
    results = {
        "f": Seen({"processes": "fail", SYMPTOM: "warn", OTHER: "warn"}, ["processes"]),
        "g": Seen(),
        "c": Seen({OTHER: "warn"}),
    }
    text = tables(cases, [Case("c")], results)
    head, _, first, second, *_ = text.split("\n\n")[1].splitlines()
    assert head == "| fault | entry | its check | first | 1 | 2 | 3 | 4 |"
    assert first == "| something is wrong | 12.2 | 1 `processes` | yes | ● |  | ✗ | ○ |"
    assert second == "| else | 1.2 | 2 `spec` | – |  | missed |  |  |"
    assert "3 `lost_lines`, 4 `standstill`" in text
    assert "| c | `lost_lines` |" in text
