"""Workers with one thing wrong: functions for ``TUITRAIN_TEST_DOUBLE``, by public methods only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.turns import AnyLanes
from tuitrain.envs.make import make_lanes
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.dqn import DQN, UpdateStats
from tuitrain.learning.policy import Policy
from tuitrain.metrics.phases import UNTIMED, Phases
from tuitrain.parts import Parts
from tuitrain.replay.buffer import Window
from tuitrain.replay.limiter import Limiter, Ticket
from tuitrain.replay.limiter_rule import LimiterRule
from tuitrain.replay.shard import ShardWriter
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.learners.policy_learner import PolicyLearner

AFTER_UPDATES = 100
"""So long everything is as it should be."""


# ---- weights ------------------------------------------------------------------------------------


class NeverPublishes(PolicyLearner):
    """Publishes its first weights, and no others."""

    def publish(self, steps: int) -> int:
        return self.store.version() if self.store.published() else super().publish(steps)


class ReadsWrong(Policy):
    """One bit of the weights that it takes is not what was published."""

    def load(self, flat: NDArray[np.uint8], version: int) -> None:
        super().load(flat, version)
        self.buffer[0] ^= 1


class TwiceTheTarget(DQN):
    """Updates the target network once more after the update that it was due at."""

    due_before = False

    def target_is_due(self) -> bool:
        due = super().target_is_due()
        again, self.due_before = self.due_before, due
        return due or again


class NotANumber(DQN):
    """Its weights become NaN."""

    def update(self, batches: Sequence[TensorBatch]) -> UpdateStats:
        stats = super().update(batches)
        if self.updates == AFTER_UPDATES:
            with torch.no_grad():
                next(self.online.parameters()).fill_(float("nan"))
        return stats


class LearnsNothing(DQN):
    """Counts updates, and puts every weight back where it was."""

    def update(self, batches: Sequence[TensorBatch]) -> UpdateStats:
        before = {k: v.clone() for k, v in self.online.state_dict().items()}
        stats = super().update(batches)
        self.online.load_state_dict(before)
        return stats


class LoudLoss(PolicyLearner):
    """The loss counts ten thousandfold, by importance weights."""

    def sample(self, window: Window, updates: int, phases: Phases = UNTIMED) -> Any:
        batch, rows = super().sample(window, updates, phases)
        return batch._replace(weights=torch.full_like(batch.returns, 1e4)), rows


class OtherRate(DQN):
    """Learns ten times as fast as the plan says."""

    def update(self, batches: Sequence[TensorBatch]) -> UpdateStats:
        planned = self.config
        self.config = planned.model_copy(update={"lr": 10 * planned.lr})
        try:
            return super().update(batches)
        finally:
            self.config = planned


class CopiesSlowly(PolicyLearner):
    """Every batch takes ten milliseconds on its way to the device."""

    def sample(self, window: Window, updates: int, phases: Phases = UNTIMED) -> Any:
        drawn = super().sample(window, updates, phases)
        time.sleep(0.01 * updates)
        return drawn


# ---- how fast ------------------------------------------------------------------------------------


class OverRatio(Limiter):
    """Lets a learner make five updates in a hundred that nobody has earned."""

    def updates_due(self, policy: int) -> int:
        made = self.totals().updates[policy]
        return super().updates_due(policy) + int(0.05 * made)


class TooEarly(Limiter):
    """Lets a learner begin with a tenth of what it should wait for."""

    def updates_due(self, policy: int) -> int:
        totals, rule = self.totals(), self.rules[policy]
        if 10 * totals.inserts[policy] > rule.learning_starts and not totals.updates[policy]:
            return 1
        return super().updates_due(policy)


class StartsLate(Limiter):
    """Waits for ten times as many transitions as the rings were laid out for."""

    def __init__(self, table: Any, rules: Sequence[LimiterRule], *more: Any) -> None:
        late = [replace(rule, learning_starts=10 * rule.learning_starts) for rule in rules]
        super().__init__(table, late, *more)


class AllWait(Limiter):
    """From some moment on nobody may do anything."""

    def stuck(self) -> bool:
        return self.totals().updates[0] > AFTER_UPDATES

    def reserve(self, actor: int, inserts: Sequence[int], steps: int) -> Ticket | None:
        return None if self.stuck() else super().reserve(actor, inserts, steps)

    def updates_due(self, policy: int) -> int:
        return 0 if self.stuck() else super().updates_due(policy)


# ---- environments --------------------------------------------------------------------------------


def more_frames(env_config: EnvConfig, *more: Any, **others: Any) -> AnyLanes:
    """Stacks one frame more than the config says."""
    frames = env_config.n_frames + 1
    return make_lanes(env_config.model_copy(update={"n_frames": frames}), *more, **others)


def other_spec(parts: Parts) -> None:
    parts.replace(make_lanes, more_frames)


# ---- acting --------------------------------------------------------------------------------------


class OldCount(Actor):
    """Explores as at the run's first step, for ever."""

    def begin(self, ticket: Ticket, *more: Any) -> None:
        super().begin(replace(ticket, step_base=0), *more)


class Stands(Actor):
    """Lives, beats, says that it works, and does nothing, from its second chunk on."""

    def rollout(self, rows: int, tick: Callable[[], None], phases: Phases = UNTIMED) -> None:
        super().rollout(rows, tick, phases)
        link = tick.__self__  # type: ignore[attr-defined]  # whose method it is: to beat alone
        while self.steps:
            link.tick()
            time.sleep(0.01)


class Elsewhere(Actor):
    """Says that it acts on a device nobody has asked for."""

    @property
    def device(self) -> str:
        return "cuda:7"


class ActsOnOthers(Policy):
    """Acts on frames in another order than they were seen in."""

    def act(self, stacked: NDArray[Any], *more: Any) -> NDArray[np.int64]:
        return super().act(np.ascontiguousarray(stacked[:, ::-1]), *more)


class OldMarks(ShardWriter):
    """In the second row of an episode it says that this is the third: stacks reach too far back."""

    def put_marks(self, row: int, age: NDArray[np.integer[Any]], flags: Any) -> None:
        super().put_marks(row, np.where(age == 1, 2, age), flags)


class FlipsBits(ShardWriter):
    """One bit of a row changes once everybody can read it."""

    def commit(self, head: int) -> None:
        first = self.head
        super().commit(head)
        for row in range(first, head):
            seen = self.columns.observation[self.shard, row % self.ring.rows]
            seen.view(np.uint8).reshape(-1)[0] ^= 64


# ---- putting them in place -----------------------------------------------------------------------


def never_publishes(parts: Parts) -> None:
    parts.replace(PolicyLearner, NeverPublishes)


def reads_wrong(parts: Parts) -> None:
    parts.replace(Policy, ReadsWrong)


def twice_the_target(parts: Parts) -> None:
    parts.replace(DQN, TwiceTheTarget)


def not_a_number(parts: Parts) -> None:
    parts.replace(DQN, NotANumber)


def learns_nothing(parts: Parts) -> None:
    parts.replace(DQN, LearnsNothing)


def loud_loss(parts: Parts) -> None:
    parts.replace(PolicyLearner, LoudLoss)


def other_rate(parts: Parts) -> None:
    parts.replace(DQN, OtherRate)


def copies_slowly(parts: Parts) -> None:
    parts.replace(PolicyLearner, CopiesSlowly)


def over_ratio(parts: Parts) -> None:
    parts.replace(Limiter, OverRatio)


def too_early(parts: Parts) -> None:
    parts.replace(Limiter, TooEarly)


def all_wait(parts: Parts) -> None:
    parts.replace(Limiter, AllWait)


def old_count(parts: Parts) -> None:
    parts.replace(Actor, OldCount)


def stands(parts: Parts) -> None:
    parts.replace(Actor, Stands)


def elsewhere(parts: Parts) -> None:
    parts.replace(Actor, Elsewhere)


def acts_on_others(parts: Parts) -> None:
    parts.replace(Policy, ActsOnOthers)


def starts_late(parts: Parts) -> None:
    parts.replace(Limiter, StartsLate)


def old_marks(parts: Parts) -> None:
    parts.replace(ShardWriter, OldMarks)


def flips_bits(parts: Parts) -> None:
    parts.replace(ShardWriter, FlipsBits)
