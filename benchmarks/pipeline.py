"""A writer and a reader in two processes at once; weights on their way between processes.

Replay: each side's rate while the other works, too, over its rate alone, for ours, for cpprb's
multi-process buffer and for torchrl's shared storage; spans of `SPAN_S` of both sides alone and
together take turns. In `at once` the writer never rests, which no actor does: writing vectors it
goes around the whole buffer several times a second, and the reader must take up every row once. In
`at a ratio` it is held to one transition per `DRAWN` that the reader draws when it is alone, about
what a rate limiter lets through. `bare` is the same with memory of each side's own and nothing
shared: what memory, caches and other work on the machine leave of two processes that only copy.

Weights: see ``pipeline_weights``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import pipeline_weights
from benchmarks.buffers import (
    ACTIONS,
    HASH,
    LANES,
    PIXELS,
    VECTORS,
    Ours,
    Place,
    Stream,
    Workload,
    drawn,
    shared_memory,
    shared_replay,
)
from benchmarks.pairs import PAIRS, interleave, ratio
from benchmarks.sides import Make, rates, sides
from tuitrain.replay import segment

SPAN_S = 0.2
CASES = ((16, 32), (16, 256), (1, 256))
"""Vector steps appended at once, and transitions read."""
DRAWN = 8
"""Times that each transition is drawn: an update of 32 per 4 steps."""

Figures = dict[str, Any]


def measure(pairs: int = PAIRS) -> Figures:
    """Figures by name."""
    os.environ["RL_LOGGING_LEVEL"] = "WARNING"  # torchrl's, read when it is imported
    torch.set_num_threads(1)
    figures: Figures = {}
    for work in (VECTORS, PIXELS):
        for steps, batch in CASES:
            figures |= _replay(Case(work, steps, batch), pairs)
    return figures | pipeline_weights.measure(pairs)


class Case(NamedTuple):
    """`steps` vector steps written at once, `batch` transitions read."""

    work: Workload
    steps: int
    batch: int


def _replay(case: Case, pairs: int) -> Figures:
    batch, written = case.batch, LANES * case.steps
    label = f"write {case.steps}, read {batch}, {case.work.name}"
    figures: Figures = {}
    at_once: dict[str, tuple[list[float], list[float]]] = {}
    for name, kind in KINDS.items():
        if name in PACKAGES and find_spec(PACKAGES[name]) is None:
            continue
        try:
            found = kind(case, pairs)
        except Exception as error:  # a peer's trouble is its own
            if name == "tuitrain":
                raise
            figures[f"{name}, {label}"] = f"not measured: {type(error).__name__}: {error}"
            continue
        reading, writing = ([pair[i] for pair in found["both"]] for i in (0, 1))
        at_once[name] = reading, writing
        read_alone = [pair[0] for pair in found["read"]]
        write_alone = [pair[0] for pair in found["write"]]
        figures[f"at once / alone, {name}, {label}"] = {
            "reading": ratio(reading, read_alone),
            "writing": ratio(writing, write_alone),
            "read/s": f"{batch * median(read_alone):,.0f} -> {batch * median(reading):,.0f}",
            "write/s": f"{written * median(write_alone):,.0f} -> {written * median(writing):,.0f}",
        }
        figures[f"at a ratio / alone, {name}, {label}"] = {
            "reading": ratio([pair[0] for pair in found["ratio"]], read_alone),
            "write/s": f"{written * median(pair[1] for pair in found['ratio']):,.0f}",
        }
    for name in PACKAGES:
        if name in at_once:
            figures[f"at once, tuitrain / {name}, {label}"] = {
                side: ratio(at_once["tuitrain"][i], at_once[name][i])
                for i, side in enumerate(("reading", "writing"))
            }
    return figures


Found = dict[str, list[list[float]]]


def _in_turns(case: Case, reader: Make, writer: Make, pairs: int) -> Found:
    """Rates of reader, writer and both (reader first), unlimited and at a ratio."""
    with sides({"writer": writer, "reader": reader}) as made:
        read, write = made["reader"], made["writer"]
        (alone,) = rates(SPAN_S, read)
        pace = alone * case.batch / DRAWN / (case.steps * LANES)
        arms = {
            "read": partial(rates, SPAN_S, read),
            "write": partial(rates, SPAN_S, write),
            "both": partial(rates, SPAN_S, read, write),
            "ratio": partial(rates, SPAN_S, read, write, last_per_s=pace),
        }
        return interleave(arms, pairs)


def _ours(case: Case, pairs: int) -> Found:
    with shared_replay(case.work) as place:
        return _in_turns(
            case,
            partial(_our_reader, place, case.batch),
            partial(_our_writer, place, case.steps),
            pairs,
        )


def _our_writer(place: Place, steps: int) -> Callable[[], object]:
    store = Ours(place.work, Stream(place.work), place.attach(), reads=False)
    for _ in range(place.work.capacity * 5 // 4 // (16 * LANES) + 2):
        store.append(16, _wait)
    return lambda: store.append(steps, _wait)


def _wait(ready: Callable[[], bool], _: str) -> None:
    while not ready():
        time.sleep(1e-5)


def _our_reader(place: Place, batch: int) -> Callable[[], object]:
    store = Ours(place.work, Stream(place.work), place.attach(), writes=False)
    return lambda: store.pin_and_sample(batch)


def _bare(case: Case, pairs: int) -> Found:
    work = case.work
    nbytes = work.capacity * int(np.prod(work.shape)) * np.dtype(work.dtype).itemsize
    with shared_memory() as (_, make):  # the same kind of pages as ours
        ring, rows = make(nbytes, "ring"), make(nbytes, "rows")
        return _in_turns(
            case,
            partial(_bare_reader, case, rows.name, nbytes),
            partial(_bare_writer, case, ring.name, nbytes),
            pairs,
        )


def _bare_array(work: Workload, name: str, nbytes: int) -> NDArray[Any]:
    memory = segment.attach(name, nbytes, HASH)
    array = np.frombuffer(memory.buf, work.dtype).reshape(work.capacity, *work.shape)
    array[:] = 1
    return array


def _bare_writer(case: Case, name: str, nbytes: int) -> Callable[[], object]:
    ring, count, at = _bare_array(case.work, name, nbytes), case.steps * LANES, 0
    chunk = np.ones((count, *case.work.shape), case.work.dtype)

    def write() -> None:
        nonlocal at
        np.copyto(ring[at : at + count], chunk)
        at = (at + count) % (case.work.capacity - count)

    return write


def _bare_reader(case: Case, name: str, nbytes: int) -> Callable[[], object]:
    rows, turn = _bare_array(case.work, name, nbytes), 0
    cells = drawn(case.work, (case.batch, case.work.frames + 1))
    out = np.zeros((*cells[0].shape, *case.work.shape), case.work.dtype)

    def read() -> None:
        nonlocal turn
        turn = (turn + 1) % len(cells)
        rows.take(cells[turn], axis=0, out=out, mode="clip")

    return read


def _cpprb(case: Case, pairs: int) -> Found:
    import multiprocessing

    import cpprb

    work, shape = case.work, _stack_last(case.work)
    buffer = cpprb.MPReplayBuffer(
        work.capacity,
        {
            "obs": {"shape": shape, "dtype": np.dtype(work.dtype)},
            "next_obs": {"shape": shape, "dtype": np.dtype(work.dtype)},
            "act": {"dtype": np.int64},
            "rew": {},
            "done": {},
        },
        ctx=multiprocessing.get_context("spawn"),
    )
    return _in_turns(
        case,
        partial(_cpprb_reader, buffer, case.batch),
        partial(_cpprb_writer, buffer, work, case.steps),
        pairs,
    )


def _stack_last(work: Workload) -> tuple[int, ...]:
    return (*work.shape, work.frames) if work.frames > 1 else work.shape


def _cpprb_writer(buffer: Any, work: Workload, steps: int) -> Callable[[], object]:
    shape = _stack_last(work)
    step = {
        "obs": np.ones((LANES, *shape), work.dtype),
        "next_obs": np.ones((LANES, *shape), work.dtype),
        "act": np.zeros(LANES, np.int64),
        "rew": np.ones(LANES, np.float32),
        "done": np.zeros(LANES, np.float32),
    }
    chunk = {name: np.concatenate([column] * steps) for name, column in step.items()}

    def write() -> None:
        # vector steps come one by one and are collected, as in `replay`
        for low in range(0, steps * LANES, LANES):
            for name, column in step.items():
                chunk[name][low : low + LANES] = column
        buffer.add(**chunk)

    for _ in range(work.capacity // (steps * LANES) + 1):
        buffer.add(**chunk)
    return write


def _cpprb_reader(buffer: Any, batch: int) -> Callable[[], object]:
    return lambda: [torch.from_numpy(column) for column in buffer.sample(batch).values()]


def _torchrl(case: Case, pairs: int) -> Found:
    import multiprocessing
    import tempfile

    # Its locks are made with whatever the default is, and go to spawned processes here.
    multiprocessing.set_start_method("spawn", force=True)
    from torchrl.data import LazyMemmapStorage, TensorDictReplayBuffer

    with tempfile.TemporaryDirectory(prefix="tuitrain-bench-", dir="/dev/shm") as place:
        buffer = TensorDictReplayBuffer(
            storage=LazyMemmapStorage(case.work.capacity, scratch_dir=place), shared=True
        )
        buffer.extend(_tensordict(case.work, 16))  # this gives it its shape, before it is shared
        return _in_turns(
            case,
            partial(_torchrl_reader, buffer, case.batch),
            partial(_torchrl_writer, buffer, case.work, case.steps),
            pairs,
        )


def _tensordict(work: Workload, steps: int) -> Any:
    from tensordict import TensorDict

    n = steps * LANES
    shape = (work.frames, *work.shape) if work.frames > 1 else work.shape
    obs = torch.ones((n, *shape), dtype=getattr(torch, work.dtype))
    return TensorDict(
        {
            "observation": obs,
            "action": torch.randint(0, ACTIONS, (n,)),
            "next": {
                "observation": obs.clone(),
                "reward": torch.ones(n, 1),
                "terminated": torch.zeros(n, 1, dtype=torch.bool),
                "done": torch.zeros(n, 1, dtype=torch.bool),
            },
        },
        [n],
    )


def _torchrl_writer(buffer: Any, work: Workload, steps: int) -> Callable[[], object]:
    many, chunk = _tensordict(work, 16), _tensordict(work, steps)
    for _ in range(work.capacity // len(many) + 1):
        buffer.extend(many)
    return lambda: buffer.extend(chunk)


def _torchrl_reader(buffer: Any, batch: int) -> Callable[[], object]:
    return lambda: buffer.sample(batch)


KINDS: dict[str, Callable[[Case, int], Found]] = {
    "tuitrain": _ours,
    "bare": _bare,
    "cpprb": _cpprb,
    "torchrl": _torchrl,
}
PACKAGES = {"cpprb": "cpprb", "torchrl": "torchrl"}
