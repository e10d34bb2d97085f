"""Every check: not measured is n/a, good is ok, and the fault it exists for is caught."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.diagnosis.faults import ENDLESS, FAULTS
from tests.unit.diagnosis.healthy import change, healthy, snapshot, waiting
from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks import BY_ID, CHECKS, all_checks
from tuitrain.diagnosis.headlines import headline
from tuitrain.measurements import NetworkMeasured
from tuitrain.protocol import PolicyView, Snapshot, WeightsHeld

LIMITS = ChecksConfig()


def states(of: Snapshot) -> dict[str, str]:
    return {check.id: check.state for check in all_checks(of, LIMITS)}


def test_before_anything_is_measured_nothing_is_ok() -> None:
    assert set(states(snapshot(state="starting")).values()) == {"n/a"}


def test_a_healthy_run_has_every_check_ok() -> None:
    assert set(states(healthy()).values()) == {"ok"}
    assert len(states(healthy())) == len(CHECKS)


def test_every_check_says_in_a_sentence_why_it_matters() -> None:
    assert len(BY_ID) == len(CHECKS)
    for check in CHECKS:
        assert re.fullmatch(r"[A-Z][^.]+\.", check.why), "one sentence"


def test_the_guide_has_every_check() -> None:
    page = Path(__file__).parents[3] / "docs" / "guide" / "checks.md"
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    assert rows == [f"| `{c.id}` | {c.why} | {c.catalogue_id} |" for c in CHECKS]


def test_how_hashes_of_weights_are_measured_is_said_while_it_can_be_done() -> None:
    for state, said in (("running", True), ("finished", False)):
        (row,) = (r for r in all_checks(snapshot(state=state), LIMITS) if r.id == "weights_hash")
        assert (row.state, "key s" in row.advice) == ("n/a", said)


def test_every_check_has_a_fault() -> None:
    assert {check for check, *_ in FAULTS} == {row.id for row in all_checks(healthy(), LIMITS)}


@pytest.mark.parametrize(("check", "path", "value", "state", "said"), FAULTS)
def test_the_fault_is_caught_and_advice_given(
    check: str, path: str, value: Any, state: str, said: str
) -> None:
    rows = {row.id: row for row in all_checks(change(path, value), LIMITS)}
    assert rows[check].state == state
    assert said in rows[check].advice + rows[check].value
    assert "default: " not in rows[check].advice, "the only policy's name says nothing"
    assert rows[check].catalogue_id
    raised = {row.id for row in rows.values() if row.state in ("warn", "fail")}
    assert raised - set(BY_ID[check].explains) == {check}


@pytest.mark.parametrize("own", [True, False])
def test_numbers_that_are_none_are_said_to_be_the_network_s_where_it_gives_them(own: bool) -> None:
    measured = {"network": NetworkMeasured(no_numbers=own), "non_finite": 1}
    checks = all_checks(change("policies.0", measured), LIMITS)
    (found,) = (one for one in checks if one.id == "non_finite")
    said = "The network gives no numbers (NaN)" if own else "Loss, action values or gradients are"
    assert headline(found).startswith(said)


def test_a_network_that_could_not_be_asked_is_not_called_well() -> None:
    out = change("policies.0.network", NetworkMeasured(asked=False))
    assert states(out)["network"] == "n/a"


def test_who_works_for_long_or_has_finished_stands_not_still() -> None:
    """An evaluation, a save; or a learner that waits for the last of its peers."""
    for state in ("running", "paused", "finished"):
        out = change("processes", waiting())
        out.processes[1].state = state
        assert states(out)["standstill"] == ("fail" if state == "finished" else "ok")
    out = change("processes", waiting())
    out.processes[0].beat_age_s = 61.0
    assert states(out)["standstill"] == "ok"


@pytest.mark.parametrize(
    ("training", "evaluation", "state"),
    [
        ((1.0, 1.0), (0.01, 0.01), "warn"),
        ((-1.0, -1.0), (1.0, 1.0), "warn"),
        ((0.0, 1.0), (100.0, 900.0), "warn"),
        ((1.0, 1.0), (1.0, 1.0), "ok"),
        ((0.1, 0.1), (0.100001, 0.100001), "ok"),  # of another width of numbers
        ((-1.0, -1.0), (-1.0, 100.0), "ok"),  # it has found the goal
        ((0.0, 0.0), (0.0, 1.0), "ok"),
        ((-16.0, -1.0), (-0.9, -0.1), "ok"),  # it does better than ever before
        ((0.0, 0.0), (0.0, 0.0), "ok"),
        ((None, None), (1.0, 1.0), "ok"),
        ((1.0, 1.0), (None, None), "ok"),
        ((1.0, 1.0), (float("nan"), 9.0), "ok"),
    ],
)
def test_evaluations_that_are_paid_otherwise(training: Any, evaluation: Any, state: str) -> None:
    out = healthy()
    (policy,) = out.policies
    policy.returns_abs_max = 1.0
    policy.reward_min, policy.reward_max = training
    policy.eval_reward_min, policy.eval_reward_max = evaluation
    assert states(out)["evaluation_env"] == state
    policy.reset_difference_p = None
    assert states(out)["evaluation_env"] == (state if state == "warn" else "n/a")
    policy.episodes = 49
    assert states(out)["evaluation_env"] == "n/a"


@pytest.mark.parametrize(
    ("evaluation", "state"),
    [((-10.0, -10.0), "ok"), ((10.0, 10.0), "warn"), ((-900.0, 0.0), "ok"), ((0.0, 0.0), "warn")],
)
def test_rewards_clipped_in_training_alone_are_no_other_game(evaluation: Any, state: str) -> None:
    out = healthy()
    (policy,) = out.policies
    policy.reward_min = policy.reward_max = -1.0
    policy.eval_reward_min, policy.eval_reward_max = evaluation
    policy.eval_kwargs = "{'clip': False}"
    assert states(out)["evaluation_env"] == state


@pytest.mark.parametrize(
    "check",
    ["episode_ends", "action_effect", "overwritten"],
)
def test_of_several_agents_not_everything_can_be_said(check: str) -> None:
    """They come and leave, act in turn, and see what others did."""
    (fault,) = [f for f in FAULTS if f[0] == check][:1]
    out = change(fault[1], fault[2])
    assert states(out)[check] in ("warn", "fail")
    out.policies[0].agents = 2
    assert states(out)[check] == "n/a"
    out.policies[0].agents = 1
    out.policies.append(PolicyView(name="z", updates=1))
    assert states(out)[check] == "n/a"


@pytest.mark.parametrize(
    ("rows", "over", "episodes", "state"),
    [(5_001, 0, None, "warn"), (5_000, 0, None, "n/a"), (9e4, 1, None, "n/a"), (9e4, 0, 400, "ok")],
)
def test_an_evaluation_that_goes_on_and_on_is_told(
    rows: float, over: int, episodes: int | None, state: str
) -> None:
    """Who trains in the same process gets no further, so nothing else would be measured."""
    out = change("policies.0", ENDLESS | {"episodes": episodes, "steps_each": 640.0})
    out.processes[0].counters = {"eval_rows": rows, "eval_over": over}
    assert states(out)["episode_ends"] == state


@pytest.mark.parametrize("nothing", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("check", "names"),
    [
        ("q_bound", ["q_max_abs"]),
        ("q_bound", ["q_bound"]),
        ("grad_norm", ["grad_norm"]),
        ("grad_norm", ["td_abs_mean"]),
        ("reward_scale", ["returns_abs_max"]),
        ("reward_signal", ["returns_abs_max"]),
        ("observations", ["observation_spread"]),
        ("grad_flow", ["grad_zero_share"]),
        ("lr", ["lr", "lr_start", "lr_planned"]),
    ],
)
def test_what_is_no_number_is_not_ok(check: str, names: list[str], nothing: float) -> None:
    assert states(change("policies.0", dict.fromkeys(names, nothing)))[check] == "n/a"


def test_causes_are_said_before_what_follows_from_them() -> None:
    """▣ No check explains itself, by whatever way; and all that explain something stand first."""
    order = [check.id for check in CHECKS]
    for check in CHECKS:
        for effect in check.explains:
            assert order.index(check.id) < order.index(effect), (check.id, effect)
    assert order[-1] == "learning"


@pytest.mark.parametrize(
    ("steps_per_s", "elapsed_s", "state", "value"),
    [
        (2.0, 31.0, "ok", "500/1000 ETA 250s"),
        (0.5, 31.0, "warn", "500/1000 ETA 1000s"),
        (0.5, 1.0, "ok", "500/1000 ETA 1000s"),  # too early to know the speed
        (0.0, 31.0, "ok", "500/1000"),  # paused, say; whoever is stuck shows as no progress
        (None, 31.0, "ok", "500/1000"),
    ],
)
def test_warm_up_says_how_long_it_will_take_and_warns_if_that_is_long(
    steps_per_s: float | None, elapsed_s: float, state: str, value: str
) -> None:
    out = change("policies.0.warm_up_transitions", 500)
    policy = out.policies[0]
    policy.ratio_updates, policy.ratio_achieved = 0, None
    policy.transitions = out.steps = 500
    out.steps_per_s, out.elapsed_s = steps_per_s, elapsed_s
    (row,) = [row for row in all_checks(out, LIMITS) if row.id == "warm_up"]
    assert (row.state, row.value) == (state, value)
    assert ("learning_starts" in row.advice) == (state == "warn")


def test_a_worker_that_is_started_again_is_no_good_sign() -> None:
    out = change("processes.1.restarts", 2)
    assert states(out)["processes"] == "ok"
    out.processes[1].state = "starting"
    found = {row.id: row for row in all_checks(out, LIMITS)}["processes"]
    assert (found.state, found.value) == ("warn", "1 up, 2 deaths")
    assert "a0" in found.advice


def test_waiting_without_progress_is_healthy() -> None:
    out = change("processes.1.progress_age_s", 5000.0)
    out.processes[1].state = "waiting"
    assert states(out)["progress"] == "ok"


def test_different_versions_may_have_different_hashes() -> None:
    out = change("processes.1.weights.default", WeightsHeld(version=6, sha256="bb"))
    assert states(out)["weights_hash"] == "ok"


def test_the_worst_come_first() -> None:
    out = change("policies.0.non_finite", 3)
    out.processes[0].beat_age_s = 9.0
    rows = all_checks(out, LIMITS)
    assert [row.state for row in rows[:2]] == ["fail", "warn"]


def test_how_far_the_test_of_actions_is_can_be_seen() -> None:
    early = {"action_effect_p": None, "action_effect_rows": 655, "action_effect_rows_wanted": 9600}
    rows = {row.id: row for row in all_checks(change("policies.0", early), LIMITS)}
    assert rows["action_effect"].value == "655 of 9,600 random rows"


LINE = "exit code 1: KeyError: 'price' (shop.py:8 in step)"


@pytest.mark.parametrize(
    ("fields", "value", "advice", "said"),
    [
        (
            {"state": "starting", "died_of": LINE},
            "1 up, 3 deaths",
            f"a0 is started again: {LINE}",
            "a0 had to be started again",
        ),
        (
            {
                "state": "failed",
                "error": f"a0 (actor) failed, {LINE}; it is not started again: no",
                "died_of": LINE,
            },
            "a0 failed, 4 deaths",
            f"a0: a0 (actor) failed, {LINE}; it is not started again: no",
            "The environment raised",
        ),
    ],
)
def test_who_dies_is_counted_and_where_its_traceback_is_and_what_to_mend_is_told(
    fields: dict[str, Any], value: str, advice: str, said: str
) -> None:
    found = BY_ID["processes"].run(change("processes.1", {"restarts": 3, **fields}), ChecksConfig())
    assert found.value == value
    told = "; its traceback and log: `tuitrain logs n a0`; mend shop.py:8"
    assert found.advice == advice + told
    assert said in headline(found)
    assert "tuitrain logs" not in headline(found)


def test_who_went_back_for_another_has_nothing_to_mend() -> None:
    of = change("processes.1", {"state": "starting", "rolled_back": 1})
    assert BY_ID["processes"].run(of, ChecksConfig()).advice == (
        "a0 is started again: another worker had died"
    )
