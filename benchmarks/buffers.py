"""What replay is measured with: workloads, a stream of experience, our buffer and the bare limit.

A *store* is a buffer behind three calls: append a chunk, sample a batch, sample and write
priorities. A sample counts only as what a learner could use at once: stacked state and next state,
n-step return, discount (or done), action and, if prioritized, weights, as torch tensors.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tuitrain.envs.spec import PolicySpec
from tuitrain.learning.batch import to_device
from tuitrain.replay import segment
from tuitrain.replay.buffer import PolicyReplay, PriorityRule, Window
from tuitrain.replay.layout import BOUNDARY, HEADER_HEAD, ReplayLayout
from tuitrain.replay.lock import LockFile

LANES = 8
"""Environments whose experience is appended, one vector step after the other."""
PERIOD = 256
"""Vector steps of the stream, which is repeated; each lane ends one episode in it."""
LARGEST_CHUNK = 256
GAMMA = 0.99
ACTIONS = 6
ALPHA, BETA, EPSILON = 0.6, 0.4, 1e-4
HASH = b"b" * 32
"""Of every segment's layout: there is no other code that could disagree."""


@dataclass(frozen=True)
class Workload:
    """What is stored; `capacity` counts transitions."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    frames: int
    capacity: int
    n_step: int = 1

    @property
    def spec(self) -> PolicySpec:
        """The same in tuitrain's words."""
        return PolicySpec(self.shape, self.dtype, ACTIONS, ("agent",))


VECTORS = Workload("vectors [4]", (4,), "float32", 1, 100_000)
PIXELS = Workload("84x84x4", (84, 84), "uint8", 4, 50_000)


class Stream:
    """`PERIOD` vector steps of `LANES` environments, made beforehand: nobody pays for making them.

    Attributes:
        observation: [PERIOD + 1, LANES, *shape]; the last is the first again.
        action, reward, terminated, truncated, done: [PERIOD, LANES].
    """

    def __init__(self, work: Workload) -> None:
        rng = np.random.default_rng(0)
        shape = (PERIOD, LANES, *work.shape)
        if work.dtype == "uint8":
            observation = rng.integers(0, 255, shape, np.uint8)
        else:
            observation = rng.standard_normal(shape, np.float32)
        self.observation: NDArray[Any] = np.concatenate([observation, observation[:1]])
        self.action = rng.integers(0, ACTIONS, (PERIOD, LANES))
        self.reward = np.ones((PERIOD, LANES), np.float32)
        step, lane = np.indices((PERIOD, LANES))
        self.done = (step + lane * (PERIOD // LANES)) % PERIOD == PERIOD - 1
        self.truncated = self.done & (lane % 2 == 1)
        self.terminated = self.done & (lane % 2 == 0)
        self._frames = work.frames

    @cached_property
    def stacked(self) -> NDArray[Any]:
        """[PERIOD + 1, LANES, frames, *shape], for buffers whose users stack before they store."""
        frames = self._frames
        if frames == 1:
            return self.observation
        back = [(np.arange(PERIOD + 1) - k) % PERIOD for k in range(frames - 1, -1, -1)]
        return np.stack([self.observation[rows] for rows in back], axis=2)


class Store(Protocol):
    """A buffer with its work done as its users would do it."""

    name: str

    def append(self, steps: int) -> None:
        """The next `steps` vector steps of the stream."""

    def sample(self, size: int) -> tuple[Any, ...]:
        """A batch as tensors: state, next state, return, discount or done, action, (weights)."""

    def sample_and_update(self, size: int) -> None:
        """A prioritized batch, and new priorities for it."""


@contextmanager
def shared_memory() -> Iterator[tuple[Path, Callable[[int, str], Any]]]:
    """A lock file's path and a maker of segments; all removed on the way out, also by Ctrl-C."""
    prefix = f"tuitrain-bench{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix="tuitrain-bench-") as folder:
        try:
            yield (
                Path(folder) / "lock",
                lambda nbytes, name: segment.create(prefix + name, nbytes, HASH),
            )
        finally:
            for name in segment.list_names(prefix):
                segment.unlink(name)


def layout_of(work: Workload) -> ReplayLayout:
    """One shard of `LANES` lanes."""
    return ReplayLayout(
        *("default", work.spec, work.frames, work.n_step, 1, LANES, LARGEST_CHUNK),
        *(work.capacity, 1000, 1000, 1),
    )


class Outcome(NamedTuple):
    """Columns of a chunk besides the observations, [steps, LANES] each."""

    action: NDArray[np.int64]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    age: NDArray[np.int64]
    flags: NDArray[np.uint8]


class Ours:
    """tuitrain's replay: one shard, its writer and its reader.

    Args:
        replay: attached, with nobody else in a role that is asked for.
        writes, reads: the roles of this process.
    """

    name = "tuitrain"

    def __init__(
        self,
        work: Workload,
        stream: Stream,
        replay: PolicyReplay,
        *,
        prioritized: bool = False,
        writes: bool = True,
        reads: bool = True,
    ) -> None:
        self.work, self.stream = work, stream
        self.columns = replay.columns
        if reads:
            rule = PriorityRule(ALPHA, BETA, EPSILON) if prioritized else None
            self.reader = replay.reader(0, GAMMA, rule)
        self.rng = np.random.default_rng(0)
        self.row = 0
        self._window: Window | None = None
        # The step after an episode's end is its boundary row, and the one after that begins anew.
        boundary = np.roll(stream.done, 1, axis=0)
        self._flags = (boundary * BOUNDARY).astype(np.uint8)
        since = np.arange(PERIOD)[:, None] - (boundary.argmax(0) + 1)
        self._age = since % PERIOD
        self._chunks: dict[int, Outcome] = {}
        if writes:
            self.writer = replay.writer(0)
            self.writer.begin(1)
            self.writer.put_observation(0, stream.observation[0], self._age[0], self._flags[0])

    def append(self, steps: int, wait: Any = None) -> None:
        """As the actor does it, then one commit.

        Observations go where they stay; outcomes are collected and written together, or, where
        the actor must stack frames out of the shard before it can act, one vector step at a time.
        """
        stream, writer, first = self.stream, self.writer, self.row
        writer.begin(steps, wait)
        places = writer.observations(first, steps + 1)
        outcome = self._outcomes(steps)
        settled = 0
        for step in range(steps):
            at = (first + step) % PERIOD
            outcome.action[step] = stream.action[at]
            outcome.reward[step] = stream.reward[at]
            outcome.terminated[step] = stream.terminated[at]
            outcome.truncated[step] = stream.truncated[at]
            after = (at + 1) % PERIOD
            places[step + 1][:] = stream.observation[after]
            outcome.age[step], outcome.flags[step] = self._age[after], self._flags[after]
            if self.work.frames > 1 or step == steps - 1:
                self._settle(outcome, settled, step + 1)
                settled = step + 1
        self.row += steps
        writer.commit(self.row)

    def _settle(self, outcome: Outcome, start: int, stop: int) -> None:
        rows, row = slice(start, stop), self.row + start
        self.writer.put_outcome(
            *(row, outcome.action[rows], outcome.reward[rows]),
            *(outcome.terminated[rows], outcome.truncated[rows]),
            *(0, np.arange(row, row + stop - start) * LANES),
        )
        self.writer.put_marks(row + 1, outcome.age[rows], outcome.flags[rows])

    def _outcomes(self, steps: int) -> Outcome:
        if steps not in self._chunks:
            shape = (steps, LANES)
            self._chunks[steps] = Outcome(
                *(np.zeros(shape, np.int64), np.zeros(shape, np.float32)),
                *(np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)),
                *(np.zeros(shape, np.int64), np.zeros(shape, np.uint8)),
            )
        return self._chunks[steps]

    def open(self) -> None:
        """Pin a window for the samples until ``close``, as a round's learner does."""
        inserts = int(self.columns.header[0, HEADER_HEAD]) * LANES
        self._window = self.reader.pin(max(0, inserts - self.work.capacity))

    def close(self) -> None:
        """Let go of it."""
        self._window = None
        self.reader.unpin()

    def sample(self, size: int, batches: int = 1) -> tuple[Any, ...]:
        """Draw from the open window."""
        assert self._window is not None
        self.batch = self.reader.sample(self._window, size, self.rng, batches=batches, beta=BETA)
        got = to_device(self.batch, "cpu", self.batch.weights)
        return got.state, got.next_state, got.returns, got.discount, got.action, got.weights

    def pin_and_sample(self, size: int) -> None:
        """Pin, draw once, let go."""
        self.open()
        self.sample(size)
        self.close()

    def sample_and_update(self, size: int, batches: int = 1) -> None:
        """As the learner does it, with TD errors of its own making."""
        self.sample(size, batches)
        for start in range(0, size * batches, size):
            of = slice(start, start + size)
            self.reader.write_priorities(self.batch.cells[of], self.batch.rows[of], td_errors(size))


@dataclass(frozen=True)
class Place:
    """Where our replay is, for other processes: segment and lock file."""

    work: Workload
    segment: str
    lock: Path

    def attach(self) -> PolicyReplay:
        """The same replay in this process."""
        layout = layout_of(self.work)
        memory = segment.attach(self.segment, layout.nbytes, HASH)
        return PolicyReplay(layout, memory, [LockFile.open(self.lock).rwlock(0, "shard", 5.0)])


@contextmanager
def shared_replay(work: Workload) -> Iterator[Place]:
    """An empty replay that other processes may attach; this one keeps no end of it."""
    layout = layout_of(work)
    with shared_memory() as (lock_path, make):
        memory = make(layout.nbytes, "replay")
        locks = LockFile.create(lock_path)
        try:
            PolicyReplay(layout, memory, [locks.rwlock(0, "shard", 5.0)]).initialise()
            yield Place(work, memory.name, lock_path)
        finally:
            locks.close()
            memory.close()


@contextmanager
def ours(work: Workload, stream: Stream, *, prioritized: bool = False) -> Iterator[Ours]:
    """Our store in shared memory, empty."""
    layout = layout_of(work)
    with shared_memory() as (lock_path, make):
        locks = LockFile.create(lock_path)
        try:
            replay = PolicyReplay(
                layout, make(layout.nbytes, "replay"), [locks.rwlock(0, "shard", 5.0)]
            )
            replay.initialise()
            yield Ours(work, stream, replay, prioritized=prioritized)
        finally:
            locks.close()


def bare_gather(store: Ours, size: int) -> Callable[[], object]:
    """The least a sample can cost: the same bytes taken into arrays that are there already.

    Observations (each frame that state and next state share is taken once, as ours does with
    one-step returns), action, return, discount, at positions drawn beforehand.
    """
    work, columns = store.work, store.columns
    frames = work.frames + 1 if work.n_step == 1 else 2 * work.frames
    cells = drawn(work, (size, frames))
    out = np.zeros((size, frames, *work.shape), work.dtype)
    scalars = [np.zeros(work.capacity, kind) for kind in (np.int64, np.float32, np.float32)]
    outs = [np.zeros(size, column.dtype) for column in scalars]

    turn = 0

    def gather() -> None:
        nonlocal turn
        turn = (turn + 1) % len(cells)
        index = cells[turn]
        columns.flat_observation.take(index, axis=0, out=out, mode="clip")
        first = index[:, 0]
        for column, into in zip(scalars, outs, strict=True):
            column.take(first, out=into, mode="clip")

    return gather


def drawn(work: Workload, shape: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """Random positions of batches, so many that none is in a cache when it comes again."""
    rng = np.random.default_rng(1)
    count = max(32, 2 * work.capacity // shape[0])
    return list(rng.integers(0, work.capacity, (count, *shape)))


_TD: dict[int, list[NDArray[np.float32]]] = {}


def td_errors(size: int) -> NDArray[np.float32]:
    """Random TD errors of either sign, drawn beforehand."""
    if size not in _TD:
        rng = np.random.default_rng(2)
        _TD[size] = [rng.standard_normal(size, np.float32) for _ in range(16)]
    ring = _TD[size]
    ring.append(ring.pop(0))
    return ring[-1]


def check(store: Store, work: Workload, size: int) -> None:
    """A sample is what it is meant to be; else its speed says nothing.

    Raises:
        RuntimeError: something is missing or of another size, or a return is not possible.
    """
    state, next_state, returns, _, action, *_ = store.sample(size)
    want = size * work.frames * int(np.prod(work.shape))
    for name, tensor, count in (
        ("state", state, want),
        ("next state", next_state, want),
        ("return", returns, size),
        ("action", action, size),
    ):
        if not isinstance(tensor, torch.Tensor) or tensor.numel() != count:
            raise RuntimeError(f"{store.name}: {name} is {type(tensor)}, not {count} numbers")
    if state.dtype != next_state.dtype or str(state.dtype) != f"torch.{work.dtype}":
        raise RuntimeError(f"{store.name}: states are {state.dtype} and {next_state.dtype}")
    full = sum(GAMMA**k for k in range(work.n_step))
    if abs(float(returns.max()) - full) > 1e-4:
        raise RuntimeError(f"{store.name}: greatest return {float(returns.max())}, not {full}")
