"""Learning: transitions in, weights out.

``Learner.step`` is one update of one policy and a plain call: it samples, updates and counts, and
does not know which process it runs in or who committed the rows. It alone touches target networks,
optimizers and publication.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuitrain.checkpoint import load, save, save_part
from tuitrain.checkpoint_files import checkpoint_name, part_name
from tuitrain.config.resolve import planned_updates
from tuitrain.learning.batch import TensorBatch, split, to_device
from tuitrain.learning.dqn import DQN
from tuitrain.learning.flatten import FlatModule
from tuitrain.learning.stream import TorchStream
from tuitrain.learning.weights import WeightStore, sha256
from tuitrain.metrics.counters import UNTIMED, Phases
from tuitrain.replay.buffer import Origin, PolicyReplay, PriorityRule, Window
from tuitrain.replay.window import Int
from tuitrain.seeding import generator, integers, stream
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.build import network_for
from tuitrain.workers.stores import Stores

CHECKPOINT_SCHEMA = 1

DRAWN_UPDATES = 32
DRAWN_BYTES = 1 << 20
"""Batches of so many updates are drawn in one call at most, and only as many as are so small.

Taking up new rows and drawing have a fixed cost, a hundred numpy calls on short arrays, as much as
half an update of a small network; and sampling and updating in turn drive each other's code and
data out of the core's caches. Large batches would fill the cache instead. How many are drawn
together is part of the algorithm, the same in every schedule.
"""


class PolicyLearner:
    """Everything the learner holds for one policy.

    Args:
        alone: no other policy learns in this process.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        name: str,
        replay: PolicyReplay,
        store: WeightStore,
        alone: bool = True,
    ) -> None:
        config = blueprint.config.learner
        index = blueprint.policies.index(name)
        network = network_for(blueprint.config, blueprint.spec, name)
        target = network_for(blueprint.config, blueprint.spec, name)
        planned = planned_updates(blueprint.config, len(blueprint.spec.policies[name].agents))
        # What a network draws from torch's global state while it learns (dropout, noise) belongs
        # to the seed and the policy too. Actors and evaluator have fenced states of their own.
        (torch_seed,) = integers(
            stream(blueprint.config.run.seed, "learner", index, blueprint.base.session).spawn(1)[0],
            1,
        )
        torch.manual_seed(torch_seed)
        self.name = name
        self.place = index
        """Of this policy, in the run's tables."""
        self.config = config
        self.dqn = DQN(
            network,
            target,
            config,
            blueprint.spec.policies[name].n_actions,
            config.device,
            # open only where agents share policies: each then makes a number of its own
            config.lr_schedule_updates or planned,
            blueprint.config.algorithm,
        )
        self._planned_updates = planned
        self._stream: AbstractContextManager[object] = (
            nullcontext() if alone else TorchStream(self.dqn.device)
        )
        how = blueprint.config.replay
        self._priority: PriorityRule | None = None
        if how.prioritized:
            self._priority = PriorityRule(how.priority_alpha, how.priority_beta, how.priority_eps)
        self.reader = replay.reader(0, config.gamma, self._priority)
        self.store = store
        self.window: Window | None = None
        self.rng = generator(blueprint.config.run.seed, "learner", index, blueprint.base.session)
        self._capacity = how.capacity
        self._flat = FlatModule(self.dqn.online)
        self._rows = config.batch_size * config.grad_accumulation
        part = blueprint.spec.policies[name]
        row_bytes = 2 * blueprint.spec.n_frames * part.dtype.itemsize * prod(part.observation_shape)
        self._at_once = max(1, min(DRAWN_UPDATES, DRAWN_BYTES // (self._rows * row_bytes)))
        self._origin: Origin | None = None
        """Of the last batch drawn, for `measure`."""
        self._drawn: deque[TensorBatch] = deque()
        self._drawn_rows: deque[tuple[Int, Int]] = deque()
        """Cells and rows of each of them, if their TD errors become priorities."""
        self.measured_updates = 0
        """`dqn.updates` when ``measure`` was called last."""

    def pin(self, inserts: int) -> Window:
        """Pin what may be sampled: all but rows older than the capacity by this count."""
        return self.reader.pin(max(0, inserts - self._capacity))

    @property
    def must_draw(self) -> bool:
        """Whether ``draw`` must come before the next ``update``."""
        return not self._drawn

    def draw(self, window: Window, updates: int, phases: Phases = UNTIMED) -> None:
        """Draw the batches of the next `updates` updates, or of the first of them.

        How many depends on `updates` and the config alone, so equal calls draw equal batches.
        They are copies: the window can be let go.
        """
        phases.enter("sample")
        config, rule = self.config, self._priority
        batches = config.grad_accumulation * min(updates, self._at_once)
        beta = rule.beta(self.dqn.updates, self._planned_updates) if rule else 1.0
        batch = self.reader.sample(window, config.batch_size, self.rng, batches=batches, beta=beta)
        last = replace(batch, cells=batch.cells[-config.batch_size :])
        self._origin = self.reader.origin(last)
        if rule is not None:
            halves = (np.split(batch.cells, batches), np.split(batch.rows, batches))
            self._drawn_rows.extend(zip(*halves, strict=True))
        phases.enter("copy")
        drawn = to_device(batch, self.dqn.device, batch.weights)
        self._drawn.extend(split(drawn, config.batch_size))

    def update(self, phases: Phases = UNTIMED) -> None:
        """One gradient step on batches that have been drawn."""
        phases.enter("update")
        batches = [self._drawn.popleft() for _ in range(self.config.grad_accumulation)]
        with self._stream:
            stats = self.dqn.update(batches)
        if self._priority is None:
            return
        phases.enter("priorities")
        cells, rows = zip(*(self._drawn_rows.popleft() for _ in batches), strict=True)
        error = stats.priorities().cpu().numpy()
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

    def measure(self, inserts: int) -> dict[str, float]:
        """Fields of a `learner` record: the update's statistics and the last batch's ages."""
        self.measured_updates = self.dqn.updates
        out: dict[str, float] = dict(self.dqn.stats())
        out["target_updates"] = self.dqn.target_updates
        origin = self._origin
        if origin is not None:
            # rows acted with weights of before this session have no known update count
            acted = self.store.updates_at_version(origin.version)
            lag = self.dqn.updates - acted[acted >= 0]
            age = inserts - origin.stamp
            if len(lag):
                out["lag_updates_p50"] = float(np.percentile(lag, 50))
                out["lag_updates_p95"] = float(np.percentile(lag, 95))
            out["sample_age_p95"] = float(np.percentile(age, 95))
        return out


class Learner:
    """The learners of this process's policies, their checkpoint and their counters.

    Args:
        index: of this learner process; the first one conducts.

    Attributes:
        policies: by name, in the run's order.
    """

    def __init__(self, blueprint: Blueprint, stores: Stores, index: int = 0) -> None:
        self.blueprint = blueprint
        self.stores = stores
        self.index = index
        names = blueprint.learned_by(index)
        self.policies = {
            name: PolicyLearner(
                blueprint, name, stores.replays[name], stores.weights[name], len(names) == 1
            )
            for name in names
        }
        self._folder = Path(blueprint.run_dir) / "checkpoints"
        self._last_measure_s = time.monotonic()
        if blueprint.base.checkpoint is not None:
            self._restore(Path(blueprint.base.checkpoint))

    # ---- the two halves of a round, and the free-running update --------------------------------

    def open_windows(self, inserts: Sequence[int]) -> None:
        """Pin what every policy may sample from until ``close_windows``.

        Args:
            inserts: transitions committed so far, per policy of the run; rows older than the
                replay's capacity by this count are left out.
        """
        for learner in self.policies.values():
            learner.window = learner.pin(inserts[learner.place])

    def close_windows(self) -> None:
        """Let the actors overwrite again."""
        for learner in self.policies.values():
            learner.window = None
            learner.reader.unpin()

    def step(self, policy: str, phases: Phases = UNTIMED, *, sure: int = 1) -> None:
        """One update of `policy` from its open window, or from one pinned for the draw.

        Args:
            sure: updates that will be made in any case, this one included; their batches may be
                drawn together.
        """
        learner = self.policies[policy]
        if learner.must_draw:
            self._draw(learner, sure, phases)
        learner.update(phases)

    def _draw(self, learner: PolicyLearner, updates: int, phases: Phases) -> None:
        if learner.window is not None:
            learner.draw(learner.window, updates, phases)
            return
        inserts = self.stores.limiter.totals().inserts[learner.place]
        window = learner.pin(inserts)
        try:
            learner.draw(window, updates, phases)
        finally:
            learner.reader.unpin()

    def publish(self, steps: int) -> None:
        """Publish every policy's weights; `steps` is the environment-step count they belong to."""
        for learner in self.policies.values():
            learner.publish(steps)

    # ---- what is told and kept -------------------------------------------------------------------

    def counters(self) -> dict[str, float]:
        """Totals per policy for the heartbeat; names end in the policy's name."""
        totals = self.stores.limiter.totals()
        out: dict[str, float] = {"env_steps": totals.steps}
        for name, learner in self.policies.items():
            draws, rejects = learner.reader.stats()
            out |= {
                f"updates/{name}": learner.dqn.updates,
                f"target_updates/{name}": learner.dqn.target_updates,
                f"version/{name}": learner.store.version(),
                f"inserts/{name}": totals.inserts[learner.place],
                f"draws/{name}": draws,
                f"rejects/{name}": rejects,
                f"sampleable/{name}": learner.reader.sampleable,
                f"stale_priorities/{name}": learner.reader.stale_priorities,
            }
        return out

    def records(self, every_s: float) -> list[dict[str, Any]]:
        """One `learner` record per policy that has learned since its last one.

        Args:
            every_s: none at all if the last ones were made less than so many seconds ago.
        """
        now = time.monotonic()
        if now - self._last_measure_s < every_s:
            return []
        self._last_measure_s = now
        totals = self.stores.limiter.totals()
        return [
            {
                "kind": "learner",
                "policy": name,
                "steps": totals.steps,
                "updates": learner.dqn.updates,
                "version": learner.store.version(),
                **learner.measure(totals.inserts[learner.place]),
            }
            for name, learner in self.policies.items()
            if learner.dqn.updates > learner.measured_updates
        ]

    def description(self) -> str:
        """Per policy, how much learns and how its gradient is computed."""
        return "; ".join(
            f"{name}: {sum(p.numel() for p in part.dqn.online.parameters()):,} parameters, "
            f"gradient {part.dqn.gradient}"
            for name, part in self.policies.items()
        )

    def holdings(self) -> dict[str, Any]:
        """Version and hash of what was published last, per policy: the answer to a resync."""
        return {
            name: {"version": learner.store.version(), "sha256": learner.weights_hash()}
            for name, learner in self.policies.items()
        }

    def fingerprint(self) -> dict[str, Any]:
        """SHA-256 of weights and replay columns, to compare two runs byte for byte."""
        return {
            name: {
                "weights": learner.online_hash(),
                "replay": self.stores.replays[name].column_digest(),
            }
            for name, learner in self.policies.items()
        }

    def save(self, request: int | None = None) -> dict[str, Any]:
        """Write a checkpoint of weights, target, optimizer and counters, or this learner's part.

        Args:
            request: number of the command that asks for it; None at the end of training.

        Returns:
            Where learners share the work, `part`, see ``checkpoint_files.Part``; else `path`.

        Raises:
            CheckpointError: it could not be written; earlier checkpoints are untouched.
        """
        payload, updates = self._payload(), max(p.dqn.updates for p in self.policies.values())
        if self.blueprint.n_learners == 1:
            keep = self.blueprint.config.run.keep_checkpoints
            return {"path": str(save(self._folder, payload, checkpoint_name(updates), keep))}
        name = part_name(self.blueprint.base.session, request, f"learner{self.index}")
        return {
            "part": save_part(self._folder, payload, name, list(self.policies), updates).to_dict()
        }

    def _payload(self) -> dict[str, Any]:
        totals = self.stores.limiter.totals()
        return {
            "schema": CHECKPOINT_SCHEMA,
            "run_id": self.blueprint.run_id,
            "spec_hash": self.blueprint.spec.spec_hash(),
            "spec": self.blueprint.spec.to_dict(),
            "session": self.blueprint.base.session,
            "steps": totals.steps,
            "inserts": {n: totals.inserts[p.place] for n, p in self.policies.items()},
            "updates": {n: p.dqn.updates for n, p in self.policies.items()},
            "versions": {n: p.store.version() for n, p in self.policies.items()},
            "policies": {n: {"dqn": p.dqn.state_dict()} for n, p in self.policies.items()},
        }

    def _restore(self, path: Path) -> None:
        payload = load(path)
        if payload["schema"] != CHECKPOINT_SCHEMA:
            raise RuntimeError(f"{path} has checkpoint schema {payload['schema']}, not 1")
        if payload["spec_hash"] != self.blueprint.spec.spec_hash():
            raise RuntimeError(
                f"{path} was made with another environment or number of frames than this run has"
            )
        for name, learner in self.policies.items():
            learner.dqn.load_state_dict(payload["policies"][name]["dqn"])
