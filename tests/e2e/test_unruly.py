"""Environments that misbehave: contained, named with the place in their code, nothing left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import FOREVER, Place, Run

STEPS = 3_000
UNRULY = Path(__file__).with_name("unruly.py")


def long(*values: str) -> Any:
    """A case for the long suite: one of its kind is enough elsewhere."""
    return pytest.param(*values, marks=pytest.mark.long)


def unruly(
    what: str, worker: str = "a0", where: str = "step", actors: int = 1, **supervisor: Any
) -> dict[str, Any]:
    """Tables of a run in which one worker's environment misbehaves."""
    kwargs = {"worker": worker, "what": what, "where": where}
    return {
        "eval": {"enabled": worker == "eval", "episodes": 4},
        "env": {"id": f"{UNRULY}:Unruly", "kwargs": kwargs},
        "actors": {"count": actors, "envs_per_actor": 4, "chunk_steps": 8},
        "supervisor": {"heartbeat_s": 0.1, "max_restarts": 0, **supervisor},
    }


def failed(place: Place, schedule: str = "async", **tables: Any) -> tuple[Run, dict[str, Any]]:
    """A run that must fail, and what is told of its failure first."""
    tables["run"] = {"total_steps": FOREVER, "schedule": schedule, **tables.get("run", {})}
    place.tuitrain("launch", place.config(**tables), "--headless", code=3)
    (run,) = place.runs()
    return run, next(e for e in run.events() if e["level"] == "error")


def line_of(text: str) -> int:
    """Number of the only line of `unruly.py` that begins with this, blanks aside."""
    (number,) = [
        n
        for n, line in enumerate(UNRULY.read_text().splitlines(), 1)
        if line.strip().startswith(text)
    ]
    return number


@pytest.mark.parametrize(
    ("what", "schedule", "worker", "where"),
    [
        # a run that goes on after it, below, names it too
        long("sleep_for_ever", "async", "a0", "time.sleep(3600)"),
        long("sleep_for_ever", "lockstep", "eval", "time.sleep(3600)"),
        long("hold_the_interpreter", "sequential", "trainer", "ctypes.PyDLL(None).sleep(3600)"),
    ],
)
def test_an_environment_that_blocks_is_named_with_its_line(
    place: Place, what: str, schedule: str, worker: str, where: str
) -> None:
    phase = "evaluate" if worker == "eval" else "env step"
    tables = unruly(what, worker, phase_deadline_s={phase: 1.5})
    run, event = failed(place, schedule, **tables)
    assert event["source"] == worker
    named_with_its_line(run, event, phase, what, where)


def named_with_its_line(run: Run, event: dict[str, Any], phase: str, what: str, where: str) -> None:
    assert f'failed, hung in "{phase}" for ' in event["text"]
    assert event["text"].endswith(f" s: unruly.py:{line_of(where)} in {what}")
    assert f"in {what}" in event["data"]["log"][1]  # the innermost frame comes first
    log = (run.path / "logs" / f"{event['source']}.log").read_text()
    assert "stacks of all threads" in log
    assert "in _watch_lifeline" in log  # of another thread


@pytest.mark.long  # it waits for a deadline that a busy machine needs to start a process
@pytest.mark.parametrize("where", ["init", "reset"])
def test_an_environment_that_never_starts_is_named_too(place: Place, where: str) -> None:
    tables = unruly("sleep_for_ever", "probe", where, startup_deadline_s=15.0)
    _, event = failed(place, **tables)
    assert "probe (probe) failed, not ready within 15 s of its start: unruly.py:" in event["text"]


@pytest.mark.long  # of a fake: `tests/unit/supervisor/test_supervisor_hang.py`
def test_who_has_taken_the_signal_for_stacks_is_killed_without(place: Place) -> None:
    what = "replace_every_handler_and_sleep"
    tables = unruly(what, "trainer", phase_deadline_s={"env step": 1.5})
    _, event = failed(place, "sequential", **tables)
    assert 'hung in "env step" for 1.5 s: no stacks could be had' in event["text"]


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("stop_holding_a_lock", "it is stopped (by SIGSTOP or the like)"),
        long("hang_holding_a_lock", "in sleep_for_ever"),
    ],
)
def test_who_holds_a_lock_for_ever_is_the_cause_and_not_those_who_waited(
    place: Place, what: str, where: str
) -> None:
    # Only the lock's deadline is near: the holder is found by the complaints of others.
    run, event = failed(place, **unruly(what, actors=2, lock_deadline_s=1.0))
    assert event["source"] == "a0"
    assert ", holding a lock for which " in event["text"]
    assert event["text"].endswith(where)
    assert "hung" in run.summary()["reason"]
    for other in (e for e in run.events() if "LockTimeout" in e["text"]):
        assert ", held up by a0: LockTimeout: lock 'limiter'" in other["text"]
    assert not any("did not stop" in e["text"] for e in run.events())


@pytest.mark.parametrize(
    ("what", "told"),
    [
        long("exit_quietly", "exit code 0 without having been told to stop, by its environment?"),
        long("system_exit", "exit code 1: SystemExit: 0"),
        long("keyboard_interrupt", "exit code 1: KeyboardInterrupt"),
        long("default_alarm", "killed by SIGALRM (a timer that its environment has set)"),
        ("close_descriptors", "exit code 74 (it could not tell why, its pipe to the supervisor"),
        long("close_all_descriptors", "exit code 74 (it could not tell why, its pipe to the"),
    ],
)
def test_an_environment_that_ends_its_process_is_named(place: Place, what: str, told: str) -> None:
    run, event = failed(place, "sequential", **unruly(what, "trainer"))
    assert event["source"] == "trainer"
    assert f"trainer (trainer) failed, {told}" in event["text"]
    assert run.summary()["failure"]["worker"] == "trainer"
    errors = [e["source"] for e in run.events() if e["level"] == "error"]
    assert errors == ["trainer", "supervisor"]


def test_an_environment_that_grows_is_ended_before_the_machine_is_full(place: Place) -> None:
    tables = unruly("grow", "trainer", worker_memory_limit_mib=1_500)
    _, event = failed(place, "sequential", **tables)
    assert event["source"] == "trainer"
    assert "MiB, over supervisor.worker_memory_limit_mib = 1500" in event["text"]


@pytest.mark.parametrize(("schedule", "worker"), [long("async", "a0"), ("sequential", "trainer")])
def test_what_an_environment_does_to_its_own_process_harms_nobody(
    place: Place, schedule: str, worker: str
) -> None:
    tables = unruly("everything_at_once", worker)
    tables["run"] = {"schedule": schedule, "total_steps": STEPS}
    done = place.tuitrain("launch", place.config(**tables), "--headless")
    (run,) = place.runs()
    assert run.summary()["state"] == "finished"
    assert not [e for e in run.events() if e["level"] == "error"]
    log = (run.path / "logs" / f"{worker}.log").read_bytes()
    assert b"garbage" in log
    assert b"stdin says ''" in log
    assert b"a process forked by the environment went on as the worker" in log
    assert b"RuntimeError: the child's own trouble" in log
    assert "garbage" not in done.stdout + done.stderr
    assert place.tuitrain("eval", "--episodes", "2").stdout


@pytest.mark.parametrize("what", ["sleep_for_ever", long("stop_holding_a_lock")])
def test_a_run_goes_on_after_one_hang(place: Place, what: str) -> None:
    tables = unruly(what, phase_deadline_s={"env step": 1.5}, lock_deadline_s=30.0, max_restarts=2)
    tables["run"] = {"total_steps": STEPS}
    tables["env"]["kwargs"]["once"] = True
    place.tuitrain("launch", place.config(**tables), "--headless")
    (run,) = place.runs()
    summary = run.summary()
    assert summary["state"] == "finished"
    assert summary["restarts"] == {"a0": 1}
    (event,) = (e for e in run.events() if 'a0 (actor) failed, hung in "env step"' in e["text"])
    if what == "sleep_for_ever":
        named_with_its_line(run, event, "env step", what, "time.sleep(3600)")


@pytest.mark.long  # of a fake: `tests/unit/cli/test_cli_evaluate.py`
def test_an_environment_that_ends_an_evaluation_by_hand_is_told_of(place: Place) -> None:
    # no worker is called so, but a process that plays by hand is
    tables = unruly("exit_quietly", "MainProcess", "reset")
    place.tuitrain("launch", place.config(**tables), "--headless", "--schedule", "sequential")
    told = place.tuitrain("eval", "--episodes", "2", code=2)
    assert told.stdout == ""
    assert "playing the environment failed: its process ended: exit code 0" in told.stderr
