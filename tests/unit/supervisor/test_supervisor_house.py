"""The house of a run: its own while it lives, and swept of what the dead left."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import FakePlan
from tests.unit.supervisor.owners import RUN_ID, alive, dies, kill, start_owner
from tests.unit.supervisor.running import running
from tuitrain import regular
from tuitrain.replay import segment
from tuitrain.supervisor.house import house as houses
from tuitrain.supervisor.house import leftovers, marks, runtime
from tuitrain.supervisor.house.house import AlreadyRunning, House
from tuitrain.supervisor.house.runtime import HouseError
from tuitrain.supervisor.supervisor import Supervisor

LAYOUT_HASH = bytes(32)


def test_a_sigkilled_owner_is_dead_at_once_and_everything_it_left_is_swept() -> None:
    owner, child = start_owner(RUN_ID)
    assert [t.run_id for t in houses.tenants()] == [RUN_ID]
    assert not leftovers.sweep()
    assert alive(child)
    kill(owner)
    assert houses.tenants() == []

    looked = leftovers.sweep(dry_run=True)
    assert looked.run_ids == [RUN_ID]
    assert segment.list_names(f"tuitrain-{RUN_ID}-")

    swept = leftovers.sweep()
    assert swept.segments == [f"tuitrain-{RUN_ID}-replay0"]
    assert swept.pids == [child]
    assert {Path(f).name for f in swept.files} == {"alive", "lock", "run.json", "sock"}
    assert segment.list_names(f"tuitrain-{RUN_ID}-") == []
    assert not (runtime.root() / RUN_ID).exists()
    assert dies(child)
    assert not leftovers.sweep()


def test_a_living_run_is_neither_swept_nor_claimed_again() -> None:
    house = House.claim(RUN_ID, Path("/tmp"), "run-0001")
    made = segment.create(f"tuitrain-{RUN_ID}-replay0", 4096, LAYOUT_HASH)
    try:
        assert not leftovers.sweep()
        with pytest.raises(AlreadyRunning, match="run-0001"):
            House.claim(RUN_ID, Path("/tmp"), "run-0001")
        assert house.path.exists()
        assert segment.list_names(f"tuitrain-{RUN_ID}-")
    finally:
        made.close()
        segment.unlink(made.name)
        house.release()
    assert not house.path.exists()
    House.claim(RUN_ID, Path("/tmp"), "run-0001").release()


def test_a_lock_that_another_process_keeps_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(runtime.time, "sleep", waited.append)
    house = House.claim(RUN_ID, tmp_path, "run-0001")
    with runtime.root_lock(runtime.root()):
        for claims in (
            leftovers.sweep,
            house.claim_again,
            lambda: House.claim("0" * 8, tmp_path, ""),
        ):
            with pytest.raises(
                runtime.RootLocked, match=rf"\.lock is held by process {os.getpid()},"
            ):
                claims()
        assert sum(waited) == pytest.approx(2 * runtime.LOCK_WITHIN_S, abs=0.2)
        house.release()
        assert not house.path.exists()
    with runtime.root_lock(runtime.root()), monkeypatch.context() as nowhere:
        nowhere.setattr(Path, "read_text", lambda path: "")
        with pytest.raises(runtime.RootLocked, match="held by another process"):
            House.claim(RUN_ID, tmp_path, "run-0001")


async def test_a_run_of_another_runtime_directory_is_not_taken_for_dead(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = {"learner": {"do": "work"}, "a0": {"do": "work"}}
    async with running(tmp_path, workers) as run:
        await run.up()
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("other")))
            assert houses.tenants() == []
            with pytest.raises(AlreadyRunning, match=r"runtime\.json"):
                await Supervisor(run.folder, run.supervisor.config, plan=FakePlan()).run()
        assert (await run.ask("pause")).ok
        assert (await run.ask("stop")).ok
        assert await run.end() == 0


async def test_a_dead_session_is_not_swept_while_its_run_lives_with_another_directory(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, {"learner": {"do": "work"}}) as run:
        await run.up()
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("before")))
            left = runtime.root() / run.supervisor.run_id
            left.mkdir()
            (left / "run.json").write_text(json.dumps({"run_dir": str(run.folder.path)}))
            assert not leftovers.sweep()
        assert (await run.ask("stop")).ok
        assert await run.end() == 0
        assert leftovers._lives_elsewhere(left) is False


def test_claiming_after_a_sigkill_removes_what_was_left() -> None:
    owner, child = start_owner(RUN_ID)
    kill(owner)
    house = House.claim(RUN_ID, Path("/tmp"), "run-0001")
    try:
        assert segment.list_names(f"tuitrain-{RUN_ID}-") == []
        assert dies(child)
        assert not house.socket_path.exists()
    finally:
        house.release()


def test_a_reused_pid_does_not_make_a_dead_run_live(runtime_dir: Path) -> None:
    owner, _ = start_owner(RUN_ID)
    run_json = runtime_dir / "tuitrain" / RUN_ID / "run.json"
    kill(owner)
    run_json.write_text(
        run_json.read_text().replace(f'"pid": {owner.pid}', f'"pid": {os.getpid()}')
    )
    assert houses.tenants() == []
    assert leftovers.sweep().run_ids == [RUN_ID]


def test_segments_without_a_house_are_left_to_clean_which_asks_who_maps_them() -> None:
    made = segment.create("tuitrain-fedc4321-replay0", 4096, LAYOUT_HASH)
    try:
        assert not leftovers.sweep()
        assert "tuitrain-fedc4321-replay0" not in leftovers.orphans(dry_run=True)  # mapped here
    finally:
        made.close()
    assert "tuitrain-fedc4321-replay0" in leftovers.orphans(dry_run=True)
    segment.unlink("tuitrain-fedc4321-replay0")


def test_what_a_run_keeps_is_for_its_user_alone() -> None:
    mask = os.umask(0)
    try:
        house = House.claim(RUN_ID, Path("/tmp"), "run-0001")
    finally:
        os.umask(mask)
    assert house.path.stat().st_mode & 0o777 == 0o700
    assert house.path.parent.stat().st_mode & 0o777 == 0o700
    for name in ("alive", "run.json"):
        assert (house.path / name).stat().st_mode & 0o777 == 0o600
    house.release()


def test_a_house_that_is_gone_is_released_without_a_word(runtime_dir: Path) -> None:
    house = House.claim(RUN_ID, Path("/tmp"), "run-0001")
    shutil.rmtree(runtime_dir)
    house.release()
    house.release()


@pytest.mark.parametrize("number", [errno.ENFILE, errno.EACCES])
def test_where_it_cannot_be_told_who_lives_nobody_is_taken_for_dead(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    house = House.claim(RUN_ID, Path("/tmp"), "run-0001")
    opener = regular.opener

    def fails(path: str, flags: int) -> int:
        if path.endswith("alive"):
            raise OSError(number, os.strerror(number))
        return opener(path, flags)

    with monkeypatch.context() as patch:
        patch.setattr(regular, "opener", fails)
        assert not leftovers.sweep()
        with pytest.raises(HouseError, match=os.strerror(number)):
            houses.tenants()
        with pytest.raises(HouseError, match="cannot be told"):
            House.claim(RUN_ID, Path("/tmp"), "run-0001")
    assert [tenant.run_id for tenant in houses.tenants()] == [RUN_ID]
    house.release()


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)])
def test_something_else_in_the_place_of_a_life_is_none(runtime_dir: Path, put: Any) -> None:
    put(runtime_dir / "alive")
    assert not runtime.is_alive(runtime_dir)


def test_half_a_house_of_a_living_supervisor_is_not_swept(
    runtime_dir: Path, tmp_path: Path
) -> None:
    """Its `alive` and `run.json` are gone already: only the processes tell that the run lives."""
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    half = runtime.root() / RUN_ID
    half.mkdir(0o700)
    worker = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        env={**os.environ, **marks.marks(RUN_ID)}
        | {marks.SUPERVISOR_VARIABLE: f"{owner.pid}:{marks._birth(owner.pid)}:{RUN_ID}"},
    )
    try:
        assert marks.is_supervised(RUN_ID)
        assert not leftovers.sweep()
        assert worker.poll() is None
        owner.kill()
        owner.wait()
        assert leftovers.sweep().pids == [worker.pid]
        assert worker.wait() == -signal.SIGKILL
    finally:
        for process in (owner, worker):
            process.kill()
            process.communicate()


@pytest.mark.parametrize("name", ["alive", "run.json"])
def test_a_claim_that_fails_half_way_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    really = os.open

    def full(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if Path(path).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return really(path, flags, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises(HouseError, match=r"cannot be made: No space left.*free in"):
            House.claim(RUN_ID, Path("/tmp"), "run-0001")
    assert runtime.run_folders(runtime.root()) == []
    House.claim(RUN_ID, Path("/tmp"), "run-0001").release()  # no lock is held either


def test_something_else_in_the_place_of_a_file_is_no_living_run(runtime_dir: Path) -> None:
    dead = runtime.root() / RUN_ID
    dead.mkdir(0o700)
    (dead / "alive").mkdir()
    os.mkfifo(dead / "run.json")
    assert houses.tenants() == []
    assert leftovers.sweep().run_ids == [RUN_ID]


def test_a_folder_in_the_place_of_the_lock_is_told(runtime_dir: Path) -> None:
    (runtime.root() / ".lock").mkdir()
    with pytest.raises(HouseError, match=r"\.lock cannot be opened: .*remove it"):
        House.claim(RUN_ID, Path("/tmp"), "run-0001")


@pytest.mark.parametrize("run_id", ["", "../../etc", "0123ABCD", "0123abcde"])
def test_a_run_id_is_eight_hex_digits(run_id: str) -> None:
    with pytest.raises(ValueError, match="8 hex digits"):
        House.claim(run_id, Path("/tmp"), "run-0001")


def test_kill_marked_spares_everyone_else() -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    marked = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        env={**os.environ, marks.RUN_ID_VARIABLE: RUN_ID},
    )
    try:
        assert marks.kill_marked(RUN_ID) == [marked.pid]
        assert marked.wait() == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.communicate(b"\n")
        marked.communicate()
