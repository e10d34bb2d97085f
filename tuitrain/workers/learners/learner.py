"""Learning: transitions in, weights out.

``Learner.step`` is one update of one policy and a plain call: it samples, updates and counts, and
does not know which process it runs in or who committed the rows. It alone touches target networks,
optimizers and publication.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuitrain.checkpoint.files import checkpoint_name, part_name
from tuitrain.checkpoint.payload import load, save, save_part
from tuitrain.learning.stack_memory import StackMemory
from tuitrain.metrics.phases import UNTIMED, Phases
from tuitrain.parts import the
from tuitrain.workers.beginning.initial import initial_weights
from tuitrain.workers.beginning.resuming import CHECKPOINT_SCHEMA, of_this_session
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.learners.policy_learner import PolicyLearner
from tuitrain.workers.learners.stacked_learner import StackedLearner
from tuitrain.workers.stores import Stores


@dataclass(frozen=True)
class TakenOver:
    """What the successor of a dead learner has found.

    Attributes:
        start: path of the checkpoint it goes on from; empty for the run's first weights.
        updates: per policy of this learner: updates that the weights there have seen.
        lost_updates: the same: updates made since then.
    """

    start: str
    updates: dict[str, int]
    lost_updates: dict[str, int]


class Learner:
    """The learners of this process's policies, their checkpoint and their counters.

    Args:
        index: of this learner process; the first one conducts.
        incarnation: how many were in its place before it in this session.

    Attributes:
        policies: by name, in the run's order.
        bundles: their names, those together that can be updated together (``step_together``).
        uncounted: per policy, updates made that the limiter has not been told of.
    """

    def __init__(
        self, blueprint: Blueprint, stores: Stores, index: int = 0, incarnation: int = 0
    ) -> None:
        self.blueprint = blueprint
        self.stores = stores
        self.index = index
        names = blueprint.learned_by(index)
        self.bundles = blueprint.bundles(index)
        self._stacks: dict[tuple[str, ...], StackedLearner] = {}
        found: dict[str, PolicyLearner] = {}
        for bundle in self.bundles:
            memory = None
            if len(bundle) > 1:
                memory = StackMemory(blueprint.weights[bundle[0]], len(bundle))
            for place, name in enumerate(bundle):
                found[name] = the(PolicyLearner)(
                    blueprint,
                    name,
                    stores.replays[name],
                    stores.weights[name],
                    len(names) - 1,
                    None if memory is None else memory.row(place),
                    incarnation,
                )
            if memory is not None:
                self._stacks[bundle] = StackedLearner([found[name] for name in bundle], memory)
        self.policies = {name: found[name] for name in names}
        self.uncounted = dict.fromkeys(names, 0)
        self._last_measure_s = time.monotonic()
        self.taken_over: TakenOver | None = None
        """Of a successor: from where it goes on, and what that has cost."""
        if incarnation:
            self.taken_over = self._take_over()
        else:
            self._begin()

    # ---- the two halves of a round, and the free-running update --------------------------------

    def open_windows(self, inserts: Sequence[int]) -> None:
        """Pin what every policy may sample from until ``close_windows``.

        Args:
            inserts: transitions committed so far, per policy of the run; rows older than the
                replay's capacity by this count are left out.
        """
        for learner in self.policies.values():
            learner.window = learner.pin(inserts[learner.place])

    def follow_ratios(self) -> None:
        """Go by the replay ratios of a round: windows may have been pinned before it opened."""
        ratios = self.stores.limiter.ratios()
        for learner in self.policies.values():
            learner.follow(ratios[learner.place])

    def close_windows(self) -> None:
        """Let the actors overwrite again."""
        for learner in self.policies.values():
            learner.window = None
            learner.reader.unpin()

    def step(self, policy: str, phases: Phases = UNTIMED, *, sure: int = 1) -> None:
        """One update of `policy` from its open window, or from one pinned for the draw.

        Where nothing can be drawn the update is let go, and counted: ``PolicyLearner.forgo``.

        Args:
            sure: updates that will be made in any case, this one included; their batches may be
                drawn together.
        """
        learner = self.policies[policy]
        if not learner.must_draw or self._draw(learner, sure, phases):
            learner.update(phases)

    def step_together(
        self, bundle: tuple[str, ...], phases: Phases = UNTIMED, *, sure: int = 1
    ) -> None:
        """One update of each policy of a bundle; see ``step``."""
        if len(bundle) == 1:
            self.step(bundle[0], phases, sure=sure)
            return
        stack, limiter = self._stacks[bundle], self.stores.limiter
        if not stack.must_draw or stack.draw(
            limiter.totals().inserts, limiter.ratios(), sure, phases
        ):
            stack.update(phases)
            return
        for name in bundle:  # somebody has nothing to draw: the others go on alone
            self.step(name, phases)

    def count_updates(self) -> None:
        """Tell the limiter of the updates that are uncounted."""
        for name, made in self.uncounted.items():
            if made:
                self.stores.limiter.add_updates(self.policies[name].place, made)
                self.uncounted[name] = 0

    def _draw(self, learner: PolicyLearner, updates: int, phases: Phases) -> bool:
        window = learner.window
        if window is None:
            learner.follow(self.stores.limiter.ratios()[learner.place])
            window = learner.pin(self.stores.limiter.totals().inserts[learner.place])
        try:
            if window.sampleable:
                learner.draw(window, updates, phases)
            else:
                learner.forgo(window)
            return bool(window.sampleable)
        finally:
            if learner.window is None:
                learner.reader.unpin()

    def publish(self, steps: int) -> None:
        """Publish every policy's weights; `steps` is the environment-step count they belong to."""
        for learner in self.policies.values():
            learner.publish(steps)

    def retune(self, blueprint: Blueprint) -> None:
        """Go on with changed keys of ``config.live``, between two updates."""
        self.blueprint = blueprint
        for learner in self.policies.values():
            learner.retune(blueprint)

    def set_ratio(self) -> None:
        """Let the config's replay ratio hold from now on, for all policies of the run."""
        ratio = self.blueprint.config.learner.updates_per_transition
        for place in range(len(self.blueprint.policies)):
            self.stores.limiter.change_ratio(place, ratio)

    # ---- what is told and kept -------------------------------------------------------------------

    def counters(self) -> dict[str, float]:
        """Totals per policy for the heartbeat; names end in the policy's name."""
        totals = self.stores.limiter.totals()
        out: dict[str, float] = {"env_steps": totals.steps}
        base, ratios = self.blueprint.base, self.stores.limiter.ratios()
        for name, learner in self.policies.items():
            draws, rejects = learner.reader.stats()
            ratio, inserts, updates = ratios[learner.place]
            out |= {
                f"updates/{name}": learner.dqn.updates,
                f"updates_made/{name}": totals.updates[learner.place],
                f"target_updates/{name}": learner.dqn.target_updates,
                f"version/{name}": learner.store.version(),
                f"inserts/{name}": totals.inserts[learner.place],
                f"draws/{name}": draws,
                f"rejects/{name}": rejects,
                f"sampleable/{name}": learner.reader.sampleable,
                f"stale_priorities/{name}": learner.reader.stale_priorities,
                f"forgone/{name}": learner.forgone,
                f"ratio/{name}": float(ratio),
                f"ratio_inserts/{name}": inserts + base.before_replay(name)[0],
                f"ratio_updates/{name}": updates + base.before_replay(name)[1],
            }
            if learner.overwritten is not None:
                out[f"overwritten/{name}"] = learner.overwritten
        return out

    @property
    def device(self) -> str:
        """Where the parameters of its networks are."""
        networks = (learner.dqn.online for learner in self.policies.values())
        return ", ".join(sorted({str(p.device) for of in networks for p in of.parameters()}))

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

    def save(
        self, request: int | None = None, *, state: bool = False, moment: str | None = None
    ) -> dict[str, Any]:
        """Write a checkpoint of weights, target, optimizer and counters, or this learner's part.

        Args:
            request: number of the command that asks for it; None at the end of training.
            state: with all else that the learner goes on from; the actors save theirs.
            moment: see ``state_files.save_actor``.

        Returns:
            `part`, see ``parts.Part``, where there is state or learners share the work;
            else `path` and `warnings` of what else went wrong. Besides, `steps` and `updates` per
            policy that are in it.

        Raises:
            CheckpointError: it could not be written; earlier checkpoints are untouched.
        """
        folder = self.blueprint.checkpoints()
        self.count_updates()  # what the networks hold has been made
        payload, updates = self._payload(), max(p.dqn.updates for p in self.policies.values())
        if state:
            payload |= self._state(moment)
        counts = {"steps": payload["steps"], "updates": payload["updates"]}
        if state or self.blueprint.n_learners > 1:
            name = part_name(self.blueprint.base.session, request, f"learner{self.index}")
            part = save_part(folder, payload, name, list(self.policies), updates)
            return {"part": part.to_dict()} | counts
        keep = self.blueprint.config.run.keep_checkpoints
        warnings: list[str] = []
        path = save(folder, payload, checkpoint_name(updates), keep, warnings.append)
        return {"path": str(path), "warnings": warnings} | counts

    def _payload(self) -> dict[str, Any]:
        totals, counts = self.stores.limiter.totals(), self.stores.limiter.counts()
        ratios, base = self.stores.limiter.ratios(), self.blueprint.base
        return {
            "schema": CHECKPOINT_SCHEMA,
            "config": (self.blueprint.began_with or self.blueprint.config).model_dump_json(),
            "changes": self.blueprint.changes,
            "software": self.blueprint.software,
            "sources": self.blueprint.sources,
            "run_id": self.blueprint.run_id,
            "spec_hash": self.blueprint.spec.spec_hash(),
            "spec": self.blueprint.spec.to_dict(),
            "session": self.blueprint.base.session,
            "stream": self.blueprint.base.stream,
            "steps": totals.steps,
            "inserts": {n: totals.inserts[p.place] for n, p in self.policies.items()},
            "updates": {n: p.dqn.updates for n, p in self.policies.items()},
            "made": {n: totals.updates[p.place] for n, p in self.policies.items()},
            "versions": {n: p.store.version() for n, p in self.policies.items()},
            "laid_out": str(self.blueprint.first_ratio),
            "ratios": {
                n: (str(ratios[p.place][0]), *ratios[p.place][1:]) for n, p in self.policies.items()
            },
            "passed": {n: str(p.pace.passed_at(p.dqn.updates)) for n, p in self.policies.items()},
            "began": {n: base.began[n] for n in self.policies if n in base.began},
            "since_steps": counts.steps,
            "since_inserts": {n: counts.inserts[p.place] for n, p in self.policies.items()},
            "since_updates": {n: counts.updates[p.place] for n, p in self.policies.items()},
            "policies": {n: {"dqn": p.dqn.state_dict()} for n, p in self.policies.items()},
        }

    def _state(self, moment: str | None) -> dict[str, Any]:
        return {
            "moment": moment,
            "reproducible": self.blueprint.base.reproducible,
            "evaluations": self.stores.board.eval_request,
            "learners": {n: p.state() for n, p in self.policies.items()},
        }

    def _begin(self) -> None:
        """Begin as the run's session does: at a checkpoint, with given weights, or anew."""
        if self.blueprint.base.checkpoint is not None:
            self._restore(load(Path(self.blueprint.base.checkpoint)))
        elif self.blueprint.config.run.init_from is not None:
            weights = initial_weights(Path(self.blueprint.run_dir))
            for name, learner in self.policies.items():
                learner.dqn.begin_with(weights[name])

    def _take_over(self) -> TakenOver:
        """Go on where a learner that has died can be taken up again: at its newest checkpoint.

        Rows live on in shared memory, and so do all counts of what has been made. Updates since
        the checkpoint are lost; they are not made again, or the replay ratio would be another.
        """
        base, made = self.blueprint.base, self.stores.limiter.totals().updates
        found = of_this_session(self.blueprint.checkpoints(), base.session)
        if found is not None:
            path, payload = found
            start, counted, versions = str(path), payload["made"], payload["versions"]
            self._restore(payload)
        else:
            start = base.checkpoint or ""
            self._begin()
            counted = {name: base.updates.get(name, 0) for name in self.policies}
            # the first publication of a session is of the weights it begins with
            versions = {
                name: base.versions.get(name, 0) + (not base.exact) for name in self.policies
            }
        lost = {}
        for name, learner in self.policies.items():
            lost[name] = made[learner.place] - counted[name]
            learner.store.forget_after(versions[name])
        return TakenOver(start, {n: p.dqn.updates for n, p in self.policies.items()}, lost)

    def _restore(self, payload: dict[str, Any]) -> None:
        """Take over what a checkpoint holds. The probe has seen that it fits."""
        base = self.blueprint.base
        for name, learner in self.policies.items():
            learner.dqn.load_state_dict(payload["policies"][name]["dqn"])
            if base.states and not learner.store.published():  # else another one was here before
                learner.restore(payload["learners"][name], exact=base.exact)
