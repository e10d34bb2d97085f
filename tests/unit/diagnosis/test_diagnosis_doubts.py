"""What a diagnosis says besides causes: doubts where nothing was found, notes on evaluations."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.diagnosis.faults import ENDLESS, FLAT
from tests.unit.diagnosis.healthy import change
from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks import CHECKS, all_checks
from tuitrain.diagnosis.diagnose import Diagnosis, diagnose
from tuitrain.diagnosis.doubts import doubted, noted
from tuitrain.diagnosis.words import lines
from tuitrain.protocol import LearningView


def diagnosed(path: str, value: Any, **of_run: Any) -> Diagnosis:
    snapshot = change(path, value).model_copy(update=of_run)
    return doubted(diagnose(all_checks(snapshot, ChecksConfig()), CHECKS), snapshot)


def said(found: Diagnosis) -> str:
    return " ".join(" ".join(lines(found)).split())


@pytest.mark.parametrize(
    ("verdict", "doubt"),
    [
        ("FLAT", "does not learn (yet): evaluations are FLAT. Try a longer run, or"),
        ("FALLING", "it has fallen from its best: evaluations are FALLING. Lower learner.lr"),
        ("BELOW BEST", "it has fallen from its best: evaluations are BELOW BEST. Lower"),
        ("FLAT AT BEST", ""),
        ("TOO EARLY", "whether it learns is not known: it is TOO EARLY to say. "),
        ("n/a", "whether it learns is not known: nobody says. "),
    ],
)
def test_what_does_not_learn_is_not_called_well(verdict: Any, doubt: str) -> None:
    found = diagnosed("learning", LearningView(verdict=verdict, held_evals=1))
    assert found.wrong == ()
    assert ("Nothing is wrong" in said(found)) == (not doubt)
    assert doubt in said(found)


def test_a_run_whose_episodes_do_not_end_is_not_called_well() -> None:
    early = {"learning": LearningView(verdict="TOO EARLY")}
    found = diagnosed("policies.0", ENDLESS | {"steps_each": 9.0}, **early)
    assert found.wrong == ()
    assert "Nothing was found, but it does not learn (yet): no episode has ended" in said(found)
    begun = diagnosed("policies.0", ENDLESS | {"steps_each": 9.0, "updates": 0}, **early)
    assert "no episode has ended" not in said(begun)
    learns = diagnosed("policies.0", {"episodes": None, "steps_each": 2e3, "eval_steps_max": 300})
    assert "Nothing is wrong" in said(learns), "a task without an end"


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


TRIED = {"words": "from the same seed they lead elsewhere from step 3 on", "suspect": True}
ALIKE = {"words": "nothing differed in 500 steps", "suspect": False}


def test_what_came_of_playing_both_is_said_of_other_settings() -> None:
    found = noted(diagnosed("seq", 2), {}, {"gravity": 30.0}, TRIED)
    assert found.wrong == ()
    assert "(env.eval_kwargs). From the same seed they lead elsewhere from step 3 on." in said(
        found
    )
    flat = noted(diagnosed("policies.0.learning", FLAT), {}, {"gravity": 30.0}, TRIED)
    assert flat.wrong[0].check.id == "evaluation_env"
    assert flat.wrong[0].check.advice.startswith("from the same seed they lead elsewhere")
    early = diagnosed("learning", LearningView(verdict="FLAT", held_evals=1))
    flat_now = change("learning", LearningView(verdict="FLAT", held_evals=1))
    early = noted(early, {}, {"gravity": 30.0}, TRIED, flat_now)
    assert early.wrong[0].check.advice.startswith("evaluations are FLAT; from the same seed they")


def test_settings_that_change_nothing_are_no_cause() -> None:
    flat = noted(diagnosed("policies.0.learning", FLAT), {}, {"draw": True}, ALIKE)
    assert [one.check.id for one in flat.wrong] == ["learning"]
    assert "(env.eval_kwargs), but nothing differed in 500 steps." in said(flat)


def ends(**fields: Any) -> str:
    """What is said of ends where evaluations are flat; 1,000 episodes of 5 to 200 steps."""
    snapshot = change("learning", LearningView(verdict=fields.pop("verdict", "FLAT")))
    given = {"episodes": 1_000, "length_min": 5, "length_max": 200, "truncated": 0} | fields
    for name, value in given.items():
        setattr(snapshot.policies[0], name, value)
    found = doubted(diagnose(all_checks(snapshot, ChecksConfig()), CHECKS), snapshot)
    return " ".join(found.notes)


def test_a_time_limit_that_is_told_as_an_end_is_noted_where_it_does_not_learn() -> None:
    text = "50 of 1,000 episodes were terminated after exactly 200 steps, and none took longer"
    for verdict in ("FLAT", "FALLING", "BELOW BEST"):
        assert text in ends(longest_terminated=50, verdict=verdict)
    assert ends(longest_terminated=50, verdict="IMPROVING") == ""
    assert ends(longest_terminated=49) == ""
    assert ends(longest_terminated=19, episodes=100) == ""
    assert ends(longest_terminated=950, length_min=100) == "", "they may be meant to be alike"
    assert ends(longest_terminated=None) == ""
    assert ends(longest_terminated=900, agents=2) == "", "of several agents nothing is known"


def test_ends_that_are_kept_across_a_reset_are_noted_where_it_does_not_learn() -> None:
    text = "300 of 1,000 episodes ended with their first step: is an end, or a count of steps, kept"
    assert text in ends(at_once=300)
    assert ends(at_once=300, verdict="IMPROVING") == ""
    assert ends(at_once=299) == ""
    assert ends(at_once=1_000, length_max=1) == "", "a task of one step"


def test_other_settings_do_not_hide_a_cause_that_was_measured() -> None:
    found = diagnosed("policies.0", {"learning": FLAT, "target_kept_at_end": 0.999})
    assert [w.check.id for w in noted(found, {}, {"gravity": 30.0}).wrong] == ["target_network"]


def test_a_discount_of_0_is_noted_where_episodes_have_several_steps() -> None:
    found = diagnosed("policies.0", {"gamma": 0.0})
    assert found.wrong == ()
    assert "Note: learner.gamma = 0: nothing counts but the next reward" in said(found)
    for other in ({"gamma": 0.0, "length_max": 1}, {"gamma": 0.5}):
        assert "learner.gamma" not in said(diagnosed("policies.0", other))
