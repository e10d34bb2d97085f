"""The runtime directory: which it is, private, and looked for in every place of this user."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.supervisor.owners import RUN_ID, dies, kill, start_owner
from tuitrain.supervisor.house import house as houses
from tuitrain.supervisor.house import leftovers, runtime
from tuitrain.supervisor.house.house import House
from tuitrain.supervisor.house.runtime import HouseError

PLACES = runtime._places


def test_a_symbolic_link_is_refused(runtime_dir: Path, tmp_path: Path) -> None:
    (runtime_dir / "tuitrain").symlink_to(tmp_path)
    with pytest.raises(HouseError, match="symbolic link"):
        runtime.root()


def test_a_folder_open_to_others_is_refused(runtime_dir: Path) -> None:
    (runtime_dir / "tuitrain").mkdir(mode=0o755)
    with pytest.raises(HouseError, match="chmod 700"):
        runtime.root()


def test_a_folder_of_another_user_is_refused(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.root()
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    with pytest.raises(HouseError, match="belongs to user"):
        runtime.check_private(runtime_dir / "tuitrain")


def test_a_socket_path_too_long_for_the_kernel_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(HouseError, match=r"107.*XDG_RUNTIME_DIR"):
        House.claim(RUN_ID, Path("/tmp"), "run-0001")
    assert not (deep / "tuitrain" / RUN_ID).exists()


def test_an_unusable_xdg_folder_falls_back_to_tmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_places", PLACES)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere/at/all")
    assert runtime.root() == Path(f"/tmp/tuitrain-{os.getuid()}")
    assert runtime.roots()[0] == runtime.root()


def test_runs_are_found_and_swept_in_every_runtime_directory_of_this_user(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a logout and a login: the run is in the fallback, the variable is set again."""
    fallback = runtime._places()[-1]
    with monkeypatch.context() as before:
        before.setenv("XDG_RUNTIME_DIR", str(fallback.parent))
        owner, child = start_owner(RUN_ID)
    assert runtime.root() == runtime_dir / "tuitrain"
    assert runtime.roots() == [runtime_dir / "tuitrain", fallback]
    (found,) = houses.tenants()
    assert found.socket_path == str(fallback / RUN_ID / "sock")
    kill(owner)
    assert leftovers.sweep().pids == [child]
    assert not (fallback / RUN_ID).exists()
    assert dies(child)


@pytest.mark.parametrize("how", ["open to others", "a link", "of another user"])
def test_a_runtime_directory_that_is_not_private_is_not_looked_into(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fallback = runtime._places()[-1]
    fallback.mkdir(0o700)
    house = House.claim(RUN_ID, tmp_path, "run-0001")
    planted = fallback / "0123abcd"
    planted.mkdir(0o700)
    assert runtime.roots()[1:] == [fallback]
    if how == "open to others":
        fallback.chmod(0o755)
    elif how == "a link":
        fallback.rename(tmp_path / "theirs")
        fallback.symlink_to(tmp_path / "theirs")
    else:
        real = os.lstat

        def lstat(path: Any) -> os.stat_result:
            status = real(path)
            if Path(path) != fallback:
                return status
            return os.stat_result((*status[:4], os.getuid() + 1, *status[5:]))

        monkeypatch.setattr(os, "lstat", lstat)
    assert fallback not in runtime.roots()
    assert not leftovers.sweep()
    assert [t.run_id for t in houses.tenants()] == [RUN_ID]
    house.release()


def test_a_runtime_directory_that_cannot_be_made_is_told(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any, mode: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(HouseError, match="cannot be made: Read-only file system; set XDG_RUN"):
        runtime.root()


def test_a_relative_runtime_directory_is_ignored(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runtime_dir.parent)
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime_dir.name)
    assert runtime.root() == runtime._places()[-1]
