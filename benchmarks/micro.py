"""Single operations over the least that the same work could cost.

Every line is a pair: ours, and the bare system calls, copies or tensor operations that remain when
everything around them is taken away. One process, nobody else at the shared memory. Appending and
sampling are the subject `replay`'s.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch

from benchmarks.pairs import PAIRS, Ratio, interleave, ratio
from benchmarks.supervised import CARTPOLE
from tuitrain.config.load import load_config
from tuitrain.config.resolve import resolve
from tuitrain.envs.lanes.vector import DEFAULT_POLICY, GymLanes
from tuitrain.learning.batch import to_device
from tuitrain.learning.dqn import DQN
from tuitrain.learning.flatten import FlatModule, layout_of, rehome
from tuitrain.learning.networks import build_network
from tuitrain.learning.policy import Policy
from tuitrain.learning.weights import WeightStore
from tuitrain.metrics.phases import PHASES, Phase, Phases
from tuitrain.replay import segment
from tuitrain.replay.limiter import Limiter
from tuitrain.replay.limiter_rule import LimiterRule
from tuitrain.replay.lock import LockFile

Call = Callable[[], object]

STRETCH_S = 0.02
"""An operation is repeated for about so long at a time."""


class Pair(NamedTuple):
    """An operation and its limit; both are called again and again."""

    ours: Call
    limit: Call
    what: str
    finer: int = 1
    """So many times the rounds, each so much shorter: for quotients that are almost 1."""


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name: microseconds of both, and their ratio."""
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    with _memory() as memory:
        for name, pair in _pairs(memory).items():
            calls = zip("ab", pair[:2], strict=True)
            times = {arm: _repeats(call, STRETCH_S / pair.finer) for arm, call in calls}
            found = interleave({arm: _timed(*times[arm]) for arm in "ab"}, pairs * pair.finer)
            ours, limit = (median(found[arm]) * 1e6 for arm in "ab")
            quotient: Ratio = ratio(found["a"], found["b"])
            figures[name] = {
                "µs": f"{ours:.1f}",
                f"over {pair.what}": f"{limit:.1f}",
                "ratio": str(quotient),
            }
    return figures


def _repeats(call: Call, stretch_s: float) -> tuple[Call, int]:
    call()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < stretch_s:
        call()
        count += 1
    return call, max(1, count)


def _timed(call: Call, repeats: int) -> Callable[[], float]:
    def timed() -> float:
        call()
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats

    return timed


class _Memory(NamedTuple):
    folder: Path
    locks: LockFile
    make: Callable[[int], Any]


@contextmanager
def _memory() -> Iterator[_Memory]:
    """Segments of this process, and the run's kind of lock file; all removed afterwards."""
    prefix = f"tuitrain-bench{os.getpid()}-"
    made: list[Any] = []

    def make(nbytes: int) -> Any:
        made.append(segment.create(f"{prefix}{len(made)}", nbytes, b"b" * 32))
        return made[-1]

    with tempfile.TemporaryDirectory() as folder:
        locks = LockFile.create(Path(folder) / "lock")
        try:
            yield _Memory(Path(folder), locks, make)
        finally:
            locks.close()
            for name in segment.list_names(prefix):
                segment.unlink(name)


def _pairs(memory: _Memory) -> dict[str, Pair]:
    return {
        **_locking(memory),
        **_learning(memory),
        **_phases(memory),
    }


def _locking(memory: _Memory) -> dict[str, Pair]:
    lock = memory.locks.rwlock(0, "lock", 1.0)
    control = memory.locks.rwlock(1, "limiter", 1.0)
    table = np.zeros(Limiter.table_shape(1, 3), np.int64)
    rule = LimiterRule(_tenth(), 1, _tenth() * 1000, 128)
    limiter = Limiter(table, [rule], control, 10**15, 3)
    fd = os.open(memory.folder / "bare", os.O_CREAT | os.O_RDWR)
    requests = [
        struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)
        for kind, byte in (
            (fcntl.F_WRLCK, 0),
            (fcntl.F_WRLCK, 1),
            (fcntl.F_UNLCK, 0),
            (fcntl.F_UNLCK, 1),
        )
    ]

    def calls() -> None:
        for request in requests:
            fcntl.fcntl(fd, fcntl.F_SETLK, request)

    def acquire() -> None:
        with lock.write():
            pass

    def reserve_commit() -> None:
        limiter.reserve(0, (128,), 128)
        limiter.commit(0, (128,), 128)
        limiter.add_updates(0, 13)

    def three_locks() -> None:
        for _ in range(3):
            acquire()

    four = "the 4 system calls"
    return {
        "lock: acquire + release": Pair(acquire, calls, four),
        "limiter: reserve + commit + add_updates": Pair(reserve_commit, three_locks, "3 locks"),
    }


def _tenth() -> Any:
    from fractions import Fraction

    return Fraction(1, 10)


_HIDDEN = {"hidden": [120, 84]}
_CODES = {phase: code for code, phase in enumerate(PHASES)}
_now = time.perf_counter


class _Hidden(Phases):
    """Phases that are timed, and that nobody outside could see."""

    __slots__ = ()

    def enter(self, phase: Phase) -> Phase:
        now = _now()
        before = self._code
        self._seconds[before] += now - self._since
        self._since = now
        self._code = _CODES[phase]
        return PHASES[before]


def _phases(memory: _Memory) -> dict[str, Pair]:
    """What it costs to show in shared memory which phase a worker is in."""
    config = resolve(load_config(CARTPOLE, []), cores=4)
    shown, hidden = Phases(), _Hidden()
    shown.show_in(memory.make(8).buf.cast("q"))

    def changes(phases: Phases) -> Call:
        enter = phases.enter

        def two() -> None:
            enter("act")
            enter("env step")

        return two

    envs = config.actors.envs_per_actor
    lanes = GymLanes([lambda: gymnasium.make(config.env.id)] * envs, config.env.id, 1)
    policy = Policy(build_network("mlp", (1, 4), "float32", 2, False, _HIDDEN, 0), 2)
    rng = np.random.default_rng(0)
    observation = lanes.reset(range(envs))[DEFAULT_POLICY].observation

    def stepping(phases: Phases) -> Call:  # the same objects: others lie elsewhere in memory
        enter = phases.enter

        def step() -> None:
            enter("act")
            actions = policy.act(observation[:, None], 0.04, rng)
            enter("env step")
            lanes.step({DEFAULT_POLICY: actions})

        return step

    what = "the same, timed only"
    return {
        "two changes of phase": Pair(changes(shown), changes(hidden), what),
        "bare vector step of 8 CartPoles": Pair(stepping(shown), stepping(hidden), what, finer=30),
    }


def _learning(memory: _Memory) -> dict[str, Pair]:
    config = resolve(load_config(CARTPOLE, []), cores=4).learner
    rng = np.random.default_rng(0)

    def network(hidden: tuple[int, ...]) -> torch.nn.Module:
        return build_network("mlp", (1, 4), "float32", 2, False, {"hidden": list(hidden)}, 0)

    big = network((256, 400))  # 110k parameters
    pulled = network((256, 400))
    for module in (big, pulled):
        rehome(module)  # as learner and actor do
    flat, other = FlatModule(big), FlatModule(pulled)
    layout = layout_of(big)
    store = WeightStore(
        layout,
        memory.make(WeightStore.segment_bytes(layout, 1)),
        memory.locks.rwlock(2, "weights", 1.0),
        1,
    )
    store.initialise()
    bytes_ = np.zeros(layout.nbytes, np.uint8)

    def publish() -> None:
        store.publish(flat.read(), 0)

    def publish_and_pull() -> None:
        publish()
        store.pull(0, other.buffer)
        other.load_bytes(other.buffer)

    spare = np.zeros_like(bytes_)

    def copies() -> None:
        for _ in range(2):
            np.copyto(spare, bytes_)

    policy = Policy(network((120, 84)), 2)
    stacked = rng.standard_normal((8, 1, 4)).astype(np.float32)
    weights = [(p.detach(), q.detach()) for p, q in _layers(network((120, 84)))]
    inputs = torch.from_numpy(stacked[:, 0])

    def forward() -> object:
        with torch.inference_mode():
            x = inputs
            for i, (weight, bias) in enumerate(weights):
                x = torch.nn.functional.linear(x, weight, bias)
                if i < len(weights) - 1:
                    x = x.relu_()
            return x.argmax(1)

    class _Batch(NamedTuple):
        state: Any
        next_state: Any
        action: Any
        returns: Any
        discount: Any
        legal: Any = None
        next_legal: Any = None

    size = config.batch_size
    batch = _Batch(
        rng.standard_normal((size, 1, 4)).astype(np.float32),
        rng.standard_normal((size, 1, 4)).astype(np.float32),
        rng.integers(0, 2, size),
        np.ones(size, np.float32),
        np.full(size, 0.99, np.float32),
    )
    dqn = DQN(network((120, 84)), network((120, 84)), config, 2, "cpu", 10_000)

    def update() -> None:
        dqn.update([to_device(batch, "cpu")])

    plain = network((120, 84))
    adam = torch.optim.Adam(plain.parameters(), lr=config.lr, fused=True)
    state = torch.from_numpy(batch.state)

    def plain_update() -> None:
        with torch.no_grad():
            plain(state)
            plain(state)
        adam.zero_grad()
        plain(state).square().mean().backward()
        adam.step()

    return {
        "publish + pull, 110k parameters": Pair(publish_and_pull, copies, "2 copies"),
        "Policy.act, 8 rows": Pair(
            lambda: policy.act(stacked, 0.04, rng), forward, "forward and argmax"
        ),
        f"update, batch {size}": Pair(update, plain_update, "3 forwards, 1 backward, fused Adam"),
    }


def _layers(network: torch.nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    parameters = list(network.parameters())
    return zip(parameters[::2], parameters[1::2], strict=True)
