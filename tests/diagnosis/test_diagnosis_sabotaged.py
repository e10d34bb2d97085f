"""Given a config that does not learn, `tuitrain diagnose` names the true cause first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.diagnosis.cases import Case
from tests.diagnosis.matrix import problems
from tests.diagnosis.runs import a_place, run_case
from tests.diagnosis.sabotaged import FOLDER, REFUSED, RUNS, UNBUILT

SHORT = "tau"


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, id=c.name, marks=() if c.name == SHORT else pytest.mark.long)
        for c in (*RUNS, *UNBUILT)
    ],
)
def test_of_a_run(case: Case, tmp_path: Path) -> None:
    with a_place(tmp_path) as place:
        assert problems(case, run_case(case, place)) == []


@pytest.mark.parametrize("name", REFUSED)
def test_of_a_config_that_is_refused(name: str, tmp_path: Path) -> None:
    with a_place(tmp_path) as place:
        shutil.copy(FOLDER / f"{name}.toml", tmp_path)
        done = place.tuitrain("diagnose", f"{name}.toml", "--json", code=1)
    first = json.loads(done.stdout)["wrong"][0]
    assert REFUSED[name] in first["headline"] + first["value"]


def test_there_is_a_file_for_each() -> None:
    names = {case.name for case in (*RUNS, *UNBUILT)} | REFUSED.keys()
    assert {path.stem for path in FOLDER.glob("*.toml")} == names
