"""What around a run threatens it although it is healthy: logging out, and a /dev/shm nearly full.

systemd-logind may kill a user's processes when a session ends (`KillUserProcesses`), and removes
the names of a user's shared memory, and the runtime directory, when the last session does
(`RemoveIPC`), which a run survives (`keeper.py`); both leave alone whoever lingers (`loginctl
enable-linger`). See logind.conf(5). Judging is pure; looking reads a few small files and never
fails.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tuitrain.disk import how_to_lift, size

FIRST_USER = 1000
"""Users below are the system's (SYS_UID_MAX): logind removes nothing of theirs."""

SHM_MARGIN_BYTES = 16 * 2**20
"""What should stay free in /dev/shm: environments and libraries put things there too."""

_FOLDERS = ("etc", "run", "usr/local/lib", "usr/lib")
"""Where systemd looks for configuration, most important first."""

_TRUE = ("1", "yes", "y", "true", "t", "on")


@dataclass(frozen=True)
class Login:
    """What logind does when this user logs out.

    Attributes:
        logind: whether it runs here.
        in_session: this process belongs to a login session or a user's service manager.
    """

    user: str
    uid: int
    logind: bool
    linger: bool = False
    in_session: bool = True
    remove_ipc: bool = True
    kill_user_processes: bool = False
    kill_only: tuple[str, ...] = ()
    kill_exclude: tuple[str, ...] = ("root",)


def kills_at_logout(login: Login) -> bool:
    """Whether logging out kills a run."""
    if not login.logind or login.linger or not login.in_session:
        return False
    chosen = not login.kill_only or login.user in login.kill_only
    return login.kill_user_processes and chosen and login.user not in login.kill_exclude


def removes_names_at_logout(login: Login) -> bool:
    """Whether the last logout removes the names of a run's shared memory, and its socket."""
    ordinary = login.uid >= FIRST_USER
    return login.logind and not login.linger and login.remove_ipc and ordinary


def enable_linger(login: Login) -> str:
    """The command that makes both harmless."""
    return f"loginctl enable-linger {login.user}"


def logout_warnings(login: Login) -> list[str]:
    """What a user should know before leaving a run alone; nothing where there is no danger."""
    fix = f"`{enable_linger(login)}` prevents it"
    if kills_at_logout(login):
        return [f"logging out will kill this run (KillUserProcesses=yes of logind): {fix}"]
    if removes_names_at_logout(login):
        return [
            "your last logout will remove this run's socket and the names of its shared memory "
            "(RemoveIPC=yes of logind): it trains on, and commands find it again at a new socket "
            f"in /tmp/tuitrain-{login.uid}; {fix}"
        ]
    return []


def memory_warnings(limit_bytes: int | None) -> list[str]:
    """What a limit of the address space means; `limit_bytes` as ``disk.address_limit_bytes``."""
    if limit_bytes is None:
        return []
    return [
        f"a process may map {size(limit_bytes)} of memory at most (`ulimit -v`), and torch and the "
        "shared memory of a run count in full; where that is not enough, something fails that says "
        f"nothing of it. To be sure, {how_to_lift('v', 'AS')}"
    ]


def shm_warnings(total_bytes: int | None, free_bytes: int | None) -> list[str]:
    """Whether /dev/shm is nearly full now that a run has reserved its share."""
    if total_bytes is None or free_bytes is None or free_bytes >= SHM_MARGIN_BYTES:
        return []
    return [
        f"only {free_bytes / 2**20:.1f} of {total_bytes / 2**20:.0f} MiB are left in /dev/shm: an "
        "environment that needs shared memory would die of SIGBUS; enlarge it (containers: "
        "--shm-size)"
    ]


def disk_warnings(folder: Path, free: int | None, one_checkpoint: int, kept: int) -> list[str]:
    """Whether the checkpoints to be expected fit on the disk of a run folder.

    Args:
        free: bytes there; None where that cannot be told.
        one_checkpoint: bytes of one.
        kept: how many stay; one more is there while it is written, and the best weights.
    """
    needed = (kept + 2) * one_checkpoint
    if free is None or free >= needed:
        return []
    return [
        f"only {size(free)} are free in {folder}, and {kept} checkpoints (run.keep_checkpoints) of "
        f"about {size(one_checkpoint)} need {size(needed)} while one is written: make room, or "
        "some will not be written"
    ]


def look_at_login(root: Path = Path("/")) -> Login:
    """What the files of this machine say.

    Args:
        root: another file system than this one's, for tests.
    """
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:  # an id without a name
        user = str(uid)
    settings = login_settings(_logind_files(root))
    own_group = ""
    with suppress(OSError):
        own_group = (root / "proc/self/cgroup").read_text(errors="replace")
    return Login(
        user=user,
        uid=uid,
        logind=(root / "run/systemd/seats").is_dir() and (root / "run/systemd/system").is_dir(),
        linger=(root / "var/lib/systemd/linger" / user).exists(),
        in_session="user.slice" in own_group,
        remove_ipc=_flag(settings.get("RemoveIPC"), True),
        kill_user_processes=_flag(settings.get("KillUserProcesses"), False),
        kill_only=tuple(settings.get("KillOnlyUsers", "").split()),
        kill_exclude=tuple(settings.get("KillExcludeUsers", "root").split()),
    )


def login_settings(texts: Iterable[str]) -> dict[str, str]:
    """The keys of section `[Login]`, later texts over earlier ones."""
    found: dict[str, str] = {}
    for text in texts:
        section = ""
        for line in text.splitlines():
            if header := re.fullmatch(r"\s*\[(.*)\]\s*", line):
                section = header[1]
            elif section == "Login" and (pair := re.fullmatch(r"\s*([A-Za-z]+)\s*=(.*)", line)):
                found[pair[1]] = pair[2].strip()
    return found


def _logind_files(root: Path) -> list[str]:
    """Texts of the main file that counts and of all drop-ins, in the order of systemd."""
    homes = [root / folder / "systemd" for folder in _FOLDERS]
    main = [home / "logind.conf" for home in homes]
    drop_ins: dict[str, Path] = {}
    for home in reversed(homes):  # a file of the same name in a more important folder replaces it
        with suppress(OSError):
            drop_ins |= {p.name: p for p in (home / "logind.conf.d").glob("*.conf")}
    texts = []
    for path in [*[p for p in main if p.is_file()][:1], *(drop_ins[n] for n in sorted(drop_ins))]:
        with suppress(OSError):
            texts.append(path.read_text(errors="replace"))
    return texts


def _flag(text: str | None, default: bool) -> bool:
    return default if not text else text.lower() in _TRUE
