"""What a session takes over once it is up, and that one which is not leaves all as it was."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import FakePlan, fake_config, fake_folder
from tests.unit.supervisor.running import running
from tuitrain.checkpoint.choice import put_back, set_aside
from tuitrain.checkpoint.files import checkpoints
from tuitrain.config.runs import RunFolder
from tuitrain.metrics.rewind import surviving
from tuitrain.metrics.sinks import JsonLines
from tuitrain.supervisor.clients.console import summary_lines
from tuitrain.supervisor.house.folder_lock import hold_folder, sole_supervisor
from tuitrain.supervisor.house.house import AlreadyRunning
from tuitrain.supervisor.snapshot import PolicyPlan

WORK = {"learner": {"do": "work"}, "a0": {"do": "work"}}
SUMMARY = {"state": "stopped", "steps": 900}


class GoesOn(FakePlan):
    """A run that was at 900 steps, and goes on from 600."""

    def base_steps(self, blueprint: Any) -> int:
        return 600

    def session(self, blueprint: Any) -> int:
        return 2

    def policies(self, blueprint: Any) -> list[PolicyPlan]:
        return [PolicyPlan("default", 1000, 10, 0.5, 4.0, base_updates=60, target_every_updates=10)]


def used_folder(path: Path, workers: dict[str, dict[str, Any]]) -> Path:
    """A run folder with what an earlier session has left, gone back to its first checkpoint."""
    folder = fake_folder(path, fake_config(workers))
    names = [folder.checkpoints / f"ckpt-{n:010d}.pt" for n in (60, 90)]
    for name in names:
        name.write_text("weights")
    set_aside(folder.checkpoints, names[0])
    folder.summary_json.write_text(json.dumps(SUMMARY))
    folder.metrics_jsonl.write_text(
        "".join(
            json.dumps({"kind": "eval", "policy": "default", "steps": s, "return_mean": 1.0}) + "\n"
            for s in (300, 600, 900)
        )
    )
    return folder.path


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    """`running` finds the folder that the test has made."""
    monkeypatch.setattr(
        "tests.unit.supervisor.running.fake_folder", lambda path, _: RunFolder(path / "fake-0001")
    )


@pytest.mark.usefixtures("made")
async def test_a_session_that_is_up_goes_back_and_keeps_what_it_left(tmp_path: Path) -> None:
    path = used_folder(tmp_path, WORK)
    async with running(tmp_path, WORK, GoesOn()) as run:
        await run.up()
        assert not run.folder.summary_json.exists()
        view = run.supervisor.view
        assert [e.steps for e in view.evaluated.made["default"]] == [300, 600]
        await run.ask("stop")
        await run.end()
        assert run.summary["state"] == "stopped"
        assert run.summary["base_steps"] == 600
    kept = [r for r in surviving(JsonLines(path / "metrics.jsonl")) if r["kind"] == "eval"]
    assert [r["steps"] for r in kept[:2]] == [300, 600]
    (rewind,) = [r for r in JsonLines(path / "metrics.jsonl") if r["kind"] == "rewind"]
    assert rewind["updates"] == {"default": 60}
    assert (rewind["steps"], rewind["session"], rewind["why"]) == (600, 2, "resumed")
    aside = path / "checkpoints" / "set-aside-1"
    assert [p.name for p in checkpoints(aside)] == ["ckpt-0000000090.pt"]


@pytest.mark.usefixtures("made")
async def test_a_session_that_does_not_come_up_changes_nothing(tmp_path: Path) -> None:
    workers = {**WORK, "a0": {"do": "raise at start"}}
    path = used_folder(tmp_path, workers)
    metrics = (path / "metrics.jsonl").read_text()
    async with running(tmp_path, workers, GoesOn()) as run:
        assert await run.end() == 3
        assert run.summary == SUMMARY
        texts = [event["text"] for event in run.events]
        assert "not started: newer checkpoints are back: ckpt-0000000090.pt" in texts
        assert any(text.startswith("failed: ") for text in texts)
    assert (path / "metrics.jsonl").read_text().startswith(metrics)
    found = [r["kind"] for r in JsonLines(path / "metrics.jsonl")]
    assert "rewind" not in found
    names = [p.name for p in checkpoints(path / "checkpoints")]
    assert names == ["ckpt-0000000060.pt", "ckpt-0000000090.pt"]


@pytest.mark.usefixtures("made")
async def test_of_a_killed_run_that_does_not_come_up_again_the_cause_is_kept(
    tmp_path: Path,
) -> None:
    workers = {**WORK, "a0": {"do": "raise at start"}}
    (used_folder(tmp_path, workers) / "summary.json").unlink()
    async with running(tmp_path, workers, GoesOn()) as run:
        assert await run.end() == 3
        assert run.summary["state"] == "failed"
        assert "a0" in run.summary["reason"]


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("killed", [False, True])
async def test_where_it_goes_on_and_what_is_made_again_is_told(
    tmp_path: Path, killed: bool
) -> None:
    path = used_folder(tmp_path, WORK)
    if killed:
        (path / "summary.json").unlink()
    with open(path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "system", "steps": NaN, "time_s": 2.0}\n')  # somebody's edit
    async with running(tmp_path, WORK, GoesOn()) as run:
        await run.up()
        told = await run.event("resumes at 600 environment steps")
        assert "300 steps that came after this checkpoint are made again" in told.text
        assert told.data["mark"] == "resume"
        assert ("was killed" in told.text, told.level == "warning") == (killed, killed)
        await run.ask("stop")
        await run.end()


@pytest.mark.usefixtures("made")
async def test_deaths_of_sessions_before_are_in_the_summary(tmp_path: Path) -> None:
    path = used_folder(tmp_path, WORK)
    before = {"died_s": 1.0, "lost_updates": {"default": 7}}
    line = {"seq": 1, "time_s": 1.0, "level": "warning", "source": "a0", "text": "", "data": before}
    (path / "events.jsonl").write_text(json.dumps(line) + "\n")
    async with running(tmp_path, WORK, GoesOn(), max_restarts=3) as run:
        await run.up()
        os.kill(run.pid("a0"), signal.SIGKILL)
        await run.event("a0 is back")
        await run.ask("stop")
        await run.end()
        assert len(run.summary["deaths"]) == 1
        assert run.summary["totals"] == {"deaths": {"a0": 2}, "lost_updates": {"default": 7}}
        assert "  over all sessions of the run: 2 deaths of workers, 7 updates lost" in (
            summary_lines(run.summary)
        )


class PassesOver(GoesOn):
    """The newest checkpoint turns out to be damaged."""

    def __init__(self, start: Path) -> None:
        super().__init__()
        self.start = start

    def start_of(self, blueprint: Any) -> str | None:
        return str(self.start)


def damaged_newest(folder: Path) -> PassesOver:
    put_back(folder)
    return PassesOver(checkpoints(folder)[0])


@pytest.mark.usefixtures("made")
async def test_what_is_passed_over_at_the_start_is_put_aside(tmp_path: Path) -> None:
    folder = used_folder(tmp_path, WORK) / "checkpoints"
    plan = damaged_newest(folder)
    async with running(tmp_path, WORK, plan) as run:
        await run.up()
        assert checkpoints(folder) == [plan.start]
        event = await run.event("newer ones are kept in")
        assert event.text.endswith("set-aside-1: ckpt-0000000090.pt")
        resumed = await run.event("resumes at")
        assert resumed.data["start"] == str(plan.start)
        await run.ask("stop")
        await run.end()


@pytest.mark.usefixtures("made")
async def test_what_was_passed_over_is_back_if_the_run_does_not_come_up(tmp_path: Path) -> None:
    workers = {**WORK, "a0": {"do": "raise at start"}}
    folder = used_folder(tmp_path, workers) / "checkpoints"
    async with running(tmp_path, workers, damaged_newest(folder)) as run:
        assert await run.end() == 3
    assert [p.name for p in checkpoints(folder)] == ["ckpt-0000000060.pt", "ckpt-0000000090.pt"]


async def test_what_the_session_before_has_left_and_cannot_be_removed_is_told(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, WORK) as run:
        (run.folder.path / "config.before.toml").mkdir()
        await run.up()
        told = await run.event("of the session before, cannot be removed")
        assert "config.before.toml" in told.text
        assert (await run.ask("stop")).ok
        assert await run.end() == 0


async def test_a_first_session_that_does_not_come_up_says_so_in_its_summary(tmp_path: Path) -> None:
    async with running(tmp_path, {**WORK, "a0": {"do": "raise at start"}}) as run:
        assert await run.end() == 3
        assert run.summary["state"] == "failed"


def test_a_folder_is_held_by_one_and_can_be_handed_on(tmp_path: Path) -> None:
    held = hold_folder(tmp_path, "x-0001")
    with pytest.raises(AlreadyRunning, match="x-0001 is already running, or is being started"):
        hold_folder(tmp_path, "x-0001")
    with sole_supervisor(tmp_path, "x-0001", held):
        assert not os.get_inheritable(held)
        with pytest.raises(AlreadyRunning), sole_supervisor(tmp_path, "x-0001"):
            pass
    os.close(hold_folder(tmp_path, "x-0001"))


def test_a_folder_whose_holder_is_killed_is_free(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        hold_folder(tmp_path, "x-0001")
        os.write(writer, b".")
        os.kill(os.getpid(), 9)
    os.read(reader, 1)
    os.waitpid(pid, 0)
    os.close(hold_folder(tmp_path, "x-0001"))
    for fd in (reader, writer):
        os.close(fd)
