"""Checks of where a run lives: runtime directory, disk, and what logging out does to it."""

from __future__ import annotations

import os

from tuitrain.doctor.facts import Place
from tuitrain.doctor.finding import Finding, size
from tuitrain.supervisor.house.surroundings import (
    Login,
    enable_linger,
    kills_at_logout,
    removes_names_at_logout,
)

FEW_INODES = 1_000


def runtime_dir(place: Place) -> Finding:
    """Sockets and locks have a private folder."""
    name = "runtime folder"
    if place.runtime_error:
        return Finding("runtime_dir", name, "fail", place.runtime_error)
    wanted = place.runtime_wanted
    if wanted and os.path.dirname(place.runtime) != wanted.rstrip("/"):
        return Finding(
            "runtime_dir",
            name,
            "warn",
            f"{place.runtime}, because {wanted} (XDG_RUNTIME_DIR) cannot be written to",
            "Another login that has it would not find your runs. Make it, or do without:",
            ("unset XDG_RUNTIME_DIR",),
        )
    return Finding("runtime_dir", name, "ok", f"{place.runtime}, private")


def disk(place: Place, needed_bytes: int) -> Finding:
    """The run folder can be made and has room.

    Args:
        needed_bytes: of checkpoints and lines; 0 where that is not known.
    """
    if place.out_error:
        advice = "Name another folder:"
        fix = ("--set run.out_dir=PATH",)
        return Finding("disk", "disk", "fail", place.out_error, advice, fix)
    if place.disk is None:
        return Finding("disk", "disk", "n/a", f"{place.out_dir}: its size cannot be told")
    free = place.disk.free_bytes
    found = f"{size(free)} free in {place.out_dir}"
    if needed_bytes:
        found += f", about {size(needed_bytes)} needed"
    advice = "Free some, lower run.keep_checkpoints, or name another folder:"
    fix = ("--set run.out_dir=PATH",)
    if free < needed_bytes:
        return Finding("disk", "disk", "fail", found, advice, fix)
    if place.disk.inodes is not None and place.disk.inodes < FEW_INODES:
        return Finding(
            "disk", "disk", "warn", f"only {place.disk.inodes:,} more files fit there", advice, fix
        )
    if free < 2 * needed_bytes:
        return Finding("disk", "disk", "warn", found, advice, fix)
    return Finding("disk", "disk", "ok", found)


def logout(login: Login) -> Finding:
    """A run outlives its user's login."""
    name, fix = "logging out", (enable_linger(login),)
    if not login.logind:
        return Finding("logout", name, "ok", "no systemd-logind here: nothing is killed or removed")
    if kills_at_logout(login):
        found = "kills what you have left running (KillUserProcesses=yes)"
        return Finding("logout", name, "warn", found, "Keep your processes and files:", fix)
    if removes_names_at_logout(login):
        return Finding(
            "logout",
            name,
            "warn",
            "removes sockets and names of shared memory (RemoveIPC=yes)",
            "Training goes on and is found again at a new socket. To keep the old:",
            fix,
        )
    why = "you linger" if login.linger else "KillUserProcesses=no"
    if not login.linger and not login.in_session:
        why = "this is no login session"
    return Finding("logout", name, "ok", f"leaves runs alone ({why})")
