"""Publishing and pulling weights over one memory copy of their bytes; half of subject `pipeline`.

What learner and actor do, with networks that live in their vectors as theirs do: a publication
copies the bytes into a slot, a pull copies them out, so two copies are the least it can be.
Publishing is timed alone too, while another process pulls without a pause (both move the same bytes
between the cores then), and while that process is stopped somewhere within its pulls: publishing
waits for no reader, except for one that is stopped in the few µs in which it has the lock.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.buffers import ACTIONS, HASH, shared_memory
from benchmarks.pairs import interleave, ratio
from benchmarks.sides import sides
from tuitrain.learning.flatten import FlatModule, layout_of, rehome
from tuitrain.learning.networks import build_network
from tuitrain.learning.policy import Policy
from tuitrain.learning.weights import WeightStore
from tuitrain.replay import segment
from tuitrain.replay.lock import LockFile, LockTimeout

PULLS_S = 0.05
"""How long the other process pulls for each timed stretch of publications."""
PUBLISH_S = 0.02


def measure(pairs: int) -> dict[str, Any]:
    """Figures by name."""
    figures: dict[str, Any] = {}
    for name, network in NETWORKS.items():
        figures |= _weights(name, network, pairs)
    return figures


def _mlp() -> torch.nn.Module:
    return build_network("mlp", (1, 4), "float32", 2, False, {"hidden": [256, 400]}, 0)


def _cnn() -> torch.nn.Module:
    return build_network("nature", (4, 84, 84), "uint8", ACTIONS)


Network = Callable[[], torch.nn.Module]
NETWORKS: dict[str, Network] = {"MLP": _mlp, "CNN": _cnn}


def _weights(name: str, network: Network, pairs: int) -> dict[str, Any]:
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
            store = WeightStore(layout, memory, locks.rwlock(0, "weights", 1.0), 2)
            store.initialise()
            bytes_, spare = np.ones((2, layout.nbytes), np.uint8)

            def publish() -> None:
                store.publish(flat.read(), 0)

            def pull() -> None:
                policy.load(policy.buffer, store.pull(0, policy.buffer).version)

            def both() -> None:
                publish()
                pull()

            arms: dict[str, Callable[[], object]] = {
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
                    made["reader"].begin(start, start + PULLS_S)
                    seconds = _seconds(publish)
                    made["reader"].answer()
                    return seconds

                def stopped() -> float:
                    start = time.monotonic()
                    made["reader"].begin(start, start + PULLS_S)
                    time.sleep(PULLS_S / 2)
                    os.kill(made["reader"].process.pid or 0, signal.SIGSTOP)
                    try:
                        return _seconds(publish)
                    except LockTimeout:  # it was stopped in the few µs in which it has the lock
                        return math.nan
                    finally:
                        os.kill(made["reader"].process.pid or 0, signal.SIGCONT)
                        made["reader"].answer()

                around = {"publish": timed["publish"], "pulled": pulled, "stopped": stopped}
                busy = interleave(around, pairs)
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
        f"publish while another is stopped within a pull / alone, {label}": _stopped(busy),
    }


def _stopped(busy: dict[str, list[float]]) -> dict[str, Any]:
    free = [i for i, seconds in enumerate(busy["stopped"]) if not math.isnan(seconds)]
    return {
        "ratio": ratio(*([busy[arm][i] for i in free] for arm in ("stopped", "publish"))),
        "stopped while it had the lock": len(busy["stopped"]) - len(free),
    }


def _seconds(call: Callable[[], object], span_s: float = PUBLISH_S) -> float:
    call()
    start, count = time.perf_counter(), 0
    while (took := time.perf_counter() - start) < span_s:
        call()
        count += 1
    return took / count


def _puller(network: Network, name: str, lock: Path) -> Callable[[], object]:
    policy = Policy(network(), ACTIONS)
    layout = layout_of(network())
    memory = segment.attach(name, WeightStore.segment_bytes(layout, 2), HASH)
    store = WeightStore(layout, memory, LockFile.open(lock).rwlock(0, "weights", 5.0), 2)
    return lambda: policy.load(policy.buffer, store.pull(1, policy.buffer).version)
