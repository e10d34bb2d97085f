"""``struct flock`` as the C library of a system has it: what ``fcntl`` takes and gives."""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence


class FlockLayout:
    """Packs and unpacks (type, whence, start, length, pid), always in this order here.

    Args:
        layout: of the struct, as the module ``struct`` writes it.
        order: which of the five comes first in it, which next.
    """

    def __init__(self, layout: str, order: Sequence[int]) -> None:
        self._struct = struct.Struct(layout)
        self._order = tuple(order)

    def pack(self, *fields: int) -> bytes:
        """The struct with these five fields."""
        return self._struct.pack(*(fields[at] for at in self._order))

    def unpack(self, data: bytes) -> tuple[int, int, int, int, int]:
        """The five fields."""
        values = dict(zip(self._order, self._struct.unpack(data), strict=True))
        return values[0], values[1], values[2], values[3], values[4]


LINUX = FlockLayout("hhqqi4x", (0, 1, 2, 3, 4))  # 64 bit
MACOS = FlockLayout("qqihh", (2, 3, 4, 0, 1))


def native() -> FlockLayout:
    """That of the system this runs on."""
    return MACOS if sys.platform == "darwin" else LINUX
