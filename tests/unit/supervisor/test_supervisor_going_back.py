"""Where there are rounds a death has all go back to a checkpoint, or to the start, together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import FakePlan
from tests.unit.supervisor.running import CREW, WORK, gone, kill, running, together, until, worker
from tuitrain.checkpoint.files import checkpoints
from tuitrain.supervisor import supervisor as supervisors
from tuitrain.supervisor.snapshot import SavedCounts


async def test_in_rounds_all_go_back_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisors, "address_limit_bytes", lambda: 2**40)
    async with running(tmp_path, CREW, tables=together(CREW), max_restarts=3) as run:
        await run.up()
        pids = {n: run.pid(n) for n in CREW}
        await until(run, lambda: run.supervisor.snapshot().steps > 5)
        kill(run, "a0")
        event = await run.event("all workers are back, at the start")
        assert "steps are made again" in event.text
        assert event.data == {"mark": "back"}, "from here on checks stand anew"
        await until(run, lambda: run.supervisor.view.state == "running")
        assert all(run.pid(n) != pids[n] and gone(pids[n]) for n in CREW)
        assert run.supervisor.snapshot().reproducible is True
        views = run.supervisor.snapshot().processes
        assert {p.name: (p.restarts, p.rolled_back, bool(p.died_of)) for p in views} == {
            "learner": (0, 1, False),
            "a0": (1, 0, True),
            "eval": (0, 1, False),
        }
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["restarts"] == {"a0": 1}, "the others were rolled back, not dead"
        assert run.summary["reproducible"] is True
        told = [e for e in run.events if "ulimit -v" in e["text"]]
        assert len(told) == 1, "what holds for the whole run is told once"


async def test_a_return_to_less_than_everything_is_told(tmp_path: Path) -> None:
    class Inexact(FakePlan):
        builds = 0

        def build(self, **given: Any) -> Any:
            self.builds += 1
            return super().build(**given)

        def reproducible(self, blueprint: Any) -> bool:
            return self.builds == 1

    async with running(tmp_path, CREW, Inexact(), together(CREW), max_restarts=3) as run:
        await run.up()
        assert run.supervisor.snapshot().reproducible is True
        kill(run, "learner")
        event = await run.event("it is not reproducible")
        assert event.level == "warning"
        assert run.supervisor.snapshot().reproducible is False
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["reproducible"] is False


async def test_an_actor_that_had_to_begin_anew_ends_reproducibility(tmp_path: Path) -> None:
    """▣ Also after a change that decides nothing, for which it is judged again."""
    crew = CREW | {"a0": WORK | {"ready": {"begun_anew": ["a0"]}}}
    async with running(tmp_path, crew, tables=together(crew)) as run:
        await run.up()
        assert run.supervisor.snapshot().reproducible is False
        assert (await run.ask("set", values=["run.log_level=info"])).ok
        assert run.supervisor.snapshot().reproducible is False
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["reproducible"] is False


async def test_what_is_passed_over_on_the_way_back_is_put_aside(tmp_path: Path) -> None:
    class PassesOver(FakePlan):
        start: str | None = None

        def start_of(self, blueprint: Any) -> str | None:
            return self.start

    plan = PassesOver()
    async with running(tmp_path, CREW, plan, together(CREW), max_restarts=3) as run:
        await run.up()
        folder = run.folder.checkpoints
        sound, damaged = [folder / f"ckpt-{n:010d}.pt" for n in (10, 20)]
        sound.touch()
        damaged.touch()
        run.supervisor.note_checkpoint(str(damaged), SavedCounts())
        plan.start = str(sound)
        kill(run, "a0")
        await run.event("newer ones are kept in")
        await until(run, lambda: run.supervisor.view.state == "running")
        assert checkpoints(folder) == [sound]
        assert checkpoints(folder / "set-aside-1") == [folder / "set-aside-1" / damaged.name]
        assert run.supervisor.snapshot().last_checkpoint == str(sound)
        await run.ask("stop")
        assert await run.end() == 0


async def test_deaths_of_all_count_where_all_go_back(tmp_path: Path) -> None:
    workers = {**CREW, "a0": {"do": "SIGKILL"}}
    async with running(tmp_path, workers, tables=together(workers), max_restarts=1) as run:
        await run.up()
        assert await run.end() == 3
        assert "death 2 of all workers together within" in run.summary["reason"]


async def test_who_raises_the_same_after_going_back_ends_the_run(tmp_path: Path) -> None:
    workers = {**CREW, "a0": {"do": "raise"}}
    async with running(tmp_path, workers, tables=together(workers), max_restarts=5) as run:
        await run.up()  # a0 may raise again before anybody can tell that all are back
        assert await run.end() == 3
        assert "in the same way" in run.summary["reason"]
        assert len(run.summary["deaths"]) == 2


async def test_a_death_while_all_go_back_begins_the_return_anew(tmp_path: Path) -> None:
    workers = {**CREW, "eval": {"do": "die at second start"}}
    async with running(tmp_path, workers, tables=together(workers), max_restarts=5) as run:
        await run.up()
        kill(run, "a0")
        await run.event("all workers are back")
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["restarts"] == {"a0": 1, "eval": 1}


async def test_a_probe_that_is_killed_while_all_go_back_is_made_again(tmp_path: Path) -> None:
    workers = {"probe": {"do": "die at second start"}, **CREW}
    async with running(tmp_path, workers, tables=together(workers), max_restarts=5) as run:
        await run.up()
        kill(run, "a0")
        await run.event("all workers are back")
        await run.ask("stop")
        assert await run.end() == 0
        assert [d["worker"] for d in run.summary["deaths"]] == ["a0", "probe"]
        assert run.summary["restarts"] == {"a0": 1}


async def test_a_stop_while_all_go_back_ends_everything(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, tables=together(CREW), max_restarts=3) as run:
        await run.up()
        kill(run, "learner")
        await until(run, lambda: run.supervisor.view.state == "starting")
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["state"] == "stopped"


async def test_a_stop_while_all_go_back_counts_what_is_saved(tmp_path: Path) -> None:
    """The rest is lost: who resumes begins there."""
    saves = WORK | {"steps": 5000, "counts": {"steps": 4321, "updates": {"default": 77}}}
    crew = {"learner": saves, "a0": WORK}
    async with running(tmp_path, crew, tables=together(crew), max_restarts=3) as run:
        await run.up()
        assert (await run.ask("checkpoint")).ok
        await until(run, lambda: run.supervisor.snapshot().steps > 5000)
        kill(run, "a0")
        await until(run, lambda: run.supervisor.view.state == "starting")
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["steps"] == 4321
        assert run.summary["policies"]["default"]["updates"] == 77


async def test_a_paused_run_is_paused_when_all_are_back(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, tables=together(CREW), max_restarts=3) as run:
        await run.up()
        assert (await run.ask("pause")).ok
        kill(run, "a0")
        await run.event("all workers are back")
        await until(run, lambda: all(worker(run, n).view.state == "paused" for n in CREW))
        assert run.supervisor.view.state == "paused"
        await run.ask("stop")
        assert await run.end() == 0


async def test_memory_that_is_not_there_any_more_ends_the_run(tmp_path: Path) -> None:
    class Once(FakePlan):
        made = 0

        def create_stores(self, blueprint: Any) -> Any:
            self.made += 1
            if self.made > 1:
                raise OSError(28, "needed 4 GiB, free 64 MiB: docker run --shm-size")
            return super().create_stores(blueprint)

    async with running(tmp_path, CREW, Once(), together(CREW), max_restarts=3) as run:
        await run.up()
        kill(run, "a0")
        assert await run.end() == 3
        assert "--shm-size" in run.summary["reason"]
