"""The group's own case against the least that its arithmetic can take.

`configs/treasurehunt-original.toml`: five IQNs, whose updates and whose acting are large matrix
products. Their floating-point operations are counted (Horace He's ``FlopCounterMode``), the rate at
which this machine multiplies matrices of that size is measured with one process per core, and both
together say how many turns per second it could do at most. Whole runs are compared with that, and
with each other: `async` with a learner for each policy, and `sequential`, at the same replay ratio.
Random actions need no forward, so a run's acting is counted at the share of greedy ones.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import supervised
from benchmarks.pairs import interleave, ratio
from tuitrain.config.load import load_config
from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config
from tuitrain.envs.make import inspect
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.dqn import DQN
from tuitrain.learning.exploration import epsilon_at
from tuitrain.workers.build import network_for

ORIGINAL = Path(__file__).parent.parent / "configs" / "treasurehunt-original.toml"
TURNS = 6_000
SPAN_S = 2.0

OVERRIDES = (f"run.total_steps={TURNS}", "eval.enabled=false")
"""Everything else is as the config has it; epsilon falls over its 50,000 turns."""


def measure(pairs: int = 5) -> dict[str, Any]:
    """Figures by name."""
    torch.set_num_threads(1)
    config = resolve(load_config(ORIGINAL, list(OVERRIDES)))
    update, forward = operations(config)
    per_turn = operations_per_turn(config, update, forward)
    cores = len(os.sched_getaffinity(0))
    actors = max(1, cores // 2)

    def turns_per_s(*overrides: str) -> float:
        with supervised.run([*OVERRIDES, *overrides], {}, config=ORIGINAL) as folder:
            return TURNS / supervised.training_s(folder)

    parallel = ("run.schedule=async", f"actors.count={actors}", "learner.processes=per-policy")
    arms = {
        "bound": partial(bound_turns_per_s, per_turn, cores),
        "async": partial(turns_per_s, *parallel),
        "sequential": partial(turns_per_s, "run.schedule=sequential"),
    }
    found = interleave(arms, pairs)
    return {
        "GFLOP, one update / one agent's greedy choice / a turn of all": (
            f"{update / 1e9:.2f} / {forward / 1e9:.3f} / {per_turn / 1e9:.2f}"
        ),
        f"turns/s of async over the bound of {cores} cores": ratio(found["async"], found["bound"]),
        "async / sequential": ratio(found["async"], found["sequential"]),
        "turns/s, medians": {name: f"{median(values):.0f}" for name, values in found.items()},
    }


def operations(config: Config) -> tuple[int, int]:
    """Floating-point operations of one update of one policy, and of one agent's greedy choice."""
    spec = inspect(config.env, config.policies.map)
    name, part = next(iter(spec.policies.items()))
    networks = [network_for(config, spec, name) for _ in range(2)]
    dqn = DQN(*networks, config.learner, part.n_actions, "cpu", 1, config.algorithm)
    rows = config.learner.batch_size
    frames = torch.zeros(rows, spec.n_frames, *part.observation_shape)
    numbers = torch.zeros(rows)
    batch = TensorBatch(frames, frames, torch.zeros(rows, dtype=torch.int64), numbers, numbers)
    with FlopCounterMode(display=False) as update:
        dqn.update([batch])
    dqn.online.eval()
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        dqn.online(frames[:1])
    return int(update.get_total_flops()), int(forward.get_total_flops())


def operations_per_turn(config: Config, update: int, forward: int) -> float:
    """Those of one turn of all agents: choices that are not random, and the updates it earns."""
    agents = int(config.env.kwargs["agents"])
    greedy = 1.0 - float(np.mean([epsilon_at(t, config.exploration) for t in range(TURNS)]))
    learning = max(0.0, 1.0 - config.replay.learning_starts / TURNS)
    updates = float(config.learner.updates_per_transition) * learning
    return agents * (greedy * forward + updates * update)


def bound_turns_per_s(per_turn: float, cores: int) -> float:
    """Turns per second if every core did nothing but multiply matrices."""
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        return float(sum(pool.map(multiply, [SPAN_S] * cores, chunksize=1))) / per_turn


def multiply(span_s: float) -> float:
    """Floating-point operations per second of one thread, in products as an update makes them."""
    torch.set_num_threads(1)
    a, b = torch.rand(256 * 12, 250), torch.rand(250, 250)
    out = torch.empty(256 * 12, 250)
    done, start = 0, time.perf_counter()
    while (took := time.perf_counter() - start) < span_s:
        torch.mm(a, b, out=out)
        done += 2 * a.numel() * b.shape[1]
    return done / took
