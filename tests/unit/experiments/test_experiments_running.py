"""Who runs when: cores, jobs, failures, interruption; with doubles that end when told.

A double writes what a supervisor writes and lets time pass by being asked whether it has ended.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tuitrain.cli.compare import progress_text
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import RunFolder
from tuitrain.config.schema import Config
from tuitrain.experiments import running
from tuitrain.experiments.plan import Cell, Plan, PlanError
from tuitrain.experiments.running import (
    Progress,
    Told,
    code_of,
    cores_needed,
    next_to_start,
    run_cells,
    steps_so_far,
)
from tuitrain.experiments.store import Result, Store, agents_of


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "TICK_S", 0.0)


def config_of(schedule: str = "sequential", actors: int = 3) -> Config:
    tables = {"run": {"schedule": schedule, "total_steps": 2_000}, "actors": {"count": actors}}
    return resolve(Config.model_validate(tables))


def plan_of(*schedules: str, seeds: int = 2) -> Plan:
    configs = {(schedule, ""): config_of(schedule) for schedule in schedules}
    return Plan(schedules, ("",), tuple(range(1, seeds + 1)), configs)


def probed(agents: dict[str, list[str]]) -> dict:
    return {"spec": {"policies": {name: {"agents": those} for name, those in agents.items()}}}


class Double:
    """A run that ends at the third time of asking."""

    def __init__(self, world: World, folder: RunFolder) -> None:
        self.world, self.folder = world, folder
        self.config = folder.load_config()
        self.asked = 0
        self.code: int | None = None
        self.signals: list[int] = []
        self.killed = False

    def poll(self) -> int | None:
        self.asked += 1
        if self.code is None and self.asked >= 3 and not self.world.endless:
            self.end(self.world.outcome(self.config))
        return self.code

    def end(self, state: str) -> None:
        self.code = 0 if state == "finished" else 3
        if state == "silent":
            return
        summary = dict.fromkeys(
            ("total_steps", "base_steps", "policies", "learning", "checks", "last_checkpoint")
        )
        summary |= {"state": state, "reason": "boom", "steps": 2_000, "wall_s": 1.5, "run_dir": ""}
        self.folder.summary_json.write_text(json.dumps(summary))
        value = None if self.world.blind else 7.0
        record = {"kind": "eval", "policy": "p", "steps": 2_000, "return_mean": value}
        self.folder.metrics_jsonl.write_text(json.dumps(record) + "\n")
        self.folder.probe_json.write_text(json.dumps(probed({"p": ["a", "b"]})))

    def wait(self) -> int:
        if self.code is None and self.killed:
            self.code = -9
        assert self.code is not None, "would wait for ever"
        return self.code

    def send_signal(self, sig: int) -> None:
        self.signals.append(sig)
        if self.world.obeys_after is not None and len(self.signals) >= self.world.obeys_after:
            self.end("interrupted")

    def kill(self) -> None:
        self.killed = True


class World:
    """All doubles of a test, and how they behave."""

    def __init__(self) -> None:
        self.started: list[Double] = []
        self.outcome: Callable[[Config], str] = lambda config: "finished"
        self.endless = False
        self.blind = False
        self.obeys_after: int | None = 1
        self.most_cores = 0
        self.most_runs = 0

    def start(self, folder: RunFolder) -> Double:
        double = Double(self, folder)
        self.started.append(double)
        alive = [d for d in self.started if d.code is None]
        self.most_runs = max(self.most_runs, len(alive))
        self.most_cores = max(self.most_cores, sum(cores_needed(d.config) for d in alive))
        return double


@pytest.fixture
def world() -> World:
    return World()


def run(plan: Plan, store: Store, world: World, **how: object) -> list[Result]:
    ended: list[Result] = []
    with store.only_user():
        told = Told(ended=ended.append)
        run_cells(plan, store, **{"cores": 4, "told": told, "start": world.start, **how})
    return ended


# ---- cores -----------------------------------------------------------------------------------


def test_a_run_needs_a_core_for_each_that_is_busy() -> None:
    assert cores_needed(config_of("sequential")) == 1
    assert cores_needed(config_of("lockstep")) == 4
    assert cores_needed(config_of("async", actors=1)) == 2
    threads = Config.model_validate(
        {"run": {"schedule": "async", "threads_per_process": 2}, "actors": {"count": 3}}
    )
    assert cores_needed(threads) == 8


def test_what_fits_is_started_in_the_order_of_the_plan() -> None:
    assert next_to_start([1, 4], free=4, any_running=False) == 0
    assert next_to_start([4, 1], free=2, any_running=True) == 1
    assert next_to_start([4, 4], free=3, any_running=True) is None
    assert next_to_start([9], free=4, any_running=False) == 0
    assert next_to_start([], free=4, any_running=False) is None


def test_cores_are_used_and_not_oversubscribed(store: Store, world: World) -> None:
    ended = run(plan_of("sequential", "async", seeds=4), store, world)
    assert len(ended) == 8
    assert world.most_cores == 4
    assert world.most_runs > 1


def test_a_run_that_needs_more_cores_than_there_are_runs_alone(store: Store, world: World) -> None:
    run(plan_of("async", "lockstep"), store, world, cores=2)
    assert (world.most_runs, len(world.started)) == (1, 4)


def test_jobs_bound_the_runs_at_a_time(store: Store, world: World) -> None:
    run(plan_of("sequential", seeds=6), store, world, jobs=2)
    assert world.most_runs == 2


# ---- results ---------------------------------------------------------------------------------


def test_a_result_has_all_that_analysis_needs(store: Store, world: World) -> None:
    run(plan_of("sequential", seeds=1), store, world)
    (result,) = store.results().values()
    assert result.cell == Cell("sequential", "", 1)
    assert (result.state, result.steps, result.wall_s) == ("finished", 2_000, 1.5)
    assert (store.runs / result.run / "summary.json").is_file()
    assert result.curves["p"].returns.tolist() == [7.0]
    assert result.code == code_of(RunFolder(store.runs / result.run))
    assert len(result.code["tuitrain"]) == len(result.code["sources"]) == 64
    assert code_of(RunFolder(store.path)) == {}


def test_a_result_says_how_many_agents_a_policy_has(store: Store, world: World) -> None:
    plan = plan_of("sequential", seeds=1)
    (cell,) = plan.cells()
    (ended,) = run(plan, store, world)
    assert ended.agents == {"p": 2}
    folder = RunFolder(store.runs / ended.run)
    folder.probe_json.write_text(json.dumps(probed({"wolves": ["a", "b"], "p": ["c"]})))
    assert store.results()[cell].agents == {"p": 2}, "results.jsonl is all that is read"
    # as a line was written before it had them
    line = json.loads(store.results_jsonl.read_text())
    assert line.pop("agents") == {"p": 2}
    store.results_jsonl.write_text(json.dumps(line) + "\n")
    assert store.results()[cell].agents == {"wolves": 2, "p": 1}
    folder.probe_json.write_text("{")
    assert agents_of(folder) == {}


@pytest.mark.parametrize(
    ("state", "words"), [("failed", "boom"), ("silent", "exit code 3"), ("stopped", "boom")]
)
def test_a_failed_run_is_a_result_and_is_tried_again(
    store: Store, world: World, state: str, words: str
) -> None:
    world.outcome = lambda config: state if config.run.seed == 2 else "finished"
    plan = plan_of("sequential", seeds=3)
    ended = run(plan, store, world)
    assert sorted(r.state for r in ended) == sorted(["finished", "finished", ended[1].state])
    assert words in store.results()[Cell("sequential", "", 2)].cause
    assert store.results()[Cell("sequential", "", 2)].state != "finished"

    world.outcome = lambda config: "finished"
    (again,) = run(plan, store, world)
    assert (again.cell.seed, again.state) == (2, "finished")
    assert {r.state for r in store.results().values()} == {"finished"}
    assert run(plan, store, world) == []


def test_a_run_without_evaluations_has_not_finished(store: Store, world: World) -> None:
    world.blind = True
    (ended,) = run(plan_of("sequential", seeds=1), store, world)
    assert ended.state == "failed"
    assert "no evaluation" in ended.cause


def test_a_run_that_cannot_be_started_ends_no_other(store: Store, world: World) -> None:
    def start(folder: RunFolder) -> Double:
        if "s1" in folder.name:
            raise OSError(11, "Resource temporarily unavailable")
        return world.start(folder)

    ended = run(plan_of("sequential"), store, world, start=start)
    assert [r.state for r in ended] == ["failed", "finished"]
    assert "temporarily unavailable" in ended[0].cause


def test_progress_counts_steps_and_says_when_it_ends(store: Store, world: World) -> None:
    said: list[Progress] = []
    run(plan_of("sequential"), store, world, told=Told(progress=said.append))
    assert (said[-1].done, said[-1].total, said[-1].share) == (2, 2, 1.0)
    half = Progress(1, 0, 1, 2, share=0.75, elapsed_s=10, started_share=0.5)
    assert half.eta_s == 10
    assert Progress(0, 0, 1, 2, share=0.5, elapsed_s=10, started_share=0.5).eta_s is None


def test_the_line_of_progress_stays_on_one_line() -> None:
    progress = Progress(3, 1, 2, 16, share=0.5, elapsed_s=60)
    for columns in range(120):
        assert len(progress_text(progress, columns)) <= columns
    line = progress_text(progress, 100)
    assert line.count("█") == line.count("░") == 15
    for words in ("50%", "3 of 16 runs done, 1 failed, 2 running", "ETA 0:01:00"):
        assert words in line


def test_steps_are_those_of_the_newest_whole_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert steps_so_far(folder) == 0
    lines = "".join(f'{{"steps": {n}, "filler": "{"x" * 3_000}"}}\n' for n in range(9))
    folder.metrics_jsonl.write_text(lines + '{"steps": 99')
    assert steps_so_far(folder) == 8


# ---- ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_every_run_and_records_none(
    store: Store, world: World, number: signal.Signals
) -> None:
    world.endless = True

    def progress(progress: Progress) -> None:
        os.kill(os.getpid(), number)

    before = signal.signal(number, signal.SIG_DFL)  # whatever these tests were started with
    try:
        with pytest.raises(KeyboardInterrupt):
            run(plan_of("sequential", seeds=9), store, world, told=Told(progress=progress))
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert len(world.started) == 4
    assert [d.signals for d in world.started] == [[signal.SIGINT]] * 4
    assert store.results() == {}


def test_under_nohup_a_closed_terminal_ends_nothing(store: Store, world: World) -> None:
    said: list[Progress] = []

    def progress(progress: Progress) -> None:
        said.append(progress)
        os.kill(os.getpid(), signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run(plan_of("sequential"), store, world, told=Told(progress=progress))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert said[-1].done == 2


def test_a_second_signal_is_passed_on(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.endless, world.obeys_after = True, 2
    sleeps = 0

    def sleep(seconds: float) -> None:
        nonlocal sleeps
        sleeps += 1
        if sleeps in (1, 4):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(running.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        run(plan_of("sequential", seeds=1), store, world)
    assert world.started[0].signals == [signal.SIGINT] * 2


def test_what_does_not_stop_is_killed(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.endless, world.obeys_after = True, None
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 1.0
        if now == 1.0:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(running.time, "sleep", sleep)
    monkeypatch.setattr(running.time, "monotonic", lambda: now)
    monkeypatch.setattr("tuitrain.supervisor.house.leftovers.sweep", lambda: None)
    with pytest.raises(KeyboardInterrupt):
        run(plan_of("sequential", seeds=1), store, world)
    assert world.started[0].killed
    # not before the run has had its own time to stop
    assert now > config_of().supervisor.stop_deadline_s


def test_a_disk_that_takes_no_result_stops_every_run(
    store: Store, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(result: Result) -> None:
        raise PlanError("No space left on device")

    monkeypatch.setattr(store, "add", full)
    with pytest.raises(PlanError, match="No space"):
        run(plan_of("async", "sequential", seeds=2), store, world)
    assert all(d.code is not None for d in world.started)
