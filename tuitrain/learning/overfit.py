"""Learning one batch by heart: what a network that can learn at all does in a few hundred updates.

The target network stands still meanwhile, so what is to be learned does not move (but for the
action that double DQN chooses). Whoever cannot do this learns from no replay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.config.learner import LearnerConfig
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.dqn import DQN

NEVER = 10**9
"""Updates after which the target network would be copied: more than anybody makes here."""


@dataclass(frozen=True)
class Overfit:
    """What came of it.

    Attributes:
        before, after: mean absolute TD error of the first and of the last update.
        floor: of `after`, what is left to who says the mean target of equal observations and
            actions that have led to different ones: chance. Luck, or another loss than the square,
            may end a little under it.
        unmoved: names of the trainable tensors that are what they were, bit for bit: no gradient
            has reached them, or steps were too small for their numbers.
        tensors: how many trainable ones there are.
    """

    lr: float
    updates: int
    before: float
    after: float
    floor: float
    unmoved: tuple[str, ...]
    tensors: int


def overfit(
    build: Callable[[], nn.Module],
    batches: Sequence[TensorBatch],
    config: LearnerConfig,
    n_actions: int,
    algorithm: AlgorithmConfig,
    *,
    updates: int,
    over: Callable[[], bool],
) -> Overfit:
    """Learn the same batches again and again, with new networks.

    Args:
        build: a network; called for the online and for the target network.
        batches: `config.grad_accumulation` of them, on the CPU.
        updates: to be made, unless `over` says before that it is time; at least one is.
    """
    still = {"tau": None, "target_update_every_updates": NEVER, "lr_schedule": "constant"}
    config = config.model_copy(update=still)
    dqn = DQN(build(), build(), config, n_actions, "cpu", 1, algorithm)
    weights = {n: p for n, p in dqn.online.named_parameters() if p.requires_grad}
    begun = {name: weight.detach().clone() for name, weight in weights.items()}
    seen = dqn.update(batches)
    before = _mean_abs(seen.td_error())
    while dqn.updates < updates and not over():
        seen = dqn.update(batches)
    return Overfit(
        lr=config.lr,
        updates=dqn.updates,
        before=before,
        after=_mean_abs(seen.td_error()),
        floor=_floor(batches, torch.cat(seen.target).detach()),
        unmoved=tuple(name for name, old in begun.items() if torch.equal(old, weights[name])),
        tensors=len(weights),
    )


def _mean_abs(error: Tensor) -> float:
    return float(error.detach().abs().mean())


def _floor(batches: Sequence[TensorBatch], target: Tensor) -> float:
    """The mean absolute error of whoever says the mean of its targets for each state and action."""
    rows: dict[bytes, list[int]] = {}
    states = torch.cat([batch.state for batch in batches]).numpy()
    actions = torch.cat([batch.action for batch in batches]).tolist()
    for at, (state, action) in enumerate(zip(states, actions, strict=True)):
        rows.setdefault(state.tobytes() + action.to_bytes(8, "little"), []).append(at)
    best = torch.empty_like(target)
    for same in rows.values():
        best[same] = target[same].mean()
    return _mean_abs(target - best)
