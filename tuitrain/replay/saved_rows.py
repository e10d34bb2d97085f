"""The rows of a shard on their way into a file and back: where they lie, in contiguous pieces.

Between two chunks nobody changes them, for a shard has one writer, and it is the one who saves. So
there is no copy and no pin. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from tuitrain.replay.layout import check_header
from tuitrain.replay.shard import ShardWriter
from tuitrain.replay.window import pieces

Held = dict[str, list[npt.NDArray[Any]]]
"""By column, at most two pieces of its memory, in the order of rows."""


def held(writer: ShardWriter) -> Held:
    """Rows [tail, head] of every column, the pending one included, until the next ``begin``."""
    return _held(writer, writer.tail, writer.head)


def take_over(writer: ShardWriter, tail: int, head: int, fill: Callable[[Held], None]) -> None:
    """Fill an empty shard with rows that another writer once held; see ``ShardWriter.begin_at``.

    Args:
        tail, head: theirs.
        fill: called with the memory that ``held`` describes, to be filled.

    Raises:
        ReplayDamaged: no writer has had such rows.
    """
    check_header(writer.shard, tail, head, writer.ring.rows)
    fill(_held(writer, tail, head))
    writer.begin_at(tail, head)


def _held(writer: ShardWriter, tail: int, head: int) -> Held:
    slots = pieces(tail, head + 1, writer.ring.rows)
    return {
        name: [column[writer.shard, start:stop] for start, stop in slots]
        for name, column in writer.columns.data()
    }
