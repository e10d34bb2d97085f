"""Descriptors on their way to a process that is being spawned.

The processes of a run share memory and a lock file by descriptor, not by name: names can be removed
under a living run, descriptors cannot. Only the supervisor holds them all, and only a process it
spawns gets them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import context, reduction
from typing import Any


class Handle:
    """One descriptor. Picklable only while a process is being spawned, which then has a copy.

    Args:
        fd: stays its owner's here; in the spawned process it is that process's own.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> tuple[Callable[..., Handle], tuple[Any]]:
        if context.get_spawning_popen() is None:
            raise TypeError(
                f"descriptor {self.fd} can be given to a process only while that is being spawned: "
                "make it an argument of a multiprocessing.Process of the spawn context"
            )
        return _arrived, (reduction.DupFd(self.fd),)


@dataclass(frozen=True)
class StoreHandles:
    """All that a worker needs to attach to a run's stores, in the order of the blueprint's plan."""

    lock: Handle
    segments: tuple[Handle, ...]


def _arrived(passed: Any) -> Handle:
    fd: int = passed.detach()
    os.set_inheritable(fd, False)  # spawn passes it on inheritable: no child of ours shall have it
    return Handle(fd)
