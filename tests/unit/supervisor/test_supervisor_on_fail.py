"""`checks.on_fail` in real supervisors: they pause, stop, or go back and forget what was broken."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import FakePlan
from tests.unit.supervisor.running import CREW, WORK, Run, kill, running, together, until, worker
from tests.unit.supervisor.scene import check, save
from tuitrain.checkpoint.choice import returning_to
from tuitrain.checkpoint.files import BEST, checkpoints
from tuitrain.config.checks import ChecksConfig
from tuitrain.config.schema import EnvConfig
from tuitrain.diagnosis.standing import CLEAR_LOOKS, RAISE_LOOKS
from tuitrain.protocol import CheckState
from tuitrain.supervisor import watch
from tuitrain.supervisor.clients.console import summary_lines
from tuitrain.supervisor.snapshot import SavedCounts


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
        event = await run.event("check non-finite failed: 1 (limit 0): lower lr")
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
        assert summary["reason"].startswith("check non-finite failed: 1 (limit 0): lower")
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


async def test_the_best_weights_of_what_is_void_are_not_the_best(
    tmp_path: Path, quick: None
) -> None:
    """▣ Where the probe does not put them back; and all is as before if nobody comes back."""

    class Once(GoesBack):
        starts = 0

        def create_stores(self, blueprint: Any) -> Any:
            self.starts += 1
            if self.starts > 2:
                raise OSError(28, "needed 4 GiB, free 64 MiB")
            return super().create_stores(blueprint)

    async with running(tmp_path, CREW, Once(), on_fail("rollback")) as run:
        await run.up()
        view, folder = run.supervisor.view, run.folder.checkpoints
        for number in (10, 20):
            good = saved(run, number)
            (folder / BEST).touch()
            best = {"path": str(folder / BEST), "score": 5e30, "steps": 6007, "policy": None}
            run.supervisor.journal.event("best so far", data={"best": best})
            assert view.best is not None
            looks(run, "ok", 1)
            looks(run, "fail", RAISE_LOOKS)
            if number == 10:
                event = await run.event("went back to an earlier checkpoint; what came after it")
                assert event.text.endswith(f"is kept in {folder / 'set-aside-1'}: {BEST}")
                await until(run, lambda: view.state == "running")
                assert view.best is None
                assert not (folder / BEST).exists()
        assert await run.end() == 3
        assert (folder / BEST).exists()
        assert run.summary["best"] == best
        assert run.summary["failed_check"] == "q_bound"
        reason = run.summary["reason"]
        assert reason.startswith(f"check q_bound failed, and nobody has come back to {good}: ")
        assert "could not be started again: OSError: [Errno 28] needed 4 GiB" in reason
        assert [path.name for path in checkpoints(folder)][-1] == good


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
        assert returning_to(run.folder.checkpoints) is None, "nor when it is resumed"
        assert run.summary["last_checkpoint"].endswith("ckpt-1"), "who lives has saved"


async def test_nobody_is_killed_for_a_return_that_has_no_room(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """▣ All would be dead, and the summary without room as well."""
    really, asked = os.fsync, list[str]()

    def fsync(descriptor: int) -> None:
        asked.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        if str(run.folder.path) in asked[-1]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(descriptor)

    async with running(tmp_path, CREW, GoesBack(), on_fail("rollback")) as run:
        await run.up()
        good = saved(run, 10)
        pids = {name: run.pid(name) for name in CREW}
        before = set(run.folder.path.rglob("*"))
        monkeypatch.setattr(os, "fsync", fsync)
        looks(run, "fail", RAISE_LOOKS + 2)
        (event,) = told(run, "only when there is room for it: No space left on device (256.0 KiB")
        assert event["data"] == {"check": "q_bound"}
        assert not told(run, "so all go back")
        assert {name: run.pid(name) for name in CREW} == pids
        assert set(run.folder.path.rglob("*")) <= before, "and nothing is left of the try"
        monkeypatch.undo()
        looks(run, "fail", RAISE_LOOKS)
        await run.event("all workers are back")
        assert told(run, f"so all go back to {good}")
        await run.ask("stop")
        assert await run.end() == 0


@pytest.mark.parametrize("tables", [{}, together(CREW)], ids=["async", "lockstep"])
async def test_who_cannot_come_back_names_the_check_and_what_is_newer(
    tmp_path: Path, tables: dict[str, Any], quick: None
) -> None:
    """▣ The checkpoint is found damaged when all are dead: newer ones are sound, and stay."""
    crew = {"probe": {"do": "raise at second start"}, **CREW}
    async with running(tmp_path, crew, GoesBack(True), tables | on_fail("rollback")) as run:
        await run.up()
        good, late = saved(run, 10), saved(run, 20, good=False)
        looks(run, "fail", RAISE_LOOKS)
        assert await run.end() == 3
        assert run.summary["failed_check"] == "q_bound"
        assert run.summary["reason"].startswith(
            f"check q_bound failed, and nobody has come back to {good} (newer ones, of after that, "
            f"stay where they were: {late}): probe (probe) failed, exit code 1: "
        )
        assert [path.name for path in checkpoints(run.folder.checkpoints)] == [good, late]
        assert told(run, f"failed: check q_bound failed, and nobody has come back to {good}")
        assert run.summary["failure"]["worker"] == "probe"
        assert run.summary["last_checkpoint"] == str(run.folder.checkpoints / late)


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


async def test_a_return_that_is_cut_off_is_known_to_a_resume(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """▣ From before anybody is killed, until all are back."""
    async with running(tmp_path, CREW, GoesBack(), on_fail("rollback")) as run:
        await run.up()
        good = run.folder.checkpoints / saved(run, 10)
        saved(run, 20, good=False)
        kill_all, seen = run.supervisor.crew.kill_all, []

        def killing() -> None:
            seen.append(returning_to(run.folder.checkpoints))
            kill_all()

        monkeypatch.setattr(run.supervisor.crew, "kill_all", killing)
        looks(run, "fail", RAISE_LOOKS)
        assert returning_to(run.folder.checkpoints) == good
        await run.event("all workers are back")
        assert seen == [good]
        assert returning_to(run.folder.checkpoints) is None
        await run.ask("stop")
        assert await run.end() == 0


async def test_nobody_goes_on_from_a_newer_checkpoint_in_its_stead(
    tmp_path: Path, quick: None
) -> None:
    """▣ Where newer ones cannot be moved, the newest would be gone on from as if it were good."""
    async with running(tmp_path, CREW, GoesBack(), on_fail("rollback")) as run:
        await run.up()
        good = saved(run, 10)
        late = saved(run, 20, good=False)
        in_the_way = run.folder.checkpoints / "set-aside.pending"
        in_the_way.touch()
        looks(run, "fail", RAISE_LOOKS)
        assert await run.end() == 3
        assert f"checkpoints newer than {run.folder.checkpoints / good}" in run.summary["reason"]
        assert "cannot be put aside" in run.summary["reason"]
        assert run.summary["failed_check"] == "q_bound"
        assert not told(run, "all workers are back")
        assert [path.name for path in checkpoints(run.folder.checkpoints)] == [good, late]


@pytest.mark.parametrize("killed", [False, True], ids=["before", "meanwhile"])
async def test_a_checkpoint_that_has_gone_is_not_gone_back_to(
    tmp_path: Path, killed: bool, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """▣ Before anybody is killed who lives can save; after that it is said all the same."""
    async with running(tmp_path, CREW, GoesBack(), on_fail("rollback")) as run:
        await run.up()
        good = run.folder.checkpoints / saved(run, 10)
        kill_all = run.supervisor.crew.kill_all
        if killed:
            monkeypatch.setattr(
                run.supervisor.crew, "kill_all", lambda: (good.unlink(missing_ok=True), kill_all())
            )
        looks(run, "fail", RAISE_LOOKS)
        if not killed:
            good.unlink()
        assert await run.end() == 3
        assert f"; {good.name} is not there any more" in run.summary["reason"]
        assert run.summary["failed_check"] == "q_bound"
        assert not told(run, "could not be started again")
        last = run.summary["last_checkpoint"]
        assert killed or (last or "").endswith("ckpt-1"), "who lives has saved"
