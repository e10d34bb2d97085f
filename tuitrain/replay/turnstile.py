"""The steps of the reader-writer lock, as a table: what is asked, and where each answer leads.

``lock.RWLock`` makes its requests from this table, and the tests walk it: a model checker explores
every interleaving of threads and processes that follow it, with deaths, stops, deadlines and
exceptions at every step, and another test shows that ``RWLock`` takes the table's step under every
answer. So the protocol that is proven is the one that runs.

Everyone on entry takes the *gate* exclusively and gives it up once they have the *data*, which
readers share. Who waits for the data stands in the gate, so nobody overtakes them: from there on a
writer waits only for the holders there are. Waiting at the gate is not a queue: whoever looks while
it is free gets it, so there one gets in because looks are repeated at moments that do not depend
on the others' (the model's strong fairness), not after a fixed number of others. The gate is
held for a few µs unless somebody waits in it.

Knows no system calls, no clock and nothing of what the lock protects.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

GATE: Final = 0
DATA: Final = 1
BYTES: Final = 2
"""Bytes of the lock file per resource: the gate and the data."""
THREAD: Final = -1
"""Not a byte of the file: the lock between the threads of a process."""


class Want(IntEnum):
    """What is asked for a range."""

    FREE = 0
    SHARED = 1
    EXCLUSIVE = 2


class Place(IntEnum):
    """Where a thread is. At every place but OUTSIDE and INSIDE it is about to make a request."""

    OUTSIDE = 0
    AT_THREAD = 1
    AT_GATE = 2
    AT_DATA = 3
    THROUGH = 4
    INSIDE = 5
    LEAVING = 6
    LAST = 7


class Request(NamedTuple):
    """A range of bytes of one resource, and what is wanted of it."""

    want: Want
    first: int
    length: int = 1


class Step(NamedTuple):
    """What is done at a place.

    Attributes:
        request: None where nothing is asked: the thread goes on when it likes.
        then: the next place once the request is granted.
        overdue: the next place if it was refused until the deadline; until then it is repeated.
            None: this request is never refused.
        broken: the next place if an exception comes up, be it before or after the request was
            granted (a signal handler may raise after any call). None: nothing catches it here.
    """

    request: Request | None
    then: Place
    overdue: Place | None = None
    broken: Place | None = None


Table = Mapping[Place, Step]


def _table(data: Want) -> Table:
    return {
        Place.OUTSIDE: Step(None, Place.AT_THREAD),
        Place.AT_THREAD: Step(Request(Want.EXCLUSIVE, THREAD), Place.AT_GATE, Place.OUTSIDE),
        Place.AT_GATE: Step(
            Request(Want.EXCLUSIVE, GATE), Place.AT_DATA, Place.LEAVING, Place.LEAVING
        ),
        Place.AT_DATA: Step(Request(data, DATA), Place.THROUGH, Place.LEAVING, Place.LEAVING),
        Place.THROUGH: Step(Request(Want.FREE, GATE), Place.INSIDE, None, Place.LEAVING),
        Place.INSIDE: Step(None, Place.LEAVING),
        # Both bytes, whatever is held: one request ends a hold and clears up after a failure.
        Place.LEAVING: Step(Request(Want.FREE, GATE, BYTES), Place.LAST),
        Place.LAST: Step(Request(Want.FREE, THREAD), Place.OUTSIDE),
    }


READ: Final = _table(Want.SHARED)
WRITE: Final = _table(Want.EXCLUSIVE)
BLAME: Final = (Request(Want.EXCLUSIVE, DATA), Request(Want.EXCLUSIVE, GATE))
"""Whose lock is in the way of these, asked in this order, is to blame for a wait: whoever stands
in the gate may itself wait for the data's holder."""
