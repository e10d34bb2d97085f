"""Looking at this machine: the one place here that asks the system. Judges nothing, never fails."""

from __future__ import annotations

import importlib.util
import locale
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from tuitrain.config.resolve import available_cores
from tuitrain.config.schema import Config
from tuitrain.doctor.facts import Clock, Machine, Package, Place, Space, Terminal
from tuitrain.replay import segment
from tuitrain.supervisor.crew.cgroup import read_cgroup
from tuitrain.supervisor.house.runtime import HouseError, check_socket_path, root
from tuitrain.supervisor.house.surroundings import Login, look_at_login

_ASKING_S = 2.0
_THREAD_PREFIXES = ("OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "VECLIB_")
_BOX2D = ("LunarLander", "BipedalWalker", "CarRacing")


def machine() -> Machine:
    """Cores, memory, limits."""
    total, free = segment.total_bytes(), segment.free_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    membership, load = "", None
    with suppress(OSError):
        load = os.getloadavg()[0]
    with suppress(OSError):
        membership = Path("/proc/self/cgroup").read_text()
    return Machine(
        cores=available_cores(),
        cores_there=os.cpu_count() or 1,
        load=load,
        shm=None if total is None or free is None else Space(total, free),
        memory_available_bytes=psutil.virtual_memory().available,
        cgroup=read_cgroup(membership),
        files_soft=None if soft == resource.RLIM_INFINITY else soft,
        files_hard=None if hard == resource.RLIM_INFINITY else hard,
        thread_variables={k: v for k, v in os.environ.items() if k.startswith(_THREAD_PREFIXES)},
    )


def clock_watch() -> Callable[[], Clock]:
    """Note the clocks; the function returned compares them with what they say then."""
    wall, steady = time.time(), time.monotonic()

    def compare() -> Clock:
        suspended = None
        if hasattr(time, "CLOCK_BOOTTIME"):
            suspended = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        now_wall, now_steady = time.time(), time.monotonic()
        watched = now_steady - steady
        return Clock(now_wall, watched, now_wall - wall - watched, suspended)

    return compare


def terminal() -> Terminal:
    """What the screen would be drawn on."""
    on_terminal = all(os.isatty(fd) for fd in (0, 1, 2))
    columns, rows = os.get_terminal_size(2) if on_terminal else (0, 0)
    with suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "")
    return Terminal(
        is_terminal=on_terminal,
        columns=columns,
        rows=rows,
        term=os.environ.get("TERM", ""),
        colorterm=os.environ.get("COLORTERM", ""),
        encoding=_encoding(),
        tmux_escape_ms=_tmux_escape_ms() if on_terminal and os.environ.get("TMUX") else None,
        ascii_wanted=bool(os.environ.get("TUITRAIN_ASCII")),
        no_color=bool(os.environ.get("NO_COLOR")),
    )


def _encoding() -> str:
    """Of the locale. "C" names none, and programs then write UTF-8 (PEP 538 and 540)."""
    encoding = locale.nl_langinfo(locale.CODESET)
    return "utf-8" if encoding == "ANSI_X3.4-1968" else encoding


def _tmux_escape_ms() -> int | None:
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        return int(_output("tmux", "show-options", "-sv", "escape-time"))
    return None


def login() -> Login:
    """What files say of logind, and what it says itself where it answers."""
    found = look_at_login()
    if not found.logind:
        return found
    with suppress(OSError, subprocess.SubprocessError):
        linger = _output("loginctl", "show-user", found.user, "--property=Linger", "--value")
        found = replace(found, linger=linger == "yes")
    for name in ("RemoveIPC", "KillUserProcesses"):
        with suppress(OSError, subprocess.SubprocessError):
            path, kind = "/org/freedesktop/login1", "org.freedesktop.login1"
            answer = _output("busctl", "get-property", kind, path, f"{kind}.Manager", name)
            if name == "RemoveIPC":
                found = replace(found, remove_ipc=answer == "b true")
            else:
                found = replace(found, kill_user_processes=answer == "b true")
    return found


def place(out_dir: Path) -> Place:
    """The runtime directory, which is made if need be, and the folder that runs are made in."""
    runtime, runtime_error = "", ""
    try:
        runtime = str(root())
        check_socket_path(Path(runtime) / "00000000" / "sock")
    except (HouseError, OSError) as error:
        runtime_error = str(error)
    existing = out_dir.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    out_error, space = "", None
    if not existing.is_dir():
        out_error = f"{existing} is no folder"
    else:
        try:  # a mount that is read-only, a quota: only trying tells
            with tempfile.TemporaryFile(dir=existing) as file:
                file.write(bytes(4096))
        except OSError as failure:
            out_error = f"{existing} cannot be written to: {failure.strerror}"
        with suppress(OSError):
            usage, status = shutil.disk_usage(existing), os.statvfs(existing)
            inodes = status.f_favail if status.f_files else None
            space = Space(usage.total, usage.free, inodes)
    return Place(
        runtime=runtime,
        runtime_error=runtime_error,
        runtime_wanted=os.environ.get("XDG_RUNTIME_DIR", ""),
        out_dir=str(out_dir),
        out_error=out_error,
        disk=space,
    )


def gpu_there() -> bool:
    """Whether the machine has an NVIDIA driver."""
    return Path("/proc/driver/nvidia/version").exists()


def packages(config: Config) -> list[Package]:
    """Optional packages that a config names by its keys; what environments import is theirs."""
    env_id, asked = config.env.id, []
    if env_id.startswith("MinAtar/"):
        asked.append(Package("minatar", "minatar", f"env.id = {env_id!r}", _has("minatar")))
    if env_id.startswith("ALE/"):
        for name, module in (("ale-py", "ale_py"), ("opencv", "cv2")):
            asked.append(Package(name, "atari", f"env.id = {env_id!r}", _has(module)))
    if env_id.startswith(_BOX2D):
        asked.append(Package("box2d", "box2d", f"env.id = {env_id!r}", _has("Box2D")))
    if config.run.tensorboard:
        has = _has("tensorboard")
        asked.append(Package("tensorboard", "tensorboard", "to look at its files", has, False))
    return asked


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _output(*command: str) -> str:
    """Raises OSError or SubprocessError where there is no answer in time."""
    return subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=_ASKING_S,
    ).stdout.strip()
