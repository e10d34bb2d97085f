"""What the lock is for: a window is read and pinned in one go, or the writer passes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.replay.helpers import Feeder, Memory, NullLock, layout
from tests.unit.replay.lock_processes import SHORT_S, mine
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.lock import LockFile, LockTimeout

SHAPE = layout(n_actors=1)


class Pins(np.ndarray[Any, np.dtype[np.int64]]):
    """A reader's pins; something else happens just before one of them is set."""

    before: Any = None

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.before is not None:
            self.before()
        super().__setitem__(key, value)


@pytest.mark.parametrize("locked", [True, False])
def test_no_chunk_is_written_between_reading_a_window_and_pinning_it(
    file: LockFile, locked: bool
) -> None:
    lock: Any = mine(file, SHORT_S) if locked else NullLock()
    replay = PolicyReplay(SHAPE, Memory(SHAPE.nbytes), [lock])
    replay.initialise()
    feeder = Feeder(replay.writer(0), np.random.default_rng(1))
    for _ in range(2 * SHAPE.ring_rows // SHAPE.chunk_steps):
        feeder.write_chunk(SHAPE.chunk_steps)
    reader = replay.reader(0, gamma=0.9)
    reader._pins = pins = reader._pins.view(Pins)
    refused = []

    def two_chunks() -> None:
        pins.before = None
        try:
            for _ in range(2):
                feeder.write_chunk(SHAPE.chunk_steps)
        except LockTimeout as error:
            refused.append(error)

    pins.before = two_chunks
    reader.pin()
    passed = feeder.writer.tail > int(replay.columns.pins[0, 0])
    assert len(refused) == locked, "the writer waits while the reader is between the two"
    assert passed == (not locked)
