"""A run whose folder is moved or removed goes on, says so, and does not end as if it were saved."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.unit.supervisor.running import kill, running, together, worker
from tuitrain.supervisor import watch
from tuitrain.supervisor.house.folder_lock import hold_folder
from tuitrain.supervisor.house.held_folder import HeldFolder

WORK = {"do": "work"}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "KEEPER_S", 0.1)


async def test_one_that_is_moved_is_told_and_the_run_fails_at_its_end(tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    async with running(tmp_path, {"learner": WORK, "a0": WORK}) as run:
        await run.up()
        before = run.pid("learner")
        run.folder.path.rename(moved)
        told = await run.event("was moved to")
        assert told.level == "error"
        assert f"mv {moved} {run.folder.path}" in told.text
        assert run.pid("learner") == before
        assert not (await run.ask("stop")).ok
        assert await run.end() == 3
        assert not run.folder.path.exists()
    summary = json.loads((moved / "summary.json").read_text())
    assert summary["state"] == "failed"
    assert f"was moved to {moved}" in summary["cause"]
    assert summary["run_dir"] == str(moved)
    assert (moved / "events.jsonl").read_text().count("training goes on") == 1


async def test_one_that_is_moved_back_is_as_before(tmp_path: Path) -> None:
    async with running(tmp_path, {"learner": WORK}) as run:
        await run.up()
        run.folder.path.rename(tmp_path / "moved")
        await run.event("was moved to")
        (tmp_path / "moved").rename(run.folder.path)
        await run.event("is back at")
        assert (await run.ask("stop")).ok
        assert await run.end() == 0
        assert run.summary["state"] == "stopped"


@pytest.mark.parametrize("then", ["stop", "death", "death in lockstep"])
async def test_what_has_the_name_of_one_that_was_removed_is_left_alone(
    tmp_path: Path, then: str
) -> None:
    """It is another run's, whose supervisor may be writing there; nor is anybody started by it."""
    workers = {"learner": WORK, "a0": WORK}
    tables = together(workers) if "lockstep" in then else None
    async with running(tmp_path, workers, tables=tables, max_restarts=3) as run:
        await run.up()
        shutil.rmtree(run.folder.path)
        run.folder.checkpoints.mkdir(parents=True)
        part = run.folder.checkpoints / "0000-00000001-learner0.part"
        part.touch()
        await run.event("was removed")
        shutil.rmtree(run.supervisor.house.path)  # it gets another, and tells runtime.json
        await run.event("the run listens on")
        if then == "stop":
            assert not (await run.ask("stop")).ok
        else:
            kill(run, "a0")
        assert await run.end() == 3
        assert worker(run, "a0").view.restarts == 0
        failure = run.supervisor.failure
        assert (failure is not None) == (then != "stop")
        assert failure is None or "was removed" in failure.final
        assert run.supervisor.view.last_checkpoint is None
        assert part.exists()
        assert list(run.folder.path.iterdir()) == [run.folder.checkpoints]  # no summary


def test_one_that_cannot_be_looked_up_just_now_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system that does not answer has not moved anything."""
    fd = hold_folder(tmp_path, "run")
    held = HeldFolder(tmp_path, fd)

    def stale(path: Path) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", stale)
        assert held.stands()
        assert not held.lost()
    os.close(fd)


def test_a_held_folder_knows_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    held = HeldFolder(path, hold_folder(path, "run"))
    assert held.stands()
    assert held.now() == path
    assert not held.lost()
    path.rename(tmp_path / "moved")
    path.mkdir()
    assert not held.stands()
    assert held.now() == tmp_path / "moved"
    assert held.lost() == f"the run folder {path} was moved to {tmp_path / 'moved'}"
    (tmp_path / "moved").rmdir()
    assert held.now() is None
    assert held.lost().endswith("was removed")
