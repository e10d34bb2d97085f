"""A writer and a reader in two processes at once, and weights on their way between processes.

Replay: each side's rate while the other works, too, over its rate alone, for ours, for cpprb's
multi-process buffer and for torchrl's shared storage; the three spans (writer alone, reader alone,
both) take turns of `SPAN_S`. The writer never rests, which no actor does: an unlimited writer of
vectors goes once around the buffer several times a second. `bare` is the same with arrays of each
side's own and nothing shared: what memory and caches leave of two processes that only copy.

Weights: what learner and actors do, over one memory copy of the bytes. Publishing is timed alone
and while another process pulls without a pause.
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

from benchmarks.buffers import (
    ACTIONS,
    LANES,
    PIXELS,
    VECTORS,
    Ours,
    Place,
    Stream,
    Workload,
    shared_memory,
    shared_replay,
)
from benchmarks.pairs import PAIRS, interleave, ratio
from benchmarks.sides import Make, rates, sides
from tuitrain.learning.flatten import FlatModule, layout_of, rehome
from tuitrain.learning.networks import build_network
from tuitrain.learning.policy import Policy
from tuitrain.learning.weights import WeightStore
from tuitrain.replay import segment
from tuitrain.replay.lock import LockFile

SPAN_S = 0.2
CASES = ((16, 32), (16, 256), (1, 256))
"""Vector steps appended at once, and transitions read."""

Figures = dict[str, Any]


def measure(pairs: int = PAIRS) -> Figures:
    """Figures by name."""
    os.environ["RL_LOGGING_LEVEL"] = "WARNING"  # torchrl's, read when it is imported
    torch.set_num_threads(1)
    figures: Figures = {}
    for work in (VECTORS, PIXELS):
        for steps, batch in CASES:
            figures |= _replay(Case(work, steps, batch), pairs)
    for name, network in NETWORKS.items():
        figures |= _weights(name, network, pairs)
    return figures


# ---- replay --------------------------------------------------------------------------------------


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
    for name in PACKAGES:
        if name in at_once:
            figures[f"at once, tuitrain / {name}, {label}"] = {
                side: ratio(at_once["tuitrain"][i], at_once[name][i])
                for i, side in enumerate(("reading", "writing"))
            }
    return figures


Found = dict[str, list[list[float]]]


def _in_turns(reader: Make, writer: Make, pairs: int) -> Found:
    """Rates of reader, writer and both (reader first)."""
    with sides({"writer": writer, "reader": reader}) as made:
        spans = {
            "read": (made["reader"],),
            "write": (made["writer"],),
            "both": (made["reader"], made["writer"]),
        }
        return interleave(
            {name: partial(rates, SPAN_S, *working) for name, working in spans.items()}, pairs
        )


def _ours(case: Case, pairs: int) -> Found:
    with shared_replay(case.work) as place:
        return _in_turns(
            partial(_our_reader, place, case.batch), partial(_our_writer, place, case.steps), pairs
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
    return _in_turns(
        partial(_bare_reader, case.work, case.batch),
        partial(_bare_writer, case.work, case.steps),
        pairs,
    )


def _bare_writer(work: Workload, steps: int) -> Callable[[], object]:
    chunk = np.ones((steps * LANES, *work.shape), work.dtype)
    ring = np.ones((work.capacity // len(chunk), *chunk.shape), work.dtype)
    slot = 0

    def write() -> None:
        nonlocal slot
        slot = (slot + 1) % len(ring)
        np.copyto(ring[slot], chunk)

    return write


def _bare_reader(work: Workload, batch: int) -> Callable[[], object]:
    rows = np.ones((work.capacity, *work.shape), work.dtype)
    rng = np.random.default_rng(0)
    cells = [rng.integers(0, work.capacity, (batch, work.frames + 1)) for _ in range(32)]
    out = np.zeros((*cells[0].shape, *work.shape), work.dtype)

    def read() -> None:
        cells.append(cells.pop(0))
        rows.take(cells[0], axis=0, out=out, mode="clip")

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


# ---- weights -------------------------------------------------------------------------------------


def _mlp() -> torch.nn.Module:
    return build_network("mlp", (1, 4), "float32", 2, False, {"hidden": [256, 400]}, 0)


def _cnn() -> torch.nn.Module:
    return build_network("nature", (4, 84, 84), "uint8", ACTIONS)


NETWORKS = {"MLP": _mlp, "CNN": _cnn}


def _weights(name: str, network: Callable[[], torch.nn.Module], pairs: int) -> Figures:
    module = network()
    rehome(module)  # as the learner's optimizer does
    count = sum(parameter.numel() for parameter in module.parameters())
    label = f"{name}, {count:,} parameters"
    flat, layout = FlatModule(module), layout_of(module)
    policy = Policy(network(), ACTIONS)
    with shared_memory() as (lock_path, make):
        memory = make(WeightStore.segment_bytes(layout, 2), "weights")
        locks = LockFile.create(lock_path)
        try:
            store = WeightStore(layout, memory, locks.rwlock(0, "weights", 5.0), 2)
            store.initialise()
            bytes_, spare = np.ones((2, layout.nbytes), np.uint8)

            def publish() -> None:
                store.publish(flat.read(), 0)

            def pull() -> None:
                policy.load(policy.buffer, store.pull(0, policy.buffer).version)

            def both() -> None:
                publish()
                pull()

            arms = {
                "publish + pull": both,
                "publish": publish,
                "one copy": lambda: np.copyto(spare, bytes_),
            }
            timed = {arm: partial(_seconds, call) for arm, call in arms.items()}
            found = interleave(timed, pairs)
            puller = partial(_puller, network, memory.name, lock_path)
            with sides({"reader": puller}) as made:

                def pulled() -> float:
                    start = time.monotonic()
                    made["reader"].begin(start, start + 0.1)
                    seconds = _seconds(publish)
                    made["reader"].answer()
                    return seconds

                busy = interleave({"publish": timed["publish"], "pulled": pulled}, pairs)
        finally:
            locks.close()
            memory.close()
    return {
        f"publish + pull / one copy, {label}": {
            "µs": f"{median(found['publish + pull']) * 1e6:.1f}",
            "one copy": f"{median(found['one copy']) * 1e6:.1f}",
            "ratio": ratio(found["publish + pull"], found["one copy"]),
            "publish alone": ratio(found["publish"], found["one copy"]),
        },
        f"publish while another pulls / alone, {label}": ratio(busy["pulled"], busy["publish"]),
    }


def _seconds(call: Callable[[], object], span_s: float = 0.02) -> float:
    call()
    start, count = time.perf_counter(), 0
    while (took := time.perf_counter() - start) < span_s:
        call()
        count += 1
    return took / count


def _puller(network: Callable[[], torch.nn.Module], name: str, lock: Any) -> Callable[[], object]:
    policy = Policy(network(), ACTIONS)
    layout = layout_of(network())
    memory = segment.attach(name, WeightStore.segment_bytes(layout, 2), b"b" * 32)
    store = WeightStore(layout, memory, LockFile.open(lock).rwlock(0, "weights", 5.0), 2)
    return lambda: policy.load(policy.buffer, store.pull(1, policy.buffer).version)
