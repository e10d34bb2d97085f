"""The struct of record locks, on this system and on one we do not have here."""

from __future__ import annotations

import ctypes
import fcntl
import os
import sys
from pathlib import Path

import pytest

from tuitrain.replay import flock_layout
from tuitrain.replay.flock_layout import LINUX, MACOS, FlockLayout

FIELDS = (fcntl.F_WRLCK, os.SEEK_SET, 5, 7, 0)


class MacFlock(ctypes.Structure):
    """As in macOS's <sys/fcntl.h>."""

    _fields_ = (
        ("l_start", ctypes.c_int64),
        ("l_len", ctypes.c_int64),
        ("l_pid", ctypes.c_int32),
        ("l_type", ctypes.c_short),
        ("l_whence", ctypes.c_short),
    )


@pytest.mark.parametrize("layout", [LINUX, MACOS])
def test_what_is_packed_is_unpacked(layout: FlockLayout) -> None:
    assert layout.unpack(layout.pack(1, 2, 3, 4, 5)) == (1, 2, 3, 4, 5)


def test_macos() -> None:
    made = MacFlock(l_start=3, l_len=4, l_pid=5, l_type=1, l_whence=2)
    assert MACOS.pack(1, 2, 3, 4, 5) == bytes(made)
    assert MACOS.unpack(bytes(made)) == (1, 2, 3, 4, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="asks this kernel")
def test_this_kernel_understands_it(tmp_path: Path) -> None:
    assert flock_layout.native() is LINUX
    with (tmp_path / "file").open("w") as file:
        answer = fcntl.fcntl(file, fcntl.F_GETLK, LINUX.pack(*FIELDS))
    assert LINUX.unpack(answer)[0] == fcntl.F_UNLCK
    assert LINUX.unpack(answer)[2:4] == (5, 7)
