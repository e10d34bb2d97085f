"""Every check: not measured is n/a, good is ok, and the fault it exists for is caught."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.diagnosis.faults import FAULTS, change, healthy, snapshot
from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks import BY_ID, CHECKS, all_checks
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
    assert rows[check].catalogue_id
    others = {row.state for row in rows.values() if row.id != check}
    assert others == {"ok"}


@pytest.mark.parametrize(
    ("check", "path", "value"),
    [
        ("replay_ratio", "policies.0.ratio_achieved", None),
        ("replay_ratio", "policies.0.ratio_band_updates", 101.0),
        ("policy_lag", "policies.0.lag_updates_p95", None),
        ("spec", "spec_hash", None),
        ("target_updates", "policies.0.target_updates", None),
        ("non_finite", "policies.0.non_finite", None),
        ("lost_lines", "lost_lines", None),
    ],
)
def test_what_was_not_measured_is_not_ok(check: str, path: str, value: Any) -> None:
    assert states(change(path, value))[check] == "n/a"


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


def beside(state: str, **other: Any) -> Snapshot:
    """A run with one more policy, `z`."""
    out = healthy()
    out.state = state
    out.policies.append(PolicyView(name="z", learning_starts=1000, **other))
    return out


@pytest.mark.parametrize(
    ("state", "other", "judged", "said"),
    [
        ("running", {}, "warn", "policy z has never had a transition"),
        ("paused", {}, "warn", "policy z has never had a transition"),
        ("finished", {}, "warn", "policy z has never had a transition"),
        ("failed", {}, "warn", "policy z has never had a transition"),
        ("running", {"transitions": 9, "warm_up_transitions": 9}, "ok", ""),  # it warms up
        (
            "stopped",
            {"transitions": 9, "warm_up_transitions": 9},
            "warn",
            "policy z has made no update: 9 of 1,000 transitions",
        ),
        ("running", {"transitions": 1000, "updates": 1}, "ok", ""),
        ("finished", {"transitions": 1000, "updates": 1}, "ok", ""),
    ],
)
def test_a_policy_that_does_not_learn_as_others_do_is_named(
    state: str, other: dict[str, Any], judged: str, said: str
) -> None:
    (row,) = [row for row in all_checks(beside(state, **other), LIMITS) if row.id == "left_behind"]
    assert (row.state, row.value) == (judged, "z" if said else "nobody")
    assert row.advice.startswith(said)
    assert bool(row.advice) == bool(said)


@pytest.mark.parametrize(
    ("state", "judged"),
    [("running", "n/a"), ("stopped", "n/a"), ("failed", "n/a"), ("finished", "warn")],
)
def test_where_nobody_has_learned_only_the_end_of_the_plan_is_too_late(
    state: str, judged: str
) -> None:
    out = change("policies.0.updates", 0)
    out.state = state
    assert states(out)["left_behind"] == judged


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
