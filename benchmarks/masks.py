"""What action masks cost: sampling, one update and acting with them, over the same without.

    taskset -c 2 python -m benchmarks.masks

The network and batch are those of ``configs/cartpole.toml``, with as many actions as Atari's
games have at most. The arms of a pair look at the same observations.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.pairs import PAIRS, interleave, ratio
from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.config.learner import LearnerConfig
from tuitrain.envs.spec import PolicySpec
from tuitrain.learning.batch import split, to_device
from tuitrain.learning.dqn import DQN
from tuitrain.learning.networks import build_network
from tuitrain.learning.policy import Policy
from tuitrain.replay.buffer import PolicyReplay, ReplayReader
from tuitrain.replay.layout import ReplayLayout

ACTIONS, FEATURES, LANES, BATCH, TOGETHER, GAMMA = 18, 4, 8, 128, 10, 0.99
CALLS = 10


class _Memory:
    def __init__(self, nbytes: int) -> None:
        self.buf = memoryview(bytearray(nbytes))


class _NoLock:
    def read(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    write = read


def _legal(rng: np.random.Generator, rows: int) -> Any:
    legal = rng.random((rows, ACTIONS)) < 0.5
    legal[:, 0] = True
    return legal


def _filled(masked: bool) -> ReplayReader:
    spec = PolicySpec((FEATURES,), "float32", ACTIONS, ("agent",), masked=masked)
    layout = ReplayLayout("default", spec, 1, 1, 1, LANES, 16, 50_000, 0, 0, 1)
    locks: Any = [_NoLock()]
    replay = PolicyReplay(layout, _Memory(layout.nbytes), locks)
    replay.initialise()
    writer, rng = replay.writer(0), np.random.default_rng(0)
    none = np.zeros(LANES, np.bool_)
    for row in range(50_000 // LANES):
        writer.begin(1)
        seen = rng.standard_normal((LANES, FEATURES), np.float32)
        writer.put_observation(row, seen, np.full(LANES, row), 0)
        if masked:
            writer.put_legal(row, _legal(rng, LANES))
        writer.put_outcome(row, np.zeros(LANES, int), seen[:, 0], none, none, 0, row * LANES)
        writer.commit(row + 1)
    return replay.reader(0, GAMMA)


def _network(how: AlgorithmConfig, seed: int) -> torch.nn.Module:
    return build_network(
        "mlp", (1, FEATURES), "float32", ACTIONS, False, {"hidden": [120, 84]}, seed, algorithm=how
    )


def _timed(call: Callable[[], object]) -> Callable[[], float]:
    def seconds() -> float:
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        return (time.perf_counter() - start) / CALLS

    return seconds


def _arms(how: AlgorithmConfig) -> dict[str, dict[str, Callable[[], float]]]:
    """Per measure, the arm without masks and the one with them."""
    arms: dict[str, dict[str, Callable[[], float]]] = {"sample": {}, "update": {}, "act": {}}
    rng = np.random.default_rng(1)
    seen = rng.standard_normal((LANES, 1, FEATURES), np.float32)
    for name in ("plain", "masked"):
        reader, draws = _filled(name == "masked"), np.random.default_rng(2)
        window = reader.pin()

        def sample(reader: Any = reader, window: Any = window, draws: Any = draws) -> Any:
            batch = reader.sample(window, BATCH, draws, batches=TOGETHER)
            return split(to_device(batch, "cpu"), BATCH)

        dqn = DQN(
            _network(how, 1), _network(how, 2), LearnerConfig(), ACTIONS, "cpu", 10**6, how
        )  # fmt: skip
        given = [type(b)(*(c if c is None else c.clone() for c in b)) for b in sample()]
        policy, legal = Policy(_network(how, 1), ACTIONS), _legal(rng, LANES)
        mask = legal if name == "masked" else None
        arms["sample"][name] = _timed(sample)
        arms["update"][name] = _timed(lambda dqn=dqn, given=given: dqn.update(given[:1]))
        arms["act"][name] = _timed(
            lambda policy=policy, rng=rng, mask=mask: policy.act(seen, 0.04, rng, mask)
        )
    return arms


def main() -> None:
    """Print the quotients."""
    torch.set_num_threads(1)
    for given in ({"name": "dqn"}, {"name": "dqn", "munchausen": True}, {"name": "iqn"}):
        how = AlgorithmConfig.model_validate(given)
        for measure, pair in _arms(how).items():
            if measure != "update" and given != {"name": "dqn"}:
                continue
            interleave(pair, 3)
            found = interleave(pair, PAIRS)
            plain = 1e6 * float(np.median(found["plain"]))
            quotient = ratio(found["masked"], found["plain"])
            print(f"{' '.join(map(str, given.values()))} {measure}: {quotient} of {plain:.0f} us")


if __name__ == "__main__":
    main()
