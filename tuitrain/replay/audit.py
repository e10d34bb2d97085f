"""The live audit of rows: what is noted of a few of them, and the slow rules by which it is judged.

An actor notes what its network was given in a row, what the row holds and how far its episode
reached back; a learner that draws the row works the same out again from what it learns from. Plain
loops over single rows: nothing here shares code with the stacks, returns and windows that it
judges. Pure; whoever calls owns the rows or has pinned them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

import numpy.typing as npt

from tuitrain.replay.layout import ABSENT, AUDIT, BOUNDARY, CUT, Columns

AFTERMATH = 2.0
"""Work costs about as much again in what runs after it, whose code and data it has driven out of
the caches (benchmarks/audit.py)."""
MOST_CREDIT_S = 0.01
"""Time that was not used is forgotten beyond this: after a long rest there is no burst of work."""


class Entry(NamedTuple):
    """What an actor has noted of one lane of a row; fields as in ``layout.AUDIT``.

    Attributes:
        row: absolute row.
        lane: lane of the shard.
        history: rows before this one in the same episode, at most n_frames - 1, counted from what
            the environment said; -1 if no transition begins in the row.
        stack: CRC-32 of the frames that were acted on.
        checksum: see the function of this name.
    """

    row: int
    lane: int
    history: int
    stack: int
    checksum: int


assert Entry._fields == AUDIT.names


def stack_hash(frames: npt.NDArray[Any]) -> int:
    """CRC-32 of a stack [n_frames, *shape], C-contiguous."""
    return crc32(frames.data)


def checksum(columns: Columns, shard: int, entry: Entry, n_frames: int) -> int:
    """CRC-32 of an entry, of every column of its lane of its row, and of the frames before it."""
    rows = columns.age.shape[1]
    row, lane = entry.row, entry.lane
    slot = row % rows
    value = crc32(struct.pack("<qqqq", *entry[:-1]))
    for _, column in columns.data():
        # slices, not numbers: a damaged bool would be read as True
        of_lane = column[shard, slot:] if column.ndim == 2 else column[shard, slot, lane:]
        value = crc32(of_lane[:1].data, value)
    age = int(columns.age[shard, slot, lane])
    for back in range(1, min(age, n_frames - 1) + 1):
        frame = columns.observation[shard, (row - back) % rows, lane:]
        value = crc32(frame[:1].data, value)
    return value


def crossing(
    columns: Columns,
    shard: int,
    entry: Entry,
    n_step: int,
    state: Sequence[int],
    after: Sequence[int],
    discount: float,
) -> str:
    """What of a drawn transition is not of its row's episode; empty if all of it is.

    Args:
        entry: of the row at which the transition begins.
        n_step: steps summed before the bootstrap.
        state, after: cells (``window.cells``) of the frames that were drawn, oldest first.
        discount: of the bootstrap.
    """
    rows, lanes = columns.age.shape[1:]
    row, lane = entry.row, entry.lane

    def cell(at: int) -> int:
        return int((shard * rows + at % rows) * lanes + lane)

    def flag(at: int, which: int) -> bool:
        return bool(columns.flat_flags[cell(at)] & which)

    if entry.history < 0:
        return "no transition begins in it: it shows an end, or its agent was not there"
    end, terminated = row, False
    for _ in range(n_step):
        if end > row and flag(end, BOUNDARY | CUT | ABSENT):
            return f"its return goes on past row {end}, where the episode is over"
        at = cell(end)
        end += 1
        terminated = bool(columns.flat_terminated[at])
        if terminated or columns.flat_truncated[at]:
            break
    if flag(end, CUT):
        return f"its next row {end} is another episode's"
    if terminated and discount:
        return f"it is bootstrapped from row {end}, though the episode terminated"
    first = row - entry.history
    for what, newest, drawn in (("frames", row, state), ("next frames", end, after)):
        wanted = [max(newest - back, first) for back in reversed(range(len(drawn)))]
        if [cell(at) for at in wanted] != list(drawn):
            slots = [at // lanes % rows for at in drawn]
            return (
                f"its {what} lie in slots {slots}, those of its episode in "
                f"{[at % rows for at in wanted]} of {rows}"
            )
    return ""


class Budget:
    """Time that may be spent: at most a share of what passes, but for the last piece of work.

    It is given all times, in seconds of one clock.

    Args:
        share: at most so much of the time; 0 permits nothing.
        now: when it begins.
        enough_s: work begins when there is time for more than so much, and goes on until that is
            spent: what comes first, after other work, costs many times what comes next.
        given_s: may be spent beside the share, whenever that is.
    """

    def __init__(
        self, share: float, now: float, enough_s: float = 0.0, given_s: float = 0.0
    ) -> None:
        self._share = share
        self._enough_s = enough_s
        self._began = self._last = now
        self._credit_s = given_s
        self._spent_s = 0.0
        self._open = False

    def allows(self, now: float) -> bool:
        """Whether work may begin, or go on."""
        most = max(self._credit_s, MOST_CREDIT_S)
        self._credit_s = min(self._credit_s + self._share * (now - self._last), most)
        self._last = now
        self._open = self._credit_s > (0 if self._open else self._enough_s)
        return self._open

    def spend(self, seconds: float) -> None:
        """Work has taken so long, and will cost ``AFTERMATH`` times as much."""
        self._credit_s -= seconds * AFTERMATH
        self._spent_s += seconds * AFTERMATH

    def spent_share(self, now: float) -> float:
        """Share of the time since the beginning that work has taken."""
        return self._spent_s / max(now - self._began, 1e-9)
