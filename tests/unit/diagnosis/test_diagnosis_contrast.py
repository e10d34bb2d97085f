"""Where no check is raised, it is told how evaluations compare: with chance, with training."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.diagnosis.healthy import change, healthy
from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks import CHECKS, all_checks
from tuitrain.diagnosis.diagnose import Diagnosis, diagnose
from tuitrain.diagnosis.doubts import doubted, noted
from tuitrain.diagnosis.words import lines
from tuitrain.protocol import LearningView, Snapshot

NOTHING = Diagnosis(ok=(CHECKS[0].run(healthy(), ChecksConfig()),))
"""Diagnosed of a run: no cause."""

GREEDY: dict[str, Any] = {"newest": 9.4, "newest_ci95": 0.4, "n_evals": 6, "held_evals": 6}
CHANCE: dict[str, Any] = {"first_return_mean": 23.2, "first_return_ci95": 5.0}
TRAINED: dict[str, Any] = {"recent_return_mean": 150.0, "recent_return_ci95": 30.0}
ALIKE = {"words": "nothing differed in 500 steps", "suspect": False}


def view(verdict: Any, **fields: Any) -> LearningView:
    return LearningView(verdict=verdict, **{**GREEDY, **fields})


def replayed(learning: LearningView, policy: dict[str, Any], state: Any = "finished") -> Snapshot:
    """A run whose only policy has this verdict, and has measured this."""
    snapshot = change("policies.0", {**policy, "learning": learning})
    return snapshot.model_copy(update={"learning": learning, "state": state})


def said(found: Diagnosis) -> str:
    return " ".join(" ".join(lines(found)).split())


def doubt(learning: LearningView, policy: dict[str, Any]) -> str:
    return said(doubted(NOTHING, replayed(learning, policy)))


@pytest.mark.parametrize("verdict", ["TOO EARLY", "FLAT", "IMPROVING", "FLAT AT BEST"])
def test_what_is_worse_than_random_play_is_said_to_be(verdict: str) -> None:
    text = (
        "Nothing was found, but evaluations are worse than random play: 9.4 ± 0.4 in the last 4, "
        "the first episodes, by chance, 23.2 ± 5. Look at what the network is given"
    )
    assert text in doubt(view(verdict), CHANCE)
    assert "random play" not in doubt(view(verdict), CHANCE | {"first_return_ci95": 13.5})
    assert "random play" not in doubt(view(verdict), CHANCE | {"first_return_ci95": None})
    assert "random play" not in doubt(view(verdict, newest=None), CHANCE)


def test_of_rivals_one_is_worse_than_chance() -> None:
    both = replayed(view("TOO EARLY"), CHANCE)
    other = both.policies[0].model_copy(update={"learning": LearningView()})
    both = both.model_copy(update={"policies": [*both.policies, other]})
    assert "random play" not in said(doubted(NOTHING, both))


@pytest.mark.parametrize("verdict", ["TOO EARLY", "FLAT", "FALLING", "FLAT AT BEST"])
def test_evaluations_far_below_training_are_told(verdict: str) -> None:
    text = (
        "evaluations return less than training did meanwhile, though that explores: 9.4 ± 0.4 in "
        "the last 4, training 150 ± 30. Do evaluations play another game"
    )
    assert text in doubt(view(verdict), TRAINED)
    assert "meanwhile" not in doubt(view(verdict), TRAINED | {"recent_return_ci95": 141.0})
    rising = doubt(view("IMPROVING"), TRAINED)
    assert "Nothing is wrong" in rising, "who rises is behind now and then"


def test_where_something_is_raised_the_contrast_is_a_note() -> None:
    snapshot = replayed(view("TOO EARLY"), CHANCE | TRAINED | {"target_kept_at_end": 0.999})
    found = doubted(diagnose(all_checks(snapshot, ChecksConfig()), CHECKS), snapshot)
    assert [one.check.id for one in found.wrong] == ["target_network"]
    worse, below = found.notes
    assert "worse than random play" in worse
    assert "less than training did" in below


@pytest.mark.parametrize("verdict", ["TOO EARLY", "FLAT AT BEST"])
def test_other_settings_are_the_cause_where_training_does_better(verdict: str) -> None:
    for policy, words in ((TRAINED, "less than training"), (CHANCE, "worse than random")):
        snapshot = replayed(view(verdict), policy)
        found = noted(doubted(NOTHING, snapshot), {}, {"flip": True}, None, snapshot)
        (wrong,) = found.wrong
        assert wrong.check.id == "evaluation_env"
        assert words in wrong.check.advice
        assert "Nothing" not in said(found)
        same = noted(doubted(NOTHING, snapshot), {}, {"draw": True}, ALIKE, snapshot)
        assert same.wrong == (), "both were played, and nothing was different"
    calm = replayed(view(verdict), {})
    assert noted(doubted(NOTHING, calm), {}, {"flip": True}, None, calm).wrong == ()


def test_other_settings_in_which_play_is_better_are_no_cause() -> None:
    for newest, causes in ((90.0, 0), (20.0, 1)):
        recent = {"recent_return_mean": 20.0, "recent_return_ci95": 9.0}
        snapshot = replayed(view("FLAT", newest=newest), recent)
        found = noted(doubted(NOTHING, snapshot), {}, {"flip": True}, None, snapshot)
        assert len(found.wrong) == causes


def test_other_settings_stand_behind_what_was_measured() -> None:
    snapshot = replayed(view("TOO EARLY"), TRAINED | {"target_kept_at_end": 0.999})
    found = diagnose(all_checks(snapshot, ChecksConfig()), CHECKS)
    found = noted(found, {}, {"flip": True}, None, snapshot)
    assert [one.check.id for one in found.wrong] == ["target_network", "evaluation_env"]


def test_evaluations_that_are_all_alike_raise_a_question() -> None:
    same: dict[str, Any] = {"newest": None, "alike": 6, "mean": 100.0}
    text = "but each of the last 6 evaluations returned exactly 100. Is that the most that can"
    assert text in doubt(view("TOO EARLY", **same), CHANCE)
    assert "exactly 100. Is that the least" in doubt(view("FLAT", **same), {})
    assert "ends with its first step" in doubt(view("FLAT", **same), {"length_max": 1})
    assert "exactly" not in doubt(view("TOO EARLY", **same | {"alike": 3}), CHANCE)
    assert "exactly" not in doubt(view("TOO EARLY", **same | {"n_evals": 7}), CHANCE)
    assert "Nothing is wrong" in doubt(view("FLAT AT BEST", **same), CHANCE)


def test_what_is_better_than_chance_is_not_called_unknown_altogether() -> None:
    text = "whether it goes on learning is not known: evaluations are better than random play (200"
    assert text in doubt(view("TOO EARLY", newest=200.0), CHANCE)
    assert text not in doubt(view("TOO EARLY", newest=200.0), CHANCE | {"first_return_ci95": 180.0})


HIGH: dict[str, Any] = {"newest": 240.0, "newest_ci95": 30.0, "window": 8}


def test_what_is_flat_and_far_above_chance_has_learned() -> None:
    text = (
        "Nothing was found, and it has learned: 23.2 by chance, 240 now; it no longer gets better "
        "over the last 8 evaluations. If more can be had: try a longer run"
    )
    assert text in doubt(view("FLAT", **HIGH), CHANCE)
    assert "does not learn" not in doubt(view("FLAT", **HIGH), CHANCE)
    for chance in (CHANCE | {"first_return_ci95": 200.0}, {"first_return_ci95": None}):
        assert "but it does not learn (yet)" in doubt(view("FLAT", **HIGH), chance)


@pytest.mark.parametrize(
    ("other", "learned"),
    [("IMPROVING", True), ("FLAT AT BEST", True), ("FLAT", False), ("TOO EARLY", False)],
)
def test_of_several_policies_all_have_learned_or_it_is_not_said(other: str, learned: bool) -> None:
    both = replayed(view("FLAT", **HIGH), CHANCE)
    second = both.policies[0].model_copy(
        update={"name": "b", "learning": view(other, newest=24.0, newest_ci95=5.0)}
    )
    both = both.model_copy(update={"policies": [*both.policies, second]})
    assert ("it has learned" in said(doubted(NOTHING, both))) == learned


SWINGS: dict[str, Any] = {"window": 8, "lowest": 82.75, "highest": 500.0, "unlike": True}


def test_what_has_learned_and_swings_is_called_unstable() -> None:
    text = (
        "Nothing was found, but it is unstable: the last 8 evaluations returned 82.75 to 500, and "
        "chance brings 23.2. Lower learner.lr (0.01), or let it fall (learner.lr_schedule). The "
        "best weights are kept: `tuitrain eval RUN --checkpoint best`."
    )
    rate = {"lr_start": 0.01}
    swings = view("FLAT", **SWINGS, best=500.0)
    assert text in doubt(swings, CHANCE | rate | {"recent_return_mean": 90.0})
    assert text in doubt(swings, CHANCE | rate | TRAINED), "not that they are below training"
    for other in (
        {"unlike": False},  # by noise
        {"lowest": 300.0},  # of 477 gained 200
        {"lowest": 9.2, "highest": 24.0, "best": 24.0},  # nothing was learned
    ):
        flat = {**SWINGS, "best": 500.0, **other}
        assert "unstable" not in doubt(view("FLAT", **flat), CHANCE)
    assert "unstable" not in doubt(swings, {"first_return_mean": None})
    assert "unstable" not in doubt(view("FLAT AT BEST", **SWINGS), CHANCE)


@pytest.mark.parametrize("verdict", ["FALLING", "BELOW BEST"])
def test_what_has_fallen_is_held_against_its_best(verdict: str) -> None:
    text = (
        f"but it has fallen from its best: evaluations are {verdict}, 90 on average in the last 4, "
        "480 in the best one. Lower learner.lr, or let it fall"
    )
    assert text in doubt(view(verdict, newest=90.0, best=480.0), CHANCE | {"lr_start": None})


FEW: dict[str, Any] = {"updates": 98, "ratio_target": 0.001, "eval_return_mean": 9.4}


def test_hardly_any_updates_are_the_likely_cause_of_what_does_not_learn() -> None:
    text = (
        "Nothing was found, but it does not learn (yet): evaluations are FLAT, and its network has "
        "had only 98 updates. Hardly anything is learned in fewer than 1,000: raise "
        "learner.replay_ratio (0.001 updates per transition) or run.total_steps. 1 check"
    )
    none = {"newest": None}  # of weights with fewer than 500 updates
    assert text in doubt(view("FLAT", **none), CHANCE | FEW)
    assert "has had only 999 updates" in doubt(view("FLAT"), CHANCE | FEW | {"updates": 999})
    for fields in ({"updates": 1_000}, {"eval_return_mean": 90.0, "eval_return_ci95": 9.0}):
        assert "has had only" not in doubt(view("FLAT", **none), CHANCE | FEW | fields)
    assert "exactly 100" in doubt(view("FLAT", **none, alike=6, mean=100.0), FEW), "solved?"
    assert "has had only" not in doubt(view("IMPROVING", **none), CHANCE | FEW)


def test_a_run_that_ended_too_early_after_hardly_any_updates_says_so() -> None:
    early = view("TOO EARLY", newest=None)
    text = "it is TOO EARLY to say, and its network has had only 98 updates. Hardly anything is"
    assert text in doubt(early, CHANCE | FEW)
    working = replayed(early, CHANCE | FEW, "running")
    assert "has had only" not in said(doubted(NOTHING, working))
    assert "has had only" not in doubt(early, CHANCE | FEW | {"updates": 0})


def test_a_run_that_was_too_short_says_for_which_checks() -> None:
    few = {"learner_records": 2, "observation_spread": None, "grad_zero_share": None}
    for state, told in (("finished", True), ("running", False)):
        snapshot = replayed(LearningView(verdict="IMPROVING"), few | {"q_bound": None}, state)
        found = doubted(diagnose(all_checks(snapshot, ChecksConfig()), CHECKS), snapshot)
        text = "too short to measure 3 checks: observations, gradient flow, max |Q|"
        assert any(text in note for note in found.notes) == told
        assert "gradient flow (2 of 3 learner records)" in said(found)


@pytest.mark.parametrize(
    ("advice", "headline"),
    [
        (
            'a0 is started again: hung in "env step" for 12 s: my.py:7 in step',
            'a0 had to be started again: hung in "env step" for 12 s: my.py:7 in step.',
        ),
        (
            "a1 is started again: exit code 1: OSError: gone (my.py:9 in step)",
            "a1 had to be started again: exit code 1: OSError: gone (my.py:9 in step).",
        ),
        ("", "A worker has failed."),
    ],
)
def test_the_headline_of_who_is_started_again_says_of_what(advice: str, headline: str) -> None:
    check = CHECKS[1].run(healthy(), ChecksConfig())
    assert check.id == "processes"
    raised = check.model_copy(update={"state": "warn", "advice": advice})
    assert diagnose([raised], CHECKS).wrong[0].headline == headline


@pytest.mark.parametrize(
    ("advice", "headline"),
    [
        (
            "eval: exit code 1: OSError: gone (my.py:9 in step); its traceback and log: `x`",
            "The environment raised, in eval: OSError: gone (my.py:9 in step)",
        ),
        (
            "eval: exit code 1: OSError: gone (my.py:9 in forward); its traceback and log: `x`",
            "eval has failed: OSError: gone (my.py:9 in forward)",
        ),
        (
            "eval: exit code 3; its traceback and log: `x`",
            "eval has failed: exit code 3, without an error: does something in it call exit()?",
        ),
    ],
)
def test_the_headline_of_a_failure_says_whose_it_is(advice: str, headline: str) -> None:
    check = CHECKS[1].run(healthy(), ChecksConfig())
    raised = check.model_copy(update={"state": "fail", "advice": advice})
    assert diagnose([raised], CHECKS).wrong[0].headline == headline


def test_of_several_policies_the_one_with_the_worst_verdict_is_spoken_of() -> None:
    """▣ The first one is fine, and what it has had says nothing of the other."""
    fallen = view("BELOW BEST", policy="b", newest=90.0, best=480.0)
    both = replayed(fallen, CHANCE)
    well, worst = (
        both.policies[0].model_copy(update={"name": name, "lr_start": rate, "learning": learning})
        for name, rate, learning in (("a", 0.5, view("IMPROVING")), ("b", 0.25, fallen))
    )
    text = said(doubted(NOTHING, both.model_copy(update={"policies": [well, worst]})))
    assert "90 on average in the last 4, 480 in the best one. Lower learner.lr (0.25)" in text
