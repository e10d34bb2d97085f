"""Replay in one process: append and sample over a bare gather and over four other libraries.

Kept fair so: every buffer gets the same stream (8 environments, one vector step after the other,
made beforehand), holds the same transitions and must hand over what a learner can use at once
(``buffers.check`` looks). Of every library all ways to hold the work are measured, each in turns of
a fraction of a second with ours in the same process, and the fastest is what we are compared with;
rivals are built one after the other, because together they would not fit in memory.

`sample` draws from a window that is pinned once per stretch of about 20 ms, as a round's learner
does; the others lock and pin nothing here. `pin + sample` pins and lets go for every batch.
`sample 10 x` draws ten batches in one call, as a learner does that has many updates to make (of
vectors: 32); its limit is one gather of as many. With priorities all of them are updated then; the
others do the same one batch after the other. What each appended row costs our reader when it
first sees it is the line `ingest`.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from benchmarks.buffers import (
    LANES,
    PIXELS,
    VECTORS,
    Ours,
    Store,
    Stream,
    Workload,
    bare_gather,
    check,
    ours,
)
from benchmarks.pairs import PAIRS, Ratio, interleave, ratio
from benchmarks.peer_buffers import Make, prioritized_variants, variants

STRETCH_S = 0.02
BATCHES = (32, 256)
CHUNKS = (1, 16, 256)
N_STEPS = (1, 3)

Figures = dict[str, Any]


def measure(pairs: int = PAIRS) -> Figures:
    """Figures by name: microseconds per call, and how many times the other is slower."""
    torch.set_num_threads(1)
    os.environ["RL_LOGGING_LEVEL"] = "WARNING"  # torchrl's, read when it is imported
    figures: Figures = {}
    for base in (VECTORS, PIXELS):
        for n_step in N_STEPS:
            work = replace(base, n_step=n_step)
            label = f"{work.name}, n-step {n_step}"
            for name, value in _workload(work, pairs).items():
                figures[f"{name}, {label}"] = value
    return figures


def _workload(work: Workload, pairs: int) -> Figures:
    stream = Stream(work)
    figures: Figures = {}
    with ours(work, stream) as store:
        fill(store, work)
        store.open()
        check(store, work, 512)
        store.close()
        rounds = _against_peers(store, work, variants(work, stream), _actions(), pairs)
        for size in BATCHES:
            rounds[f"sample {size}"] |= _against_gather(store, size, 1, pairs)
            if work.frames == 1:
                rounds[f"sample 10 x {size}"] = _against_gather(store, size, 10, pairs)
        figures |= _lines(rounds)
        figures["ingest, per row"] = _ingest(store)
    with ours(work, stream, prioritized=True) as store:
        fill(store, work)
        rounds = _against_peers(
            store,
            work,
            prioritized_variants(work, stream),
            {f"prioritized sample + update {size}": _update(size) for size in BATCHES}
            | {f"prioritized 10 x sample + update {size}": _updates(size) for size in BATCHES},
            pairs,
        )
        figures |= _lines(rounds)
    return figures


Action = Callable[[Store], Callable[[], object]]
Rounds = dict[str, tuple[float, float, Ratio]]
"""By rival: microseconds of ours and of it, and its time over ours."""


def _actions() -> dict[str, Action]:
    return {
        **{f"append {steps}": _append(steps) for steps in CHUNKS},
        **{f"sample {size}": _sample(size) for size in BATCHES},
        **{f"pin + sample {size}": _pin_and_sample(size) for size in BATCHES},
    }


def _append(steps: int) -> Action:
    return lambda store: lambda: store.append(steps)


def _sample(size: int) -> Action:
    return lambda store: lambda: store.sample(size)


def _pin_and_sample(size: int) -> Action:
    return lambda store: (
        (lambda: store.pin_and_sample(size))
        if isinstance(store, Ours)
        else (lambda: store.sample(size))
    )


def _update(size: int) -> Action:
    return lambda store: lambda: store.sample_and_update(size)


def _updates(size: int) -> Action:
    def ten_times(store: Store) -> Callable[[], object]:
        if isinstance(store, Ours):
            return lambda: store.sample_and_update(size, 10)

        def one_by_one() -> None:
            for _ in range(10):
                store.sample_and_update(size)

        return one_by_one

    return ten_times


def fill(store: Store, work: Workload) -> None:
    """More than once around."""
    for _ in range(work.capacity * 5 // 4 // (16 * LANES) + 2):
        store.append(16)


def _against_peers(
    store: Ours, work: Workload, makers: list[Make], actions: dict[str, Action], pairs: int
) -> dict[str, Rounds]:
    rounds: dict[str, Rounds] = {name: {} for name in actions}
    for make in makers:
        rival = make()
        fill(rival, work)
        check(rival, work, 512)
        for name, action in actions.items():
            arms = {
                "ours": _stretches(action(store), store if "sample" in name else None),
                "rival": _stretches(action(rival)),
            }
            rounds[name][rival.name] = _compared(interleave(arms, pairs))
        del rival, arms
        gc.collect()
    return rounds


def _against_gather(store: Ours, size: int, batches: int, pairs: int) -> Rounds:
    arms = {
        "ours": _stretches(lambda: store.sample(size, batches), store),
        "rival": _stretches(bare_gather(store, size * batches)),
    }
    return {"bare gather": _compared(interleave(arms, pairs))}


def _compared(found: dict[str, list[float]]) -> tuple[float, float, Ratio]:
    return (
        median(found["ours"]) * 1e6,
        median(found["rival"]) * 1e6,
        ratio(found["rival"], found["ours"]),
    )


def _stretches(call: Callable[[], object], pinned: Ours | None = None) -> Callable[[], float]:
    """Seconds per call over about `STRETCH_S`; the window of `pinned` is open meanwhile."""
    repeats = 0

    def stretch() -> float:
        nonlocal repeats
        if pinned is not None:
            pinned.open()
        call()  # untimed: what the other arm left in caches
        start = time.perf_counter()
        if repeats:
            for _ in range(repeats):
                call()
        else:
            while repeats < 1 or time.perf_counter() - start < STRETCH_S:
                call()
                repeats += 1
        took = (time.perf_counter() - start) / repeats
        if pinned is not None:
            pinned.close()
        return took

    stretch()
    return stretch


def _ingest(store: Ours) -> str:
    """What `pin` costs more when 16 vector steps have come in, per row of a lane."""
    took: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(100):
        for news in (True, False):
            if news:
                store.append(16)
            start = time.perf_counter()
            store.open()
            took[news].append(time.perf_counter() - start)
            store.close()
    extra = median(took[True]) - median(took[False])
    return f"{extra / (16 * LANES) * 1e9:.0f} ns (pin alone: {median(took[False]) * 1e6:.1f} µs)"


def _lines(rounds: dict[str, Rounds]) -> Figures:
    """What has anything to be compared with."""
    return {name: _line(by_rival) for name, by_rival in rounds.items() if by_rival}


def _line(by_rival: Rounds) -> dict[str, str]:
    """Ours, the bare limit if there is one, and rivals from the fastest on."""
    line = {"ours µs": f"{median(ours for ours, _, _ in by_rival.values()):.1f}"}
    bare = by_rival.pop("bare gather", None)
    if bare is not None:
        line["over bare gather"] = f"{bare[1]:.1f}: {bare[2]}"
    for place, (name, (_, theirs, quotient)) in enumerate(
        sorted(by_rival.items(), key=lambda item: item[1][2].median)
    ):
        line["over fastest, " + name if place == 0 else name] = (
            f"{theirs:.1f}: {quotient}" if place == 0 else f"{theirs:.0f}: {quotient.median:.2f}"
        )
    return line
