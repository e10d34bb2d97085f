"""What cannot be measured or removed, for want of descriptors: training goes on, nothing stays."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fake_plan import FakePlan, fake_config, fake_folder
from tests.unit.supervisor.running import Run, Started, running
from tuitrain.replay import segment
from tuitrain.supervisor import watch
from tuitrain.supervisor.house import held_folder, runtime
from tuitrain.supervisor.house import house as houses
from tuitrain.supervisor.house.open_files import why

WORK = {"do": "work"}
ERRORS = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO]


class Faulty:
    """Fails as long as it is told to."""

    def __init__(self, function: Any, error: int) -> None:
        self._function, self._error = function, error
        self.fails = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fails:
            raise OSError(self._error, os.strerror(self._error), "/proc/1/statm")
        return self._function(*args, **kwargs)


def shown(run: Run) -> list[int | None]:
    return [process.rss_bytes for process in run.supervisor.snapshot().processes]


@pytest.mark.parametrize(
    ("what", "error"),
    [
        # each error of one of the two; the others are long
        pytest.param(what, error, marks=() if at % 2 == which else pytest.mark.long)
        for which, what in enumerate(("a process", "the machine"))
        for at, error in enumerate(ERRORS)
    ],
)
async def test_what_cannot_be_measured_is_not_known_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, error: int
) -> None:
    async with running(tmp_path, {"learner": WORK, "a0": WORK}) as run:
        await run.up()
        place: Any = psutil.Process if what == "a process" else psutil
        name = "cpu_percent" if what == "a process" else "virtual_memory"
        faulty = Faulty(getattr(place, name), error)
        monkeypatch.setattr(place, name, lambda *args: faulty(*args))
        told = await run.event("cannot be measured")
        assert os.strerror(error) in told.text
        assert "training goes on" in told.text
        assert not run.supervisor.end.done()
        if what == "a process":
            assert shown(run) == [None, None]
        for _ in range(3):
            run.supervisor.crew.measure()
        faulty.fails = False
        await run.event("are measured again")
        assert None not in shown(run)
        assert (await run.ask("stop")).ok
        assert await run.end() == 0
    assert sum("be measured" in event["text"] for event in run.events) == 1
    assert sum("measured again" in event["text"] for event in run.events) == 1


def test_of_too_many_open_files_it_is_said_how_many_and_what_to_do() -> None:
    text = why(OSError(errno.EMFILE, "Too many open files", "/proc/1/statm"))
    assert f"prlimit --pid {os.getpid()} --nofile=" in text
    assert "file-nr" in why(OSError(errno.ENFILE, "Too many open files in system"))


@pytest.mark.parametrize("error", ERRORS)
async def test_a_house_that_cannot_be_looked_at_is_not_taken_for_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    house = houses.House.claim("0badcafe", tmp_path, "run-0001")
    monkeypatch.setattr("tuitrain.regular.read", Faulty(None, error))
    (house.path / "sock").touch()
    assert house.stands()
    house.release()


def test_a_folder_whose_descriptor_gives_no_answer_is_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", Faulty(None, errno.EIO))
        assert held_folder.HeldFolder(tmp_path, fd).lost() == ""
    os.close(fd)


@pytest.mark.parametrize("step", ["memory", "processes", "house"])
async def test_what_the_cleaning_cannot_remove_the_guard_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(watch, "KEEPER_S", 1000.0)
    too_many = Faulty(None, errno.EMFILE)
    async with running(tmp_path, {"learner": WORK}, FakePlan()) as run:
        await run.up()
        run_id = run.supervisor.run_id
        with monkeypatch.context() as patched:
            if step == "house":
                patched.setattr(houses, "root_lock", too_many)
            else:
                patched.setattr(run.supervisor.plan, "unlink", too_many)
            if step == "processes":
                patched.setattr("tuitrain.supervisor.supervisor.kill_of", too_many)
            assert (await run.ask("stop")).ok
            await asyncio.wait_for(asyncio.shield(run.task), 60.0)
        assert segment.list_names(f"tuitrain-{run_id}-") == []
        assert not (runtime.root() / run_id).exists()
        assert await run.end() == 0


def test_a_supervisor_that_may_open_nothing_ends_and_leaves_nothing(tmp_path: Path) -> None:
    started = Started(fake_folder(tmp_path, fake_config({"learner": WORK, "a0": WORK})))
    assert started.up
    pid, limit = started.process.pid, resource.RLIMIT_NOFILE
    resource.prlimit(pid, limit, (4, resource.prlimit(pid, limit)[1]))
    os.kill(pid, signal.SIGTERM)
    _, events, _ = started.end()
    assert any("could not remove shared memory" in line.get("text", "") for line in events)
    run_id = started.folder.read_run_id()
    assert segment.list_names(f"tuitrain-{run_id}-") == []
    assert not (runtime.root() / str(run_id)).exists()
