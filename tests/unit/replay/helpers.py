"""Small replays in private memory, filled with rows that say who they are."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np

from tuitrain.envs.spec import PolicySpec
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.layout import BOUNDARY, CUT, ReplayLayout
from tuitrain.replay.shard import ShardWriter

TAGS = 4  # shard, lane, episode, step in episode


class NullLock:
    """Stands for an RWLock where nothing runs at the same time."""

    def read(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    write = read


class Memory:
    """Stands for a Segment."""

    def __init__(self, nbytes: int) -> None:
        self.buf = memoryview(bytearray(nbytes))


def layout(**changes: Any) -> ReplayLayout:
    values: dict[str, Any] = {
        "policy": "default",
        "spec": PolicySpec((TAGS,), "float32", 5, ("agent",)),
        "n_frames": 3,
        "n_step": 2,
        "n_actors": 2,
        "envs_per_actor": 3,
        "chunk_steps": 4,
        "capacity": 60,
        "learning_starts": 6,
        "max_lead_inserts": 24,
        "n_readers": 1,
    }
    return ReplayLayout(**(values | changes))


def replay(shape: ReplayLayout) -> PolicyReplay:
    made = PolicyReplay(shape, Memory(shape.nbytes), [NullLock()] * shape.n_actors)
    made.initialise()
    return made


@dataclass
class Feeder:
    """Writes random episodes into one shard; every observation carries its tags.

    The action is ``step % 5``, the reward ``row`` as a number, the version the chunk's number.
    """

    writer: ShardWriter
    rng: np.random.Generator
    end_chance: float = 0.25
    row: int = 0
    chunk: int = 0
    inserts: int = 0
    episode: Any = field(init=False)
    step: Any = field(init=False)
    over: Any = field(init=False)

    def __post_init__(self) -> None:
        lanes = self.writer.ring.lanes
        self.episode = np.zeros(lanes, np.int64)
        self.step = np.zeros(lanes, np.int64)
        self.over = np.zeros(lanes, bool)

    def observation(self) -> np.ndarray[Any, Any]:
        lanes = self.writer.ring.lanes
        tags = np.stack(
            [np.full(lanes, self.writer.shard), np.arange(lanes), self.episode, self.step], axis=1
        )
        shape = self.writer.observation_shape
        out = np.zeros((lanes, *shape), self.writer.observation_dtype)
        out.reshape(lanes, -1)[:, :TAGS] = tags
        return out

    def write_chunk(self, rows: int, wait: Any = None, stamp: int | None = None) -> None:
        writer = self.writer
        writer.begin(rows, wait)
        if self.row == 0:
            writer.put_observation(0, self.observation(), self.step, 0)
        stamp = self.inserts if stamp is None else stamp
        for _ in range(rows):
            ends = ~self.over & (self.rng.random(len(self.over)) < self.end_chance)
            terminated = ends & (self.rng.random(len(self.over)) < 0.5)
            writer.put_outcome(
                self.row,
                self.step % 5,
                np.where(self.over, 0, self.row).astype(np.float32),
                terminated,
                ends & ~terminated,
                self.chunk,
                stamp,
            )
            self.inserts += int((~self.over).sum())
            self.episode += self.over
            self.step = np.where(self.over, 0, self.step + 1)
            self.over = ends
            self.row += 1
            flags = np.where(ends, BOUNDARY, 0).astype(np.uint8)
            writer.put_observation(self.row, self.observation(), self.step, flags)
        writer.commit(self.row)
        self.chunk += 1

    def cut(self) -> None:
        """What a successor's first row looks like: new episodes, marked, none of the old ended."""
        self.episode += 1
        self.step[:] = 0
        self.over[:] = False
        self.writer.put_observation(self.row, self.observation(), self.step, CUT)


class Stopped(BaseException):
    """Raised by ``stop_at``."""


def stop_at(line: int, filename: str, work: Callable[[], None]) -> bool:
    """Run ``work`` and break off before the given number of lines of one file has been executed.

    Stands for a process killed there. Returns whether it was broken off.
    """
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.endswith(filename):
            return None
        if event == "line":
            seen += 1
            if seen == line:
                raise Stopped
        return trace

    before = sys.gettrace()
    assert threading.current_thread() is threading.main_thread()
    sys.settrace(trace)
    try:
        work()
    except Stopped:
        return True
    finally:
        sys.settrace(before)
    return False
