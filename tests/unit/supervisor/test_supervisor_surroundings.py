"""What logind and a nearly full /dev/shm do to a run, and that it is told before it happens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.unit.supervisor.running import running
from tuitrain.supervisor import starting
from tuitrain.supervisor import supervisor as supervisors
from tuitrain.supervisor.house.surroundings import (
    Login,
    kills_at_logout,
    login_settings,
    logout_warnings,
    look_at_login,
    memory_warnings,
    removes_names_at_logout,
    shm_warnings,
)

MIB = 2**20
DEBIAN = Login("ana", 1000, logind=True)


def test_debian_removes_names_at_logout_and_kills_nothing() -> None:
    (warning,) = logout_warnings(DEBIAN)
    assert "RemoveIPC=yes" in warning
    assert "loginctl enable-linger ana" in warning


def test_a_user_whose_processes_are_killed_is_told_that_first() -> None:
    (warning,) = logout_warnings(replace(DEBIAN, kill_user_processes=True))
    assert "kill this run" in warning
    assert "loginctl enable-linger ana" in warning


@pytest.mark.parametrize(
    "harmless",
    [
        {"linger": True},
        {"logind": False},
    ],
)
def test_no_word_where_nothing_happens(harmless: dict[str, bool]) -> None:
    assert logout_warnings(replace(DEBIAN, kill_user_processes=True, **harmless)) == []


def test_who_is_killed() -> None:
    killing = replace(DEBIAN, kill_user_processes=True)
    assert kills_at_logout(killing)
    assert not kills_at_logout(replace(killing, in_session=False))  # a service of the system
    assert not kills_at_logout(replace(killing, kill_exclude=("root", "ana")))
    assert not kills_at_logout(replace(killing, kill_only=("bob",)))
    assert kills_at_logout(replace(killing, kill_only=("bob", "ana")))
    assert not kills_at_logout(DEBIAN)


def test_whose_names_are_removed() -> None:
    assert removes_names_at_logout(DEBIAN)
    assert not removes_names_at_logout(replace(DEBIAN, uid=0))
    assert not removes_names_at_logout(replace(DEBIAN, uid=998))
    assert not removes_names_at_logout(replace(DEBIAN, remove_ipc=False))


def test_settings_are_of_their_section_and_the_last_counts() -> None:
    first = "# RemoveIPC=no\n[Login]\n#KillUserProcesses=yes\nRemoveIPC=yes\nUserStopDelaySec=10\n"
    second = "[Other]\nKillUserProcesses=yes\n [Login] \n RemoveIPC = no\n"
    found = login_settings([first, second])
    assert found == {"RemoveIPC": "no", "UserStopDelaySec": "10"}


def test_drop_ins_lie_over_the_main_file_as_systemd_lays_them(tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    user = look_at_login().user
    (tmp_path / "run/systemd/seats").mkdir(parents=True)
    (tmp_path / "run/systemd/system").mkdir()
    write("proc/self/cgroup", "0::/user.slice/user-1000.slice/session-2.scope\n")
    write("etc/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\nRemoveIPC=yes\n")
    write("usr/lib/systemd/logind.conf", "[Login]\nKillExcludeUsers=nobody-at-all\n")
    write("usr/lib/systemd/logind.conf.d/50-ours.conf", "[Login]\nRemoveIPC=yes\n")
    write("etc/systemd/logind.conf.d/50-ours.conf", "[Login]\nRemoveIPC=0\n")
    write("usr/lib/systemd/logind.conf.d/90-last.conf", f"[Login]\nKillOnlyUsers={user} b\n")
    login = look_at_login(tmp_path)
    assert login.logind
    assert login.in_session
    assert not login.linger
    assert login.kill_user_processes
    assert not login.remove_ipc
    assert login.kill_only == (user, "b")
    assert login.kill_exclude == ("root",)  # the main file of /etc hides that of /usr/lib

    write(f"var/lib/systemd/linger/{user}", "")
    assert look_at_login(tmp_path).linger


def test_a_machine_without_systemd_threatens_nobody(tmp_path: Path) -> None:
    login = look_at_login(tmp_path)
    assert not login.logind
    assert logout_warnings(login) == []


def test_shared_memory_that_is_nearly_full() -> None:
    (warning,) = shm_warnings(64 * MIB, 3 * MIB)
    assert "3.0 of 64 MiB" in warning
    assert "--shm-size" in warning
    assert shm_warnings(64 * MIB, 30 * MIB) == []
    assert shm_warnings(None, None) == []


def test_a_limit_of_the_address_space_is_told() -> None:
    assert memory_warnings(None) == []
    (warning,) = memory_warnings(512 * MIB)
    assert "512.0 MiB" in warning
    assert "ulimit -v unlimited" in warning


async def test_a_run_tells_what_threatens_it_and_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisors, "look_at_login", lambda: DEBIAN)
    monkeypatch.setattr(starting.segment, "total_bytes", lambda: 64 * MIB)
    monkeypatch.setattr(starting.segment, "free_bytes", lambda: MIB)
    async with running(tmp_path, {"learner": {"do": "work"}}) as run:
        await run.up()
        assert (await run.event("RemoveIPC=yes")).level == "warning"
        assert (await run.event("left in /dev/shm")).level == "warning"
        logout, shm = run.told.warnings  # the terminal of a run that is left alone has them too
        assert "RemoveIPC=yes" in logout
        assert "left in /dev/shm" in shm
        assert (await run.ask("stop")).ok
        assert await run.end() == 0


async def test_threads_of_workers_are_not_bound_to_the_first_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    async with running(tmp_path, {"learner": {"do": "work"}}) as run:
        await run.up()
        assert psutil.Process(run.pid("learner")).environ()["OMP_PROC_BIND"] == "false"
        assert (await run.ask("stop")).ok
        assert await run.end() == 0
