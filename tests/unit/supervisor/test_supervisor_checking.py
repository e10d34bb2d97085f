"""What fails is told, and pauses, stops or goes back if `checks.on_fail` says so.

First of a run without processes, whose snapshots the test makes; then of real supervisors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fake_plan import FakePlan
from tests.unit.supervisor.running import CREW, WORK, Run, kill, running, together, until, worker
from tuitrain.checkpoint.files import checkpoints
from tuitrain.config.checks import ChecksConfig
from tuitrain.config.schema import EnvConfig
from tuitrain.diagnosis.standing import CLEAR_LOOKS, RAISE_LOOKS
from tuitrain.protocol import CheckState, CheckView
from tuitrain.supervisor import watch
from tuitrain.supervisor.checking import RESTARTED, Checking
from tuitrain.supervisor.clients.console import summary_lines
from tuitrain.supervisor.ending import End
from tuitrain.supervisor.snapshot import SavedCounts


def check(state: CheckState, id_: str = "q_bound") -> CheckView:
    return CheckView(id=id_, name=id_, value="7", limit="1", state=state, advice="lower it")


class Scene:
    """A run whose only check is in the state that the test says."""

    def __init__(self, folder: Path, on_fail: str, **limits: Any) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.ends: list[End] = []
        self.asked: list[str] = []
        self.back: list[tuple[str, Callable[[str], None]]] = []
        self.now = check("ok")
        self.run: Any = SimpleNamespace(
            config=SimpleNamespace(
                checks=ChecksConfig.model_validate({"on_fail": on_fail} | limits)
            ),
            folder=SimpleNamespace(checkpoints=folder, name="maze-0001"),
            journal=SimpleNamespace(
                event=lambda text, *, level, data: self.events.append((level, text, data))
            ),
            end=SimpleNamespace(done=lambda: bool(self.ends)),
            request_end=self.ends.append,
            held=False,
        )
        recovery: Any = SimpleNamespace(
            going_back=False, roll_back=lambda to, why, cannot: self.back.append((to.name, cannot))
        )
        requests: Any = SimpleNamespace(handle=self._handle)
        self.recovery = recovery
        self.checking = Checking(self.run, requests, recovery)

    async def _handle(self, request: Any) -> None:
        self.asked.append(request.command)
        self.run.held = True

    def snapshot(self, state: str = "running") -> Any:
        return SimpleNamespace(state=state, steps=1000, time_s=1.0, checks=[self.now])

    def look(
        self, state: CheckState, id_: str = "q_bound", times: int = RAISE_LOOKS, of: str = "running"
    ) -> None:
        self.now = check(state, id_)
        for _ in range(times):
            self.checking.look(self.snapshot(of))

    def save(
        self,
        number: int,
        state: CheckState = "ok",
        id_: str = "q_bound",
        times: int = CLEAR_LOOKS,
    ) -> str:
        """A checkpoint; a check is in this state when it is written, and for so many looks."""
        name = save(self.run.folder.checkpoints, number, self.checking.on_checkpoint)
        self.look(state, id_, times=1)
        self.look("ok", id_, times=times - 1)
        return name

    def acted(self) -> bool:
        return bool(self.asked or self.back or self.ends)


def save(folder: Path, number: int, tell: Callable[[str], None]) -> str:
    path = folder / f"ckpt-{number:010d}.pt"
    path.touch()
    tell(str(path))
    return path.name


# ---- told ----------------------------------------------------------------------------------------


def test_a_change_that_has_held_is_told_and_nothing_is_done_by_default(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "log")
    scene.look("fail", times=RAISE_LOOKS - 1)
    assert scene.events == []
    scene.look("fail", times=50)
    scene.look("ok", times=CLEAR_LOOKS)
    assert [(level, text) for level, text, _ in scene.events] == [
        ("error", "check q_bound failed: 7 (limit 1): lower it"),
        ("info", "check q_bound is ok again: 7 (limit 1): lower it"),
    ]
    assert scene.events[0][2]["check"] == "q_bound"
    assert not scene.acted()
    (raised,) = scene.checking.close(scene.snapshot("stopped"))
    assert (raised["check"], raised["state"]) == ("q_bound", "fail")


@pytest.mark.parametrize("state", ["starting", "stopping", "failed"])
def test_only_a_run_that_is_up_is_judged(tmp_path: Path, state: str) -> None:
    scene = Scene(tmp_path, "stop")
    scene.look("fail", of=state)
    assert scene.events == []


@pytest.mark.parametrize("on_fail", ["pause", "stop", "rollback"])
async def test_warnings_and_what_restarts_care_for_are_told_alone(
    tmp_path: Path, on_fail: str
) -> None:
    for state, id_ in (("warn", "q_bound"), *(("fail", id_) for id_ in RESTARTED)):
        scene = Scene(tmp_path, on_fail)
        scene.save(10)
        scene.look(state, id_)
        assert len(scene.events) == 1
        assert not scene.acted()


async def test_a_change_of_what_is_done_holds_for_a_failure_that_stands(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "log")
    scene.look("fail")
    for what in ("pause", "log", "pause", "stop"):
        assert scene.ends == []
        scene.run.config.checks = ChecksConfig.model_validate({"on_fail": what})
        scene.look("fail", times=1)
        await asyncio.sleep(0)
        assert scene.asked == ["pause"], "once, though it was said twice"
        scene.run.held = False
    assert [end.check for end in scene.ends] == ["q_bound"]


# ---- pause ---------------------------------------------------------------------------------------


async def test_a_failure_pauses_once_until_it_has_been_ok(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "pause")
    for times in (1, 2):
        scene.look("fail")
        await asyncio.sleep(0)
        assert scene.asked == ["pause"] * times
        scene.run.held = False  # its user wants it to go on
        for state in ("fail", "n/a", "warn", "fail"):
            scene.look(state, times=50)
        await asyncio.sleep(0)
        assert scene.asked == ["pause"] * times
        scene.look("ok", times=CLEAR_LOOKS)
    level, text, data = scene.events[1]
    assert level == "warning"
    assert "`tuitrain unpause maze-0001` goes on all the same" in text
    assert data == {"check": "q_bound", "on_fail": "pause"}


async def test_a_run_that_is_paused_already_is_not_paused_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "pause")
    scene.run.held = True
    scene.look("fail", of="paused")
    scene.run.held = False
    scene.look("fail")
    await asyncio.sleep(0)
    assert scene.asked == []


# ---- stop ----------------------------------------------------------------------------------------


def test_a_failure_stops_and_the_reason_has_what_was_measured(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "stop")
    scene.look("fail", times=50)
    (end,) = scene.ends
    assert end == End(
        "failed",
        "check q_bound failed: 7 (limit 1): lower it",
        brief="check q_bound failed",
        check="q_bound",
    )
    assert end.checkpoint


def test_a_stop_names_the_last_checkpoint_of_before(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "stop")
    scene.save(10)
    good = scene.save(20, "warn")
    scene.look("ok", times=CLEAR_LOOKS)
    scene.save(30, "fail")
    scene.look("fail")
    assert scene.ends[0].reason.endswith(f"; the last checkpoint of before is {good}")


# ---- rollback ------------------------------------------------------------------------------------


def test_a_checkpoint_that_was_saved_while_something_failed_is_not_gone_back_to(
    tmp_path: Path,
) -> None:
    """▣ Also if that had not held, came soon after, or one of the same name was good before."""
    scene = Scene(tmp_path, "rollback")
    good = scene.save(10, "fail", "processes")  # a worker had died, which is no matter here
    scene.save(20)
    scene.save(20, "fail")
    scene.save(30, times=CLEAR_LOOKS - 1)
    scene.look("fail")
    assert [name for name, _ in scene.back] == [good]
    level, text, data = scene.events[-1]
    assert level == "warning"
    assert text.startswith(f"check q_bound failed, so all go back to {good} (checks.on_fail)")
    assert data["checkpoint"] == str(tmp_path / good)


def test_a_pause_does_not_make_a_checkpoint_good(tmp_path: Path) -> None:
    """▣ Nobody measures anything meanwhile."""
    scene = Scene(tmp_path, "rollback")
    good = scene.save(10)
    scene.save(20, times=1)
    scene.look("ok", times=CLEAR_LOOKS, of="paused")
    scene.look("fail")
    assert [name for name, _ in scene.back] == [good]


def test_a_checkpoint_saved_while_a_failure_still_stands_is_not_good(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "log")
    scene.look("fail")
    scene.save(10, "ok", times=RAISE_LOOKS)
    scene.look("n/a", times=50)
    scene.run.config.checks = ChecksConfig(on_fail="rollback")
    scene.look("fail", times=1)
    assert "no checkpoint is left that was saved while no check failed" in scene.ends[0].reason


def test_each_checkpoint_is_gone_back_to_once_and_not_for_ever(tmp_path: Path) -> None:
    """▣ What has not helped is not tried again."""
    scene = Scene(tmp_path, "rollback", max_rollbacks=3)
    for number in (10, 20, 30, 40):
        scene.save(number)
    (tmp_path / "ckpt-0000000020.pt").unlink()  # pruned
    for times, number in enumerate((40, 30, 10), 1):
        scene.look("fail")
        scene.recovery.going_back = True
        scene.look("fail", "another")
        assert [name for name, _ in scene.back][times - 1 :] == [f"ckpt-{number:010d}.pt"]
        scene.recovery.going_back = False
        scene.checking.begin_again()
        scene.look("fail", times=RAISE_LOOKS - 1)
        assert len(scene.back) == times, "it has not held since"
        scene.checking.begin_again()
        scene.save(60 + times, "n/a", times=1)  # at once, as the clock may have it
    last = scene.save(50)
    scene.look("fail")
    assert "it has gone back 3 times, which is checks.max_rollbacks" in scene.ends[0].reason
    assert scene.ends[0].reason.endswith(f"; the last checkpoint of before is {last}")


def test_where_nobody_can_go_back_the_run_stops(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "rollback")
    scene.save(10)
    scene.look("fail")
    _, cannot = scene.back[0]
    cannot("world.py has changed")
    assert "lower it; world.py has changed; the last checkpoint" in scene.ends[0].reason
    assert scene.ends[0].check == "q_bound"


# ---- real supervisors ----------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds for four looks does so in a moment."""
    for name in ("TICK_S", "SNAPSHOT_S", "SOURCES_S"):
        monkeypatch.setattr(watch, name, 0.02)


def on_fail(what: str) -> dict[str, Any]:
    return {"checks": ChecksConfig.model_validate({"on_fail": what})}


BROKEN = CREW | {"learner": WORK | {"loses its numbers": 1}}
"""A learner whose loss is once no number; its successor's is one."""


class GoesBack(FakePlan):
    """All go on from the newest checkpoint there is."""

    folder: Path

    def build(self, **given: Any) -> Any:
        self.folder = given["run_dir"] / "checkpoints"
        return super().build(**given)

    def start_of(self, blueprint: Any) -> str | None:
        there = checkpoints(self.folder)
        return str(there[-1]) if there else None


def saved(run: Run, number: int, *, good: bool = True) -> str:
    def tell(path: str) -> None:
        run.supervisor.note_checkpoint(path, SavedCounts())

    name = save(run.folder.checkpoints, number, tell)
    if good:
        looks(run, "ok", CLEAR_LOOKS)
    return name


def looks(run: Run, state: CheckState, times: int) -> None:
    """So many snapshots with a check in this state."""
    snapshot = run.supervisor.snapshot().model_copy(update={"checks": [check(state)]})
    for _ in range(times):
        run.supervisor.checking.look(snapshot)


def told(run: Run, part: str) -> list[dict[str, Any]]:
    return [event for event in run.events if part in event["text"]]


async def test_a_failure_pauses_and_unpause_goes_on(tmp_path: Path, quick: None) -> None:
    async with running(tmp_path, BROKEN, tables=on_fail("pause")) as run:
        await run.up()
        await until(run, lambda: run.supervisor.view.state == "paused")
        event = await run.event("check non-finite failed: 1 (limit 0): default: lower lr")
        assert event.level == "error"
        assert (event.data["state"], event.data["was"]) == ("fail", "ok")
        assert told(run, "check non-finite failed, so the run is paused")
        assert told(run, "paused: 3 of 3 workers hold")
        assert (await run.ask("unpause")).ok
        before = run.supervisor.snapshot()
        await until(run, lambda: run.supervisor.snapshot().seq > before.seq + 50)
        assert run.supervisor.view.state == "running"
        await run.ask("stop")
        assert await run.end() == 0
        (raised,) = run.summary["raised_checks"]
        assert (raised["check"], raised["state"], raised["value"]) == ("non_finite", "fail", "1")
        assert run.summary["failed_check"] is None


async def test_a_failure_stops_with_all_that_can_be_saved(tmp_path: Path, quick: None) -> None:
    class Saves(FakePlan):
        def state_of(self, blueprint: Any) -> tuple[str, ...]:
            return ("a0",)

    async with running(tmp_path, BROKEN, Saves(), on_fail("stop")) as run:
        await run.up()
        assert await run.end() == 3
        summary = run.summary
        assert (summary["state"], summary["failed_check"]) == ("failed", "non_finite")
        assert summary["reason"].startswith("check non-finite failed: 1 (limit 0): default: lower")
        assert summary["cause"] == summary["reason"]
        assert (run.folder.path / "state of a0").exists(), "workers are sound: all is saved"
        assert told(run, "stopping: check non-finite failed")
        assert not told(run, "the replay cannot be saved")


async def test_a_stop_that_cannot_save_says_both(tmp_path: Path, quick: None) -> None:
    full = BROKEN | {"learner": BROKEN["learner"] | {"disk full": True}}
    async with running(tmp_path, full, tables=on_fail("stop")) as run:
        await run.up()
        assert await run.end() == 3
        reason = run.summary["reason"]
        assert reason.startswith("check non-finite failed: ")
        assert "; and learner could not save: " in reason
        assert run.summary["failed_check"] == "non_finite"


@pytest.mark.parametrize("tables", [{}, together(CREW)], ids=["async", "lockstep"])
async def test_a_failure_takes_all_back_and_what_was_broken_is_forgotten(
    tmp_path: Path, tables: dict[str, Any], quick: None
) -> None:
    async with running(tmp_path, BROKEN, GoesBack(), tables | on_fail("rollback")) as run:
        (run.folder.path / "lost-0").touch()  # it loses nothing yet
        await run.up()
        pids = {name: run.pid(name) for name in CREW}
        good = saved(run, 10)
        record = {"kind": "learner", "policy": "default", "loss": float("nan")}
        run.supervisor.view.on_record(record, 0.0)
        late = saved(run, 20, good=False)
        back = await run.event("all workers are back, at the start")
        assert "steps are made again" in back.text
        await until(run, lambda: run.supervisor.view.state == "running")
        assert run.supervisor.view.non_finite == {}
        assert run.supervisor.checking._standings.failed() == [], "the next failure counts anew"
        assert all(run.pid(name) != pids[name] for name in CREW)
        folder = run.folder.checkpoints
        assert [path.name for path in checkpoints(folder)] == [good]
        assert [path.name for path in checkpoints(folder / "set-aside-1")] == [late]
        assert run.supervisor.snapshot().last_checkpoint == str(folder / good)
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["restarts"] == {}, "nobody has died"
        (line,) = [line for line in summary_lines(run.summary) if "on the way" in line]
        assert line.startswith("  check failed on the way: non-finite 1, step ")


async def test_nobody_goes_back_with_edited_sources(tmp_path: Path, quick: None) -> None:
    """▣ And that they are edited is seen while the run goes on."""
    source = tmp_path / "world.py"
    source.write_text("speed = 1\n")
    env = {"env": EnvConfig(id=f"{source}:World", kwargs={"workers": CREW})}
    async with running(tmp_path, CREW, GoesBack(), on_fail("rollback") | env) as run:
        await run.up()
        saved(run, 10)
        await until(run, lambda: run.supervisor.snapshot().edited_sources == [])
        source.write_text("speed = 2\n")
        await until(run, lambda: run.supervisor.snapshot().edited_sources == [str(source)])
        pids = {name: run.pid(name) for name in CREW}
        looks(run, "fail", RAISE_LOOKS)
        assert await run.end() == 3
        assert f"{source} (env.id) has changed" in run.summary["reason"]
        assert run.summary["failed_check"] == "q_bound"
        assert {name: run.pid(name) for name in CREW} == pids
        assert run.summary["last_checkpoint"].endswith("ckpt-1"), "who lives has saved"


async def test_a_death_on_the_way_back_begins_the_return_anew(tmp_path: Path) -> None:
    """▣ Also in `async`, where the dead one alone would have a successor."""
    crew = CREW | {"eval": {"do": "ready late"}}
    async with running(tmp_path, crew, GoesBack(), on_fail("rollback"), max_restarts=5) as run:
        late = run.folder.path / "late"
        late.touch()
        await run.up()
        good = saved(run, 10)
        late.unlink()
        pids = {run.pid("a0")}
        looks(run, "fail", RAISE_LOOKS)
        await until(run, lambda: run.pid("a0") not in pids and worker(run, "a0").ready.is_set())
        learner = run.pid("learner")
        kill(run, "a0")
        await run.event("a0 (actor) failed")
        late.touch()
        await run.event("all workers are back")
        await until(run, lambda: run.supervisor.view.state == "running")
        assert run.pid("learner") != learner
        assert not told(run, "a0 is back")
        assert [path.name for path in checkpoints(run.folder.checkpoints)] == [good]
        await run.ask("stop")
        assert await run.end() == 0
