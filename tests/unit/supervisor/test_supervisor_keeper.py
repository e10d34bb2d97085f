"""A run whose names are taken away: it goes on, is found again, and still leaves nothing."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.fake_plan import FakePlan
from tests.unit.supervisor.running import Run, guard_of, running, until
from tuitrain.protocol import Request, encode
from tuitrain.replay import segment
from tuitrain.supervisor import watch
from tuitrain.supervisor.house import house as houses
from tuitrain.supervisor.house import keeper, leftovers, runtime
from tuitrain.supervisor.house.guard import Guard
from tuitrain.supervisor.house.marks import supervisor_mark

WORK = {"do": "work"}
LISTENS = "the run listens on"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "KEEPER_S", 0.1)


async def socket_answers(path: str | Path) -> bool:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(encode(Request(id=7, command="status")))
    hello, reply = await reader.readline(), await reader.readline()
    writer.close()
    return json.loads(hello)["kind"] == "hello" and json.loads(reply)["ok"] is True


async def end(run: Run) -> None:
    assert (await run.ask("stop")).ok
    assert await run.end() == 0
    assert run.summary["state"] == "stopped"
    assert run.summary["last_checkpoint"].endswith("ckpt-1")


@pytest.mark.parametrize(
    "gone",
    [
        *("folder", "alive", "run.json", "sock: a file"),
        *(pytest.param(gone, marks=pytest.mark.long) for gone in ("sock", "run.json and alive")),
    ],
)
async def test_a_house_that_is_lost_is_claimed_again(
    tmp_path: Path, runtime_dir: Path, gone: str
) -> None:
    async with running(tmp_path, {"learner": WORK, "a0": WORK}) as run:
        await run.up()
        house = run.supervisor.house
        before = run.pid("learner"), run.pid("a0")
        if gone == "folder":
            shutil.rmtree(house.path)
        else:
            for name in gone.removesuffix(": a file").split(" and "):
                (house.path / name).unlink()
                if gone.endswith(": a file"):
                    (house.path / name).write_text("")
        assert not leftovers.sweep()  # whoever comes just now takes nothing for dead
        await run.event(LISTENS)
        assert house.path == runtime_dir / "tuitrain" / run.supervisor.run_id
        (tenant,) = houses.tenants()
        assert await socket_answers(tenant.socket_path)
        assert os.stat(tenant.socket_path).st_mode & 0o777 == 0o600
        assert (run.pid("learner"), run.pid("a0")) == before
        await end(run)
    assert sum(LISTENS in event["text"] for event in run.events) == 1


async def test_a_logout_moves_the_run_to_where_every_command_looks(
    tmp_path: Path, runtime_dir: Path
) -> None:
    """The whole directory goes, all names in /dev/shm with it; later the user is back."""
    async with running(tmp_path, {"learner": WORK, "a0": WORK}) as run:
        await run.up()
        run_id = run.supervisor.run_id
        for name in segment.list_names(f"tuitrain-{run_id}-"):
            segment.unlink(name)
        shutil.rmtree(runtime_dir)
        await run.event(LISTENS)
        there = runtime._places()[-1] / run_id / "sock"
        assert json.loads(run.folder.runtime_json.read_text())["socket_path"] == str(there)
        runtime_dir.mkdir(0o700)  # logged in again
        (tenant,) = houses.tenants()
        assert tenant.socket_path == str(there)
        assert await socket_answers(there)
        assert not leftovers.sweep()
        await end(run)
        assert not there.parent.exists()


async def test_a_socket_that_the_run_folder_cannot_name_is_named_when_it_can(
    tmp_path: Path, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, {"learner": WORK}) as run:
        await run.up()
        there = runtime._places()[-1] / run.supervisor.run_id / "sock"
        with monkeypatch.context() as full:

            def refuse(*args: object, **kwargs: object) -> None:
                raise OSError(errno.ENOSPC, "needs more than is free")

            full.setattr("tuitrain.config.runs.write_atomically", refuse)
            shutil.rmtree(runtime_dir)
            await run.event(f"names another socket than {there}: No space left on device")
            await run.event(LISTENS)
            assert await socket_answers(there)
        named = run.folder.read_runtime
        await until(run, lambda: (named() or {})["socket_path"] == str(there))
        await end(run)
    assert not any("no command reaches it" in event["text"] for event in run.events)


async def test_while_the_lock_is_kept_the_run_is_looked_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "LOCK_WITHIN_S", 0.1)
    async with running(tmp_path, {"learner": WORK}) as run:
        await run.up()
        with runtime.root_lock(runtime.root()):
            shutil.rmtree(run.supervisor.house.path)
            await run.event(f"held by process {os.getpid()}")
            assert (await run.ask("resync")).ok
        await run.event(LISTENS)
        await end(run)


async def test_clients_stay_when_the_house_is_lost(tmp_path: Path) -> None:
    async with running(tmp_path, {"learner": WORK}) as run:
        await run.up()
        reader, writer = await asyncio.open_unix_connection(str(run.supervisor.house.socket_path))
        shutil.rmtree(run.supervisor.house.path)
        await run.event(LISTENS)
        await reader.readline()
        writer.write(encode(Request(id=7, command="status")))
        assert json.loads(await reader.readline())["ok"]
        writer.close()
        await end(run)


async def test_without_any_place_it_trains_on_says_so_once_and_tries_again(
    tmp_path: Path, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, {"learner": WORK}) as run:
        await run.up()
        fallback = runtime._places()[-1]
        fallback.mkdir(0o755)
        fallback.chmod(0o755)
        shutil.rmtree(runtime_dir)
        told = await run.event("no command reaches it")
        assert "chmod 700" in told.text
        moves = run.supervisor.house.claim_again
        tried = asyncio.Event()

        def again() -> None:
            tried.set()
            moves()

        monkeypatch.setattr(run.supervisor.house, "claim_again", again)
        await asyncio.wait_for(tried.wait(), 60.0)
        fallback.chmod(0o700)
        await run.event(LISTENS)
        await end(run)
    assert sum("no command reaches it" in event["text"] for event in run.events) == 1


async def test_a_run_that_ends_without_a_house_ends_as_others(
    tmp_path: Path, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "KEEPER_S", 1000.0)
    async with running(tmp_path, {"learner": WORK}) as run:
        await run.up()
        shutil.rmtree(runtime_dir)
        assert (await run.ask("stop")).ok
        assert await asyncio.wait_for(asyncio.shield(run.task), 60.0) == 0
        assert run.summary["state"] == "stopped"
    assert segment.list_names(f"tuitrain-{run.supervisor.run_id}-") == []


async def test_a_guard_that_cannot_be_started_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("tuitrain.supervisor.house.guard.subprocess.Popen", refuse)
    async with running(tmp_path, {"learner": WORK}, FakePlan()) as run:
        assert await run.end() == 3
        assert "temporarily unavailable" in run.summary["reason"]


async def test_there_is_one_guard_a_run(tmp_path: Path) -> None:
    async with running(tmp_path, {"learner": WORK}) as run:
        await run.up()
        assert guard_of(os.getpid()) > 0
        await end(run)


def test_a_guard_that_was_dismissed_is_not_taken_for_killed() -> None:
    """The run is looked after until it is quite over, and by then it has no guard any more."""
    guard = Guard(supervisor_mark("0badcafe"))
    guard.dismiss()
    assert not guard.ensure()
    with pytest.raises(ChildProcessError):
        os.waitpid(guard.pid, os.WNOHANG)  # it has been waited for, and there is no other
