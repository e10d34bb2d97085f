"""What a diagnosis says besides causes: doubts where nothing was found, notes on evaluations."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.diagnosis.faults import FLAT, change
from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks import CHECKS, all_checks
from tuitrain.diagnosis.diagnose import Diagnosis, diagnose
from tuitrain.diagnosis.doubts import doubted, noted
from tuitrain.diagnosis.told import lines
from tuitrain.protocol import LearningView


def diagnosed(path: str, value: Any) -> Diagnosis:
    snapshot = change(path, value)
    return doubted(diagnose(all_checks(snapshot, ChecksConfig()), CHECKS), snapshot)


def said(found: Diagnosis) -> str:
    return " ".join(" ".join(lines(found)).split())


@pytest.mark.parametrize(
    ("verdict", "doubt"),
    [
        ("FLAT", "does not learn (yet): evaluations are FLAT. Try a longer run, or"),
        ("FALLING", "does not learn (any more): evaluations are FALLING. Try"),
        ("BELOW BEST", "does not learn (any more): evaluations are BELOW BEST. Try"),
        ("FLAT AT BEST", ""),
        ("TOO EARLY", ""),
    ],
)
def test_what_does_not_learn_is_not_called_well(verdict: Any, doubt: str) -> None:
    found = diagnosed("learning", LearningView(verdict=verdict, held_evals=1))
    assert found.wrong == ()
    assert ("Nothing is wrong" in said(found)) == (not doubt)
    assert doubt in said(found)


def test_a_run_whose_episodes_do_not_end_is_not_called_well() -> None:
    found = diagnosed("policies.0", {"episodes": None, "steps_each": 9.0})
    assert found.wrong == ()
    assert "Nothing was found, but it does not learn (yet): no episode has ended" in said(found)
    early = diagnosed("policies.0", {"episodes": None, "steps_each": 9.0, "updates": 0})
    assert "Nothing is wrong" in said(early)


def test_what_is_wrong_needs_no_doubt() -> None:
    assert "Nothing" not in said(diagnosed("policies.0.learning", FLAT))


def test_other_settings_of_evaluations_are_noted_first() -> None:
    found = noted(diagnosed("seq", 2), {"size": 3, "gravity": 9.8}, {"gravity": 30.0})
    assert found.wrong == ()
    assert said(found).startswith(
        "Note: Evaluations play with gravity = 30.0, training with gravity = 9.8: what is learned "
        "may not hold there (env.eval_kwargs). Nothing is wrong"
    )
    (note,) = noted(Diagnosis(), {}, {"a": 1, "b": "x"}).notes
    assert "with a = 1, b = 'x', training without:" in note
    assert noted(Diagnosis(), {"gravity": 1}, {}) == Diagnosis()


def test_other_settings_are_the_cause_where_it_does_not_learn() -> None:
    flat = noted(diagnosed("policies.0.learning", FLAT), {}, {"gravity": 30.0})
    (wrong,) = flat.wrong
    assert (wrong.check.id, wrong.check.value) == ("evaluation_env", "gravity = 30.0")
    assert [check.id for check in wrong.leads_to] == ["learning"]
    assert "evaluation_env" not in {check.id for check in flat.ok}
    assert "learning" not in {check.id for check in (*flat.ok, *flat.not_measured)}


def test_other_settings_do_not_hide_a_cause_that_was_measured() -> None:
    found = diagnosed("policies.0", {"learning": FLAT, "target_kept_at_end": 0.999})
    assert [w.check.id for w in noted(found, {}, {"gravity": 30.0}).wrong] == ["target_network"]
