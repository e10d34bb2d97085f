"""What the matrix makes of results and of a run: a fault in either is found, whenever it was."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.faults import __main__ as command
from tests.faults import attack, campaign
from tests.faults.arena import Arena, Result
from tests.faults.attack import Attack
from tests.faults.campaign import Results, damaged, run_cases, struck, wrong
from tests.faults.cases import Case, draw
from tests.faults.expected import TOLD_S
from tests.faults.orders import make
from tuitrain.checkpoint.payload import save

CASES = list(enumerate(draw(1, 4)))


def result(number: int, *problems: str, outcome: str = "goes on") -> Result:
    return Result(CASES[number][1].name, outcome, list(problems))


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results.jsonl")


# ---- of all results --------------------------------------------------------------------------


def test_a_seed_is_judged_by_the_last_result_of_every_case(results: Results) -> None:
    results.add(0, 1, result(0, "hangs"), "abc1234")
    results.add(1, 1, result(1, "hangs"), "abc1234")
    results.add(1, 1, result(1, outcome="passed"), "abc1235")
    results.add(2, 2, result(2), "abc1235")  # of another seed
    results.add(3, 1, result(0), "abc1235")  # another case had its number
    known = results.of(1, CASES)
    names = [case.name for _, case in CASES]
    assert wrong(CASES, known) == [
        f"{names[0]}: hangs",
        f"{names[2]}: has not been run to its end",
        f"{names[3]}: has not been run to its end",
    ]
    assert struck(known) == 1
    assert known[1]["commit"] == "abc1235"


@pytest.mark.parametrize("again", [False, True])
def test_what_has_failed_is_run_again_and_nothing_else(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    def run_lot(lot: list[tuple[int, Case]], *_: Any) -> list[tuple[int, Result]]:
        if lot[0][0] == 3:
            raise RuntimeError("the harness is at fault")
        return [(number, result(number)) for number, _ in lot]

    monkeypatch.setattr(campaign, "run_lot", run_lot)
    monkeypatch.setattr(campaign, "deal", lambda cases: [[case] for case in cases])
    monkeypatch.setattr(campaign, "commit", lambda: "abc1235")
    for number in range(3):
        results.add(number, 1, result(number, *["hangs"] * (number == 1)), "abc1234")
    run_cases(CASES, 1, tmp_path, results, 2, again=again)
    known = results.of(1, CASES)
    ran = "555" if again else "454"
    assert "".join(known[number]["commit"][-1] for number in range(3)) == ran
    assert len(wrong(CASES, known)) == 1  # the one that the harness could not run


def test_what_is_complete_is_kept_when_the_campaign_is_stopped(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_lot(lot: list[tuple[int, Case]], *args: Any) -> list[tuple[int, Result]]:
        os.kill(os.getpid(), signal.SIGINT)
        args[-1].wait()  # `enough`
        return [(number, result(number)) for number, _ in lot]

    monkeypatch.setattr(campaign, "run_lot", run_lot)
    monkeypatch.setattr(campaign, "deal", lambda cases: [[case] for case in cases])
    with pytest.raises(KeyboardInterrupt):
        run_cases(CASES, 1, tmp_path, results, 1)
    assert list(results.of(1, CASES)) == [0]


def test_recorded_failures_are_not_green(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = Results(tmp_path / "results.jsonl")
    for number, _ in CASES:
        results.add(number, 1, result(number, *["hangs"] * (number == 1)), "abc1234")
    monkeypatch.setattr(command, "run_cases", lambda *_, **__: None)
    arguments = ["--cases", "4", "--folder", str(tmp_path)]
    assert command.main(arguments) == 1
    assert f"FAILED {CASES[1][1].name}: hangs" in capsys.readouterr().out
    results.add(1, 1, result(1), "abc1234")
    assert command.main(arguments) == 0


def test_cases_are_drawn_until_so_many_faults_have_struck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(
        cases: list[tuple[int, Case]], seed: int, _: Path, results: Results, *__: Any, again: bool
    ) -> None:
        assert not again
        known = results.of(seed, cases)
        for number, case in cases:
            if number not in known:
                outcome = "passed" if number < 30 else "goes on"
                results.add(number, seed, Result(case.name, outcome), "abc1234")

    monkeypatch.setattr(command, "run_cases", run)
    assert command.main(["--cases", "100", "--folder", str(tmp_path)]) == 0
    results = Results(tmp_path / "results.jsonl")
    assert 100 <= struck(results.of(1, list(enumerate(draw(1, 200))))) < 110


# ---- of a run --------------------------------------------------------------------------------


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    arena = Arena("async", tmp_path / "arena")
    yield arena
    arena.kill()
    arena.clear()
    shutil.rmtree(arena.runtime, ignore_errors=True)  # what a test has left in it is not waited for


def attack_on(arena: Arena, name: str) -> Attack:
    return Attack(arena, Case.parse(name), 0, random.Random(0))


def test_a_run_that_ends_before_the_fault_has_not_passed(arena: Arena) -> None:
    early = attack_on(arena, "async/learner/checkpointing:open 3/EIO")
    early._judge_passed()
    assert early.result.outcome == "passed"
    assert "before the fault" in early.result.problems[0]
    assert arena.to_resume == [early.result]


def test_a_stop_in_which_nothing_struck_is_judged_like_any_end(arena: Arena) -> None:
    stopped = attack_on(arena, "async/supervisor/summing up:open 2/EIO")
    stopped._judge_passed()
    assert "no summary" in stopped.result.problems


@pytest.mark.parametrize(
    ("name", "told_s", "says"),
    [
        ("async/actor/committing:1/SIGKILL", None, ["no event told of it"]),
        ("async/actor/committing:1/SIGKILL", TOLD_S + 1.0, ["told of after 2.5 s, must be: 1.5 s"]),
        ("async/actor/committing:1/SIGKILL", TOLD_S, []),
        ("async/actor/committing:1/SIGSTOP", 4.5, []),
        ("async/actor/committing:1/SIGSTOP", 6.0, ["told of after 6.0 s, must be: 5.5 s"]),
        ("async/actor/stopping:1/exit 0", None, []),
        ("async/actor/booting again:1/SIGSTOP", None, []),
        ("async/learner/checkpointing:open 1/EIO", None, []),
        ("async/supervisor/watching:1/SIGKILL", None, []),
    ],
)
def test_a_death_must_be_told(
    arena: Arena, name: str, told_s: float | None, says: list[str]
) -> None:
    attacked = attack_on(arena, name)
    attacked.result.detected_s = told_s
    assert attacked._untold() == says


class Alive(Arena):
    """A run that seems to go on: every worker is at work whenever it is looked at."""

    said = "running"

    @property
    def alive(self) -> bool:
        return True

    def worked_since(self, worker: str, mono_s: float, besides: int = 0) -> float | None:
        return mono_s

    def state(self) -> str:
        return self.said


def test_a_run_goes_on_before_an_event_tells_of_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arena = Alive("async", tmp_path / "arena")
    reads: list[list[dict[str, Any]]] = [
        [],
        [],
        [{"source": "supervisor", "time_s": 7.0, "level": "warning", "text": "learner: Injected"}],
    ]
    monkeypatch.setattr(arena, "events", lambda: reads.pop(0) if len(reads) > 1 else reads[0])
    struck = attack_on(arena, "async/learner/checkpointing:2/exception")
    fired = {"mono_s": 6.5, "time_s": 6.5, "pid": 0}
    struck._after(fired)
    struck._judge(fired)
    shutil.rmtree(arena.runtime)
    assert (struck.result.outcome, struck.result.problems) == ("goes on", [])
    assert struck.result.detected_s == 0.5


def test_a_pause_that_comes_late_does_not_outlast_its_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a stop of the supervisor, which finds the request when it goes on."""
    arena = Alive("async", tmp_path / "arena")
    late, asked = threading.Event(), []

    def ask(command: str, *_: Any, **__: Any) -> None:
        if command == "pause":
            late.wait()
        asked.append(command)
        arena.said = "paused" if command == "pause" else "running"

    monkeypatch.setattr(arena, "ask", ask)
    monkeypatch.setattr(arena, "order", lambda order: make(order.mark(arena.faults, "armed")))
    paused = attack_on(arena, "async/supervisor/paused:12/SIGSTOP")
    monkeypatch.setattr(attack, "deadline_s", lambda *_: 0.0)
    monkeypatch.setattr(attack, "cont", lambda _: threading.Timer(0.2, late.set).start())
    paused._provoke("pause")
    paused._after({"mono_s": time.monotonic(), "time_s": time.time(), "pid": 0})
    late.set()
    for thread in paused._threads:
        thread.join()
    shutil.rmtree(arena.runtime)
    assert (paused.result.outcome, arena.said, asked) == (
        "goes on",
        "running",
        ["pause", "unpause"],
    )


def test_a_run_is_up_when_it_obeys_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arena = Alive("async", tmp_path / "arena")
    states = ["starting", "running"]
    monkeypatch.setattr(arena, "state", lambda: states.pop(0))
    arena.up()
    shutil.rmtree(arena.runtime)
    assert not states


def test_what_no_command_removes_after_a_supervisors_death_is_found(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attack, "GUARD_S", 0.0)
    lost = arena.runtime / "lost"
    lost.touch()
    killed = attack_on(arena, "async/supervisor/watching:1/SIGKILL")
    killed._judge_death()
    (problem,) = killed.result.problems
    assert problem.startswith("left: file ")


def test_a_segment_of_any_session_is_found(arena: Arena) -> None:
    arena.segments()
    segment = Path(f"/dev/shm/tuitrain-{arena.folder.read_run_id()}-control")
    segment.touch()
    (arena.folder.path / "runtime.json").write_text('{"run_id": "0123abcd"}')
    assert list(arena.segments()) == [segment.name]


def test_every_checkpoint_must_be_sound(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path, {"weights": torch.ones(4)}, f"ckpt-{number:09d}", keep=2)
    assert damaged(tmp_path) == []
    (old, _) = sorted(tmp_path.glob("ckpt-*"))
    data = bytearray(old.read_bytes())
    data[len(data) // 2] ^= 1
    old.write_bytes(data)
    (problem,) = damaged(tmp_path)
    assert old.name in problem


def test_a_child_that_outlives_its_actor_is_found(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attack, "ORPHANS_S", 0.0)
    (arena.root / "strays").mkdir()
    (arena.root / "strays" / str(os.getpid())).write_text("4711")
    orphaned = attack_on(arena, "child/child/orphaned:1/SIGKILL")
    orphaned._victim = 4711
    orphaned._no_orphans()
    assert str(os.getpid()) in orphaned.result.problems[0]
