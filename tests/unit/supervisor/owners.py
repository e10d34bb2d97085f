"""Processes that hold a house, and die."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from pathlib import Path

from tuitrain.config.runs import new_run_id

RUN_ID = new_run_id()  # segments are global: other tests run at the same time

OWNER = """
import os, signal, subprocess, sys
from pathlib import Path
from tuitrain.replay import segment
from tuitrain.supervisor.house.house import House
house = House.claim(sys.argv[1], Path("/tmp"), "run-0001")
house.socket_path.touch()
house.lock_path.touch()
segment.create(f"tuitrain-{sys.argv[1]}-replay0", 4096, bytes(32))
child = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"],
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
    env={**os.environ, "TUITRAIN_RUN_ID": sys.argv[1]},
)
print(child.pid, flush=True)
sys.stdin.read()
"""


def start_owner(run_id: str) -> tuple[subprocess.Popen[str], int]:
    """A process that holds a house, a segment and a process of its own, until its stdin ends."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def kill(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.communicate(timeout=30)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def dies(pid: int, within_s: float = 20.0) -> bool:
    """Whether a process that has been sent SIGKILL is gone; the kernel takes its time."""
    deadline = time.monotonic() + within_s
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], 0.01)
    return True
