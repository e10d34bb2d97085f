"""Who is to blame, in which order it is told, who must be killed; with workers of plain values."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuitrain.metrics.phases import Stay
from tuitrain.supervisor.crew import judge as judge_module
from tuitrain.supervisor.crew.judge import Judge
from tuitrain.supervisor.crew.liveness import SILENCE_S, Liveness
from tuitrain.supervisor.crew.memory import MIB, Left


class Process:
    """Knows whether it was killed."""

    def __init__(self, pid: int) -> None:
        self.pid, self.alive, self.log_path = pid, True, Path("/nonexistent/log")

    def check(self) -> None:
        """Nothing to notice."""

    def kill(self) -> None:
        self.alive = False


class Look:
    """A look at a hung worker that ends when the test says so."""

    done = True

    def __init__(self, pid: int, log: Path, told: str, now: float) -> None:
        self.told = told

    def over(self, now: float) -> bool:
        return Look.done

    def how(self) -> str:
        return self.told


class Court:
    """A judge, what it has reported and journalled, and its workers."""

    def __init__(self, names: list[str], limit_mib: int | None = None) -> None:
        self.told: list[tuple[str, str]] = []
        self.events: list[tuple[str, str]] = []
        journal: Any = SimpleNamespace(
            event=lambda text, level, source="supervisor": self.events.append((source, text))
        )
        self.judge = Judge(limit_mib, journal, self.report)
        self.workers: dict[str, Any] = {}
        for pid, name in enumerate(names, 1000):
            life = Liveness(0.0, 5.0, 10.0)
            life.on_ready(0.0)
            spec = SimpleNamespace(role="actor", index=0)
            self.workers[name] = SimpleNamespace(
                name=name, spec=spec, life=life, process=Process(pid), hang=None, reported=False,
                held_up_by=None, killed=False, own_bytes=0, view=SimpleNamespace(),
            )  # fmt: skip

    def report(self, worker: Any, how: str, exit_code: int | None) -> None:
        if not worker.reported and not self.judge.puts_off(worker, how, exit_code):
            worker.reported = True
            self.told.append((worker.name, how))

    def tick(self, now: float, *, stopping: bool = False) -> None:
        self.judge.judge(self.workers.values(), now, stopping=stopping)


@pytest.fixture(autouse=True)
def _looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "Hang", Look)
    monkeypatch.setattr(judge_module.memory, "left", lambda: Left(9 * MIB, 10 * MIB, "the machine"))
    Look.done = True


def test_the_one_who_holds_is_told_of_before_those_who_have_waited() -> None:
    court = Court(["learner", "a0", "a1"])
    a0, a1, learner = court.workers["a0"], court.workers["a1"], court.workers["learner"]
    a0.life.on_stay(0.0, Stay("commit", 1))
    Look.done = False
    for victim in (a1, learner):
        court.judge.blame(victim, a0.process.pid, court.workers.values(), 1.0)
        court.report(victim, "exit code 1", 1)
    court.tick(1.1)
    assert court.told == []  # it is still being looked at
    assert a0.process.alive
    Look.done = True
    court.tick(1.2)
    assert [name for name, _ in court.told] == ["a0", "a1", "learner"]
    assert court.told[0][1] == ('hung in "commit", holding a lock for which a1 has waited too long')
    assert a0.killed
    assert not a0.process.alive


def test_a_culprit_that_ends_by_itself_keeps_nobody_from_being_told_of() -> None:
    court = Court(["a0", "a1"])
    Look.done = False
    court.judge.blame(court.workers["a1"], 1000, court.workers.values(), 1.0)
    court.report(court.workers["a1"], "exit code 1", 1)
    court.workers["a0"].process.alive = False
    court.tick(1.1)
    assert ("a1", "exit code 1") in court.told


@pytest.mark.parametrize("pid", [None, 4_000_000, 1001])  # nobody, no worker, itself
def test_nobody_else_is_blamed(pid: int | None) -> None:
    court = Court(["a0", "a1"])
    court.judge.blame(court.workers["a1"], pid, court.workers.values(), 1.0)
    court.report(court.workers["a1"], "exit code 1", 1)
    assert court.told == [("a1", "exit code 1")]
    assert all(worker.hang is None for worker in court.workers.values())


def test_nobody_new_is_judged_while_the_run_stops() -> None:
    court = Court(["a0"])
    court.tick(11.0, stopping=True)
    assert court.told == []
    court.tick(11.0)  # found to hang
    court.tick(11.1, stopping=True)
    assert [name for name, _ in court.told] == ["a0"]


def test_silence_is_told_once() -> None:
    court = Court(["a0"])
    entries = iter(range(100))
    court.judge.where = lambda role, index: Stay("act", next(entries))
    court.workers["a0"].life.progress_deadline_s = 100.0
    for second in range(1, 21):
        court.tick(float(second))
    assert court.events == [("a0", f"has not been heard for {SILENCE_S:g} s, though it is at work")]


def test_the_limit_of_memory_is_for_each_and_scarcity_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    court = Court(["a0", "a1"], limit_mib=100)
    court.workers["a0"].own_bytes = 100 * MIB
    court.workers["a1"].own_bytes = 101 * MIB
    court.judge.weigh(court.workers.values(), 1.0)
    assert court.told == [("a1", "grew to 101 MiB, over supervisor.worker_memory_limit_mib = 100")]
    assert court.workers["a0"].process.alive
    assert not court.workers["a1"].process.alive
    assert court.events == []
    monkeypatch.setattr(judge_module.memory, "left", lambda: Left(1, 10 * MIB, "its control group"))
    for _ in range(2):
        court.judge.weigh(court.workers.values(), 2.0)
    ((source, text),) = court.events
    assert source == "supervisor"
    assert "its control group has 0 of 10 MiB left; largest: a0 100 MiB" in text


def test_where_a_worker_stands_is_shown_with_its_deadline_there() -> None:
    court = Court(["a0"])
    court.judge.where = lambda role, index: Stay("env step", 3)
    court.judge.judge(court.workers.values(), 1.0, stopping=False)
    view = court.workers["a0"].view
    assert (view.stands_in, view.deadline_s) == ("env step", 10.0)
