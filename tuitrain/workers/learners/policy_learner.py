"""Learning for one policy: what it draws, updates and publishes, whoever learns beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tuitrain import seeding
from tuitrain.learning.batch import TensorBatch, split, to_device
from tuitrain.learning.dqn import DQN
from tuitrain.learning.flatten import FlatModule
from tuitrain.learning.stack_memory import Row
from tuitrain.learning.stream import GlobalStream, TorchStream
from tuitrain.learning.weights import WeightStore
from tuitrain.learning.weights_layout import sha256
from tuitrain.metrics.phases import UNTIMED, Phases
from tuitrain.parts import the
from tuitrain.replay.buffer import Origin, PolicyReplay, PriorityRule, Window
from tuitrain.replay.window import Int
from tuitrain.seeding import generator, integers, stream
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.build import network_for
from tuitrain.workers.learners.batch_figures import BatchFigures
from tuitrain.workers.learners.pace import Pace

DRAWN_UPDATES = 32
DRAWN_BYTES = 1 << 20
"""Batches of so many updates are drawn in one call at most, and only as many as are so small.

Taking up new rows and drawing have a fixed cost, a hundred numpy calls on short arrays, as much as
half an update of a small network; and sampling and updating in turn drive each other's code and
data out of the core's caches. Large batches would fill the cache instead. How many are drawn
together is part of the algorithm, the same in every schedule.
"""
TOLD_DRAWS = 16
"""From where so many of the newest batches came is told per shard: one alone holds few of each."""


class PolicyLearner:
    """Everything the learner holds for one policy.

    Args:
        beside: other policies that learn in this process.
        row: where its networks and optimizer are to live, if it is one of a stack.
        incarnation: see ``Learner``.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        name: str,
        replay: PolicyReplay,
        store: WeightStore,
        beside: int = 0,
        row: Row | None = None,
        incarnation: int = 0,
    ) -> None:
        config = blueprint.config.learner
        seed = blueprint.config.run.seed
        number = seeding.incarnation(blueprint.base.stream, incarnation)
        index = blueprint.policies.index(name)
        network = network_for(blueprint.config, blueprint.spec, name)
        target = network_for(blueprint.config, blueprint.spec, name)
        # What a network draws from torch's global state while it learns (dropout, noise) belongs
        # to the seed and the policy too. Actors and evaluator have fenced states of their own.
        (torch_seed,) = integers(stream(seed, "learner", index, number).spawn(1)[0], 1)
        torch.manual_seed(torch_seed)
        self.name = name
        self.place = index
        """Of this policy, in the run's tables."""
        self.config = config
        self.dqn = the(DQN)(
            network,
            target,
            config,
            blueprint.spec.policies[name].n_actions,
            config.device,
            config.lr_schedule_updates or 1,
            blueprint.config.algorithm,
            row,
        )
        self._blueprint = blueprint
        self._rule: tuple[Fraction, int, int] | None = None
        self.follow((blueprint.first_ratio, blueprint.config.replay.learning_starts, 0))
        self._stream = (TorchStream if beside else GlobalStream)(self.dqn.device)
        how = blueprint.config.replay
        self._priority: PriorityRule | None = None
        if how.prioritized:
            self._priority = PriorityRule(how.priority_alpha, how.priority_beta, how.priority_eps)
        share = blueprint.audit_share(beside + 1)
        self.reader = replay.reader(0, config.gamma, self._priority, share)
        self.auditor = self.reader.auditor
        self.store = store
        self.window: Window | None = None
        self.rng = generator(seed, "learner", index, number)
        self._capacity = how.capacity
        self._flat = FlatModule(self.dqn.online)
        self._rows = config.batch_size * config.grad_accumulation
        part = blueprint.spec.policies[name]
        row_bytes = 2 * blueprint.spec.n_frames * part.dtype.itemsize * prod(part.observation_shape)
        self._at_once = max(1, min(DRAWN_UPDATES, DRAWN_BYTES // (self._rows * row_bytes)))
        self._origins: deque[tuple[int, Origin]] = deque(maxlen=TOLD_DRAWS)
        """Of the last batches drawn, oldest first, and how many transitions there were then."""
        self._drawn: deque[TensorBatch] = deque()
        self._drawn_rows: deque[tuple[Int, Int]] = deque()
        """Cells and rows of each of them, if their TD errors become priorities."""
        self.figures: BatchFigures | None = BatchFigures()
        """What is measured of draws for checks; None is nothing."""
        self._inserts = 0
        """Transitions there were when the window was pinned last."""
        self.forgone = 0
        """Updates that were due when nothing could be drawn; see ``forgo``."""
        self.trouble = ""
        """Why the first of them could not be made."""
        self.measured_updates = 0
        """`dqn.updates` when ``measure`` was called last."""
        self.overwritten: int | None = None
        """Rows that were overwritten before the first draw from a replay begun empty."""
        self._draws_first = not incarnation and not blueprint.base.since_inserts.get(name)

    def retune(self, blueprint: Blueprint) -> None:
        """Go on with changed keys of ``config.live``, between two updates."""
        self.config = self.dqn.config = blueprint.config.learner

    def follow(self, rule: tuple[Fraction, int, int]) -> None:
        """Go by the replay ratio that holds now; schedules go on from where they are.

        Args:
            rule: of ``Limiter.ratios``.
        """
        if rule == self._rule:
            return
        of = self._blueprint
        self._rule, self.pace = rule, Pace.of(of.config, of.base, self.name, rule)
        self._course = self.pace.course(of.config, len(of.spec.policies[self.name].agents))
        # open only where agents share policies: each then makes a number of its own
        if self.config.lr_schedule_updates is None:
            self.dqn.course = self._course

    def state(self) -> dict[str, Any]:
        """What goes on beside networks and optimizer: tensors and plain values."""
        priorities = self.reader.priorities()
        first, updates = self.store.history()
        return {
            "generator": self.rng.bit_generator.state,
            "torch": self._stream.states(),
            "forgone": self.forgone,
            "priorities": None if priorities is None else _as_tensors(priorities),
            "history": {"first": first, "updates": torch.from_numpy(updates)},
        }

    def restore(self, state: Mapping[str, Any], *, exact: bool) -> None:
        """Go on where ``state`` was taken; the networks have been restored.

        Args:
            exact: as if never interrupted; else with random numbers of its own, on the old replay.
        """
        history = state["history"]
        self.store.restore_history(history["first"], history["updates"].numpy())
        if state["priorities"] is not None and self._priority is not None:
            self.reader.restore_priorities(_as_arrays(state["priorities"]))
        if not exact:
            return
        self.rng.bit_generator.state = state["generator"]
        self._stream.restore(state["torch"])
        self.forgone = state["forgone"]
        self.measured_updates = self.dqn.updates

    def pin(self, inserts: int) -> Window:
        """Pin what may be sampled: all but rows older than the capacity by this count."""
        self._inserts = inserts
        return self.reader.pin(max(0, inserts - self._capacity))

    def forgo(self, window: Window) -> None:
        """Let an update go, since nothing in `window` can be drawn.

        Of an agent that is seldom there, or whose moves mostly lead into a wait, transitions are
        counted that cannot be drawn yet, or never. Were their updates owed, the actors would in the
        end wait for a learner that waits for them.
        """
        self.forgone += 1
        self.trouble = self.trouble or self.reader.why_nothing(window)

    @property
    def must_draw(self) -> bool:
        """Whether ``draw`` must come before the next ``update``."""
        return not self._drawn

    def draw(self, window: Window, updates: int, phases: Phases = UNTIMED) -> None:
        """Draw the batches of the next `updates` updates, or of the first of them.

        How many depends on `updates` and the config alone, so equal calls draw equal batches.
        They are copies: the window can be let go.
        """
        drawn, rows = self.sample(window, updates, phases)
        self._drawn.extend(split(drawn, self.config.batch_size))
        self._drawn_rows.extend(rows)

    def sample(
        self, window: Window, updates: int, phases: Phases = UNTIMED
    ) -> tuple[TensorBatch, list[tuple[Int, Int]]]:
        """Draw as ``draw`` does, and keep nothing.

        Returns:
            The batches one after another; and the cells and rows of each of them if their TD
            errors become priorities, else nothing.
        """
        phases.enter("sample")
        if self._draws_first:
            self._draws_first, self.overwritten = False, self.reader.overwritten()
        config, rule = self.config, self._priority
        batches = config.grad_accumulation * min(updates, self._at_once)
        course = self._course
        beta = rule.beta(course.at(self.dqn.updates), course.length) if rule else 1.0
        batch = self.reader.sample(window, config.batch_size, self.rng, batches=batches, beta=beta)
        if self.figures is not None:
            drawn = batches // config.grad_accumulation
            self.figures.look(batch.state, batch.returns, self.dqn.updates, drawn)
        last = replace(batch, cells=batch.cells[-config.batch_size :])
        self._origins.append((self._inserts, self.reader.origin(last)))
        rows: list[tuple[Int, Int]] = []
        if rule is not None:
            halves = (np.split(batch.cells, batches), np.split(batch.rows, batches))
            rows = list(zip(*halves, strict=True))
        if self.auditor is not None and self.auditor.due():
            phases.enter("audit")
            self.auditor.look(batch)
        phases.enter("copy")
        return to_device(batch, self.dqn.device, batch.weights), rows

    def update(self, phases: Phases = UNTIMED) -> None:
        """One gradient step on batches that have been drawn."""
        phases.enter("update")
        batches = [self._drawn.popleft() for _ in range(self.config.grad_accumulation)]
        with self._stream:
            stats = self.dqn.update(batches)
        if self._priority is None:
            return
        phases.enter("priorities")
        drawn = [self._drawn_rows.popleft() for _ in batches]
        self.prioritize(drawn, stats.priorities().cpu().numpy())

    def prioritize(self, drawn: Sequence[tuple[Int, Int]], error: NDArray[np.float32]) -> None:
        """Make priorities of the TD errors of an update's batches, drawn from these places."""
        cells, rows = zip(*drawn, strict=True)
        self.reader.write_priorities(np.concatenate(cells), np.concatenate(rows), error)

    def publish(self, steps: int) -> int:
        """Hand the online network to the actors; returns the new version."""
        return self.store.publish(self._flat.read(), self.dqn.updates, steps)

    def weights_hash(self) -> str:
        """SHA-256 of the bytes published last."""
        return sha256(self.store.newest())

    def online_hash(self) -> str:
        """SHA-256 of the online network as it is now."""
        return sha256(self._flat.read())

    def measure(self, inserts: int) -> dict[str, Any]:
        """Fields of a `learner` record: of the updates, of what was drawn, and how old it was."""
        self.measured_updates = self.dqn.updates
        out = self.dqn.stats()
        if self.figures is not None:
            out |= self.figures.take()
        out["target_updates"] = self.dqn.target_updates
        if self.auditor is not None:
            out |= self.auditor.record()
        if self._origins:
            origin = self._origins[-1][1]
            # rows acted with weights of before this session have no known update count
            acted = self.store.updates_at_version(origin.version)
            lag = self.dqn.updates - acted[acted >= 0]
            age = inserts - origin.stamp
            if len(lag):
                out["lag_updates_p50"] = float(np.percentile(lag, 50))
                out["lag_updates_p95"] = float(np.percentile(lag, 95))
            out["sample_age_p95"] = float(np.percentile(age, 95))
        return out

    def tell_shards(self) -> None:
        """Show whoever looks on what of every shard may be drawn, and has been."""
        none = np.empty(0, np.int64)
        shard = np.concatenate([none, *(origin.shard for _, origin in self._origins)])
        age = np.concatenate([none, *(there - origin.stamp for there, origin in self._origins)])
        self.reader.tell(shard, age)


def _as_tensors(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}


def _as_arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in values.items()}
