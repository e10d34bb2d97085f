"""What actor 0 sees, in one message: the newest row of its own, whoever asks and whenever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.one_actor import CHUNK_STEPS, Run, one_actor
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.tui.widgets.sight import unpack
from tuitrain.workers.acting.sight import MOST_PIXELS, see
from tuitrain.workers.messages import MAX_MESSAGE_BYTES, Ack, encode


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with one_actor(tmp_path) as made:
        yield made


def fake(seen: Any, drawn: Any = None) -> Any:
    return SimpleNamespace(seen=lambda policy: seen, drawn=lambda: drawn)


def test_it_is_the_row_that_is_acted_on_next(run: Run) -> None:
    actor = build_actor(*run, 0)
    assert actor.seen("default") is None
    assert "nothing" in see(actor, "default")["why"]
    actor.pull()
    part = actor.parts["default"]
    newest = []
    for _ in range(3):
        actor.begin(Ticket(0, (0,)), CHUNK_STEPS)
        for k in range(CHUNK_STEPS):
            slot = part.row(k) % part.writer.ring.rows
            wanted = part.writer.columns.observation[0, slot, 0].copy()
            seen = actor.seen("default")
            assert seen is not None
            assert (seen == wanted).all()
            newest.append(seen)
            actor.step()
        actor.commit()
        assert actor.seen("default") is not None
    assert len({n.tobytes() for n in newest}) > CHUNK_STEPS, "it moves"
    actor.close()


def test_the_largest_and_least_compressible_picture_fits_into_a_message() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    noise[::13] = 255  # so that means stay noisy
    answer = see(fake(np.random.default_rng(1).integers(0, 256, (48, 48, 3), np.uint8)), "p")
    assert len(encode(Ack(command_id=2**40, result=answer))) < MAX_MESSAGE_BYTES
    small = see(fake(noise), "p")
    assert max(small["width"], small["height"]) == MOST_PIXELS
    pixels = unpack(small)
    assert pixels is not None
    assert pixels.shape == (36, 48, 3)


def test_a_world_is_drawn_where_the_observation_is_a_row() -> None:
    assert "no picture" in see(fake(np.zeros(7)), "p")["why"]
    answer = see(fake(np.zeros(7), np.full((4, 4, 3), 9, np.uint8)), "p")
    assert (answer["of"], answer["width"]) == ("world", 4)
    answer = see(fake(np.ones((5, 5)), np.full((4, 4, 3), 9, np.uint8)), "p")
    assert (answer["of"], answer["width"]) == ("observation", 5)
