"""Updates of several policies as one stack, over the same updates one by one.

Two arms in one process, on equal networks and equal batches: `Stack.update`, and `DQN.update` of
each policy in turn. An update counts once all policies have made one, so the quotient of rates is
what stacking is worth. Where it ends to be worth much is what `MOST_STACKED_WORK` of
`workers/dealing.py` says. Rates are per second of processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.pairs import PAIRS, interleave, ratio
from tuitrain.config.learner import LearnerConfig
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.dqn import DQN
from tuitrain.learning.flatten import layout_of
from tuitrain.learning.networks import build_network
from tuitrain.learning.stack_memory import StackMemory
from tuitrain.learning.stacked import Stack, stack_batches

OBSERVATION, ACTIONS = 20, 4
STRETCH_S = 0.2
"""An arm is repeated for about so long at a time."""

CASES: dict[str, tuple[int, int, tuple[int, ...]]] = {
    f"{policies} policies, batch {rows}, hidden {'-'.join(map(str, hidden))}": (
        policies,
        rows,
        hidden,
    )
    for policies, rows, hidden in [
        (5, 32, (64,)),
        (5, 32, (64, 64)),
        (5, 32, (128,)),
        (5, 32, (128, 128)),
        (5, 32, (256, 256)),
        (5, 128, (64, 64)),
        (2, 32, (64, 64)),
        (10, 32, (64, 64)),
    ]
}


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name: rates of both, updates of all policies per second, and their ratio."""
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    for name, case in CASES.items():
        stack, alone = _arms(*case)
        found = interleave({"stack": _timed(stack), "alone": _timed(alone)}, pairs)
        figures[name] = {
            "stacked, updates/s": round(1 / min(found["stack"])),
            "one by one, updates/s": round(1 / min(found["alone"])),
            "stacked / one by one": str(ratio(found["alone"], found["stack"])),
        }
    return figures


def _arms(
    policies: int, rows: int, hidden: tuple[int, ...]
) -> tuple[Callable[[], object], Callable[[], object]]:
    """One update of all policies: stacked, and one by one."""
    config = LearnerConfig(batch_size=rows, target_update_every_updates=500)

    def network(seed: int) -> Any:
        kwargs = {"hidden": list(hidden)}
        return build_network("mlp", (1, OBSERVATION), "float32", ACTIONS, False, kwargs, seed)

    def learner(seed: int, row: Any = None) -> DQN:
        return DQN(network(seed), network(seed), config, ACTIONS, "cpu", 10_000, row=row)

    memory = StackMemory(layout_of(network(0)), policies)
    stack = Stack([learner(p, memory.row(p)) for p in range(policies)], memory)
    alone = [learner(p) for p in range(policies)]
    random = torch.Generator().manual_seed(0)
    batches = [
        TensorBatch(
            torch.randn(rows, 1, OBSERVATION, generator=random),
            torch.randn(rows, 1, OBSERVATION, generator=random),
            torch.randint(0, ACTIONS, (rows,), generator=random),
            torch.randn(rows, generator=random),
            torch.full((rows,), 0.99),
        )
        for _ in range(policies)
    ]
    together = stack_batches(batches)

    def one_by_one() -> None:
        for dqn, batch in zip(alone, batches, strict=True):
            dqn.update([batch])

    return lambda: stack.update(together), one_by_one


def _timed(call: Callable[[], object]) -> Callable[[], float]:
    """Seconds of one call, over a stretch of them; processor time, as neighbours come and go."""
    for _ in range(20):
        call()
    start, repeats = time.process_time(), 0
    while time.process_time() - start < STRETCH_S:
        call()
        repeats += 1

    def timed() -> float:
        begun = time.process_time()
        for _ in range(repeats):
            call()
        return (time.process_time() - begun) / repeats

    return timed
