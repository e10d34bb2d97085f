"""Which command is started when, with which facts, and what is told of it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tuitrain.config.unattended import HooksConfig
from tuitrain.protocol import PolicyView, Snapshot
from tuitrain.supervisor.hooks.hook_guard import Task
from tuitrain.supervisor.hooks.hook_process import HookProcess
from tuitrain.supervisor.hooks.hooks import Hooks, facts_of, variables
from tuitrain.supervisor.journal import Journal


class Started:
    """Instead of processes: what was started, and its end by hand."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.ends: list[Callable[[str | None], None]] = []
        self.killed: list[str] = []
        self.error: Exception | None = None

    def __call__(self, task: Task, on_end: Callable[[str | None], None]) -> HookProcess:
        if self.error is not None:
            raise self.error
        self.tasks.append(task)
        self.ends.append(on_end)
        return cast(HookProcess, self)

    def kill(self, why: str) -> None:
        self.killed.append(why)
        self.ends[-1](why)

    @property
    def told(self) -> list[tuple[str, int]]:
        """(steps, left out) of every start."""
        return [
            (t["environment"]["TUITRAIN_STEPS"], int(t["environment"]["TUITRAIN_LEFT_OUT"]))
            for t in self.tasks
        ]


@pytest.fixture
def started() -> Started:
    return Started()


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    journal = Journal(tmp_path / "events.jsonl", tmp_path / "metrics.jsonl")
    yield journal
    journal.close()


def hooks(tmp_path: Path, journal: Journal, started: Started, **config: Any) -> Hooks:
    config = {"on_eval": "a", "on_checkpoint": ["b", "c"], **config}
    return Hooks(HooksConfig(**config), tmp_path, tmp_path / "logs", journal, started)


async def test_a_line_is_for_the_shell_a_list_is_a_program(
    tmp_path: Path, journal: Journal, started: Started
) -> None:
    made = hooks(tmp_path, journal, started, timeout_s=7.0)
    made.happened("eval", {"steps": 5})
    made.happened("checkpoint", {"steps": 6})
    made.happened("end", {"steps": 7})  # none is given
    assert [t["argv"] for t in started.tasks] == [["/bin/sh", "-c", "a"], ["b", "c"]]
    assert started.tasks[0]["folder"] == str(tmp_path)
    assert started.tasks[0]["timeout_s"] == 7.0
    assert started.tasks[0]["log_path"] == str(tmp_path / "logs" / "hooks.log")


async def test_one_of_a_kind_at_a_time_and_the_newest_comes_next(
    tmp_path: Path, journal: Journal, started: Started
) -> None:
    made = hooks(tmp_path, journal, started)
    for steps in (1, 2, 3, 4):
        made.happened("eval", {"steps": steps})
    made.happened("checkpoint", {"steps": 9})
    assert started.told == [("1", 0), ("9", 0)]
    started.ends[0](None)
    assert started.told == [("1", 0), ("9", 0), ("4", 2)]
    started.ends[2](None)
    made.happened("eval", {"steps": 5})
    assert started.told[3:] == [("5", 0)]


async def test_idle_is_when_nothing_runs_and_nothing_is_to_come(
    tmp_path: Path, journal: Journal, started: Started
) -> None:
    made = hooks(tmp_path, journal, started)
    never = asyncio.Event()
    await made.idle(unless=never)
    made.happened("eval", {})
    made.happened("eval", {})
    idle = asyncio.ensure_future(made.idle(unless=never))
    started.ends[0](None)
    await asyncio.sleep(0)
    assert not idle.done()
    started.ends[1](None)
    await idle
    made.happened("eval", {})
    never.set()
    await made.idle(unless=never)


async def test_close_ends_what_runs_and_starts_nothing_more(
    tmp_path: Path, journal: Journal, started: Started
) -> None:
    made = hooks(tmp_path, journal, started)
    made.happened("eval", {})
    made.happened("eval", {})
    await made.close("over")
    made.happened("eval", {})
    assert started.killed == ["over"]
    assert len(started.tasks) == 1


async def test_trouble_is_told_once_until_it_has_worked_again(
    tmp_path: Path, journal: Journal, started: Started
) -> None:
    made = hooks(tmp_path, journal, started)

    def end(trouble: str | None) -> int:
        made.happened("eval", {})
        started.ends[-1](trouble)
        return len(journal.events)

    assert [end("exit code 1") for _ in range(3)] == [1, 1, 1]
    assert end("exit code 2") == 2
    assert [end(None), end("exit code 2")] == [2, 3]
    event = journal.events[0]
    assert event.level == "warning"
    assert "hooks.on_eval: exit code 1; what it printed is in logs/hooks.log" in event.text


async def test_a_command_that_cannot_be_started_is_a_warning(
    tmp_path: Path, journal: Journal, started: Started
) -> None:
    made = hooks(tmp_path, journal, started)
    started.error = OSError(24, "Too many open files")
    made.happened("eval", {})
    assert "could not be started" in journal.events[-1].text
    await made.idle(unless=asyncio.Event())
    started.error = None
    made.happened("eval", {})
    assert len(started.tasks) == 1


async def test_the_mark_that_kills_what_workers_leave_is_not_handed_on(
    tmp_path: Path, journal: Journal, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUITRAIN_RUN_ID", "00000000")
    monkeypatch.setenv("OF_THE_USER", "here")
    made = hooks(tmp_path, journal, started)
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")  # as the supervisor does for workers
    monkeypatch.setitem(os.environ, "OF_THE_USER", "changed")
    made.happened("eval", {})
    environment = started.tasks[0]["environment"]
    assert environment["OF_THE_USER"] == "here"
    assert "TUITRAIN_RUN_ID" not in environment


def snapshot(*policies: PolicyView) -> Snapshot:
    return Snapshot(
        seq=1,
        time_s=0.0,
        run_id="0123abcd",
        run_dir="/runs/x-0001",
        name="x-0001",
        schedule="async",
        state="failed",
        elapsed_s=1.23456,
        supervisor_pid=1,
        steps=500,
        total_steps=1000,
        last_checkpoint="/runs/x-0001/checkpoints/ckpt-1.pt",
        policies=list(policies),
    )


def test_the_facts_of_a_run() -> None:
    one = PolicyView(name="default", eval_return_mean=9.5, eval_best=9.5)
    told = variables(facts_of(snapshot(one), "learner failed\nbadly", None))
    assert told == {
        "TUITRAIN_RUN": "x-0001",
        "TUITRAIN_RUN_DIR": "/runs/x-0001",
        "TUITRAIN_STATUS": "failed",
        "TUITRAIN_REASON": "learner failed�badly",
        "TUITRAIN_STEPS": "500",
        "TUITRAIN_TOTAL_STEPS": "1000",
        "TUITRAIN_ELAPSED_S": "1.235",
        "TUITRAIN_CHECKPOINT": "/runs/x-0001/checkpoints/ckpt-1.pt",
        "TUITRAIN_POLICY": "default",
        "TUITRAIN_RETURN": "9.5",
        "TUITRAIN_BEST": "1",
    }


def test_whose_return_is_told() -> None:
    wolves = PolicyView(name="wolves", eval_return_mean=3.0, eval_best=4.0)
    sheep = PolicyView(name="sheep", eval_return_mean=1.0, eval_best=1.0)
    new = PolicyView(name="new")
    both = facts_of(snapshot(wolves, sheep, new), "", None)
    assert (both["policy"], both["return"], both["best"]) == ("sheep", 1.0, True)
    named = facts_of(snapshot(wolves, sheep, new), "", "wolves")
    assert (named["policy"], named["return"], named["best"]) == ("wolves", 3.0, False)
    unknown = facts_of(snapshot(new), "", None)
    assert (unknown["return"], unknown["best"]) == (None, False)
    early = facts_of(snapshot(), "it could not start", None)
    assert (early["policy"], early["return"]) == (None, None)
    assert variables(early)["TUITRAIN_RETURN"] == ""


async def test_numbers_that_json_cannot_say_become_null(
    tmp_path: Path, journal: Journal, started: Started
) -> None:
    made = hooks(tmp_path, journal, started)
    made.happened("eval", {"return": float("nan"), "policies": {"a": {"return": float("inf")}}})
    told = json.loads(started.tasks[0]["text"], parse_constant=pytest.fail)
    assert told == {
        "return": None,
        "policies": {"a": {"return": None}},
        "event": "eval",
        "left_out": 0,
    }
