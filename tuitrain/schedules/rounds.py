"""What a round is, for the two schedules that have rounds.

Round r: every actor takes L vector steps with weights W(r-1); the learner makes the updates that
are due on what was committed in rounds before r, and the result is published as W(r) when both are
done. `sequential` runs the two halves one after the other, `lockstep` at the same time; which of
them comes first cannot matter, because the learner's windows are pinned before the actors begin and
exclude every row they will touch. (Ancestor: Daley & Amato 2021, concurrent training with
synchronized execution.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tuitrain.replay.limiter import Ticket
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.learners.learner import Learner
from tuitrain.workers.learners.policy_learner import PolicyLearner
from tuitrain.workers.link import Link
from tuitrain.workers.stores import Stores

RECORD_EVERY_S = 1.0
"""Seconds between `learner` and `train` records."""


@dataclass(frozen=True)
class Round:
    """What everybody must know when a round opens, counted while nobody moves.

    Attributes:
        ticket: environment steps and transitions per policy committed before this round.
        due: updates that the learner's half of this round makes, per policy of that learner.
    """

    ticket: Ticket
    due: dict[str, int]


def open_round(learner: Learner) -> Round | None:
    """Count, and pin the learner's windows; None when the steps asked for are done.

    Where several learn, each does this for itself, while nobody moves: they count the same.
    """
    limiter = learner.stores.limiter
    totals = limiter.totals()
    if totals.steps >= learner.blueprint.config.run.total_steps:
        return None
    learner.open_windows(totals.inserts)
    return Round(Ticket(totals.steps, totals.inserts), _due(learner))


def act_half(actor: Actor, stores: Stores, ticket: Ticket, rows: int, link: Link) -> None:
    """One actor's half: take the weights published last, roll out, commit."""
    actor.pull()
    actor.begin(ticket, rows, link.wait)
    actor.rollout(rows, link.advance, link.counters.phases)
    committed = actor.commit(link.counters.phases)
    stores.limiter.commit(actor.index, committed.inserts, committed.steps)


def learn_half(learner: Learner, due: dict[str, int], link: Link) -> None:
    """The learner's half: the updates that are due, each policy or bundle of them in turn."""
    learner.follow_ratios()
    for bundle in learner.bundles:
        common = min(due[name] for name in bundle)
        _update(learner, bundle, common, link)
        for name in bundle:  # who is due more than others in the bundle goes on alone
            _update(learner, (name,), due[name] - common, link)


def _update(learner: Learner, bundle: tuple[str, ...], count: int, link: Link) -> None:
    """So many updates of each policy of the bundle, all of which will be made."""
    for made in range(count):
        learner.step_together(bundle, link.counters.phases, sure=count - made)
        link.advance()
    if count:
        for name in bundle:
            learner.stores.limiter.add_updates(learner.policies[name].place, count)


def drain(learner: Learner, link: Link) -> None:
    """When no more rows will come: the updates that the last rounds have earned."""
    limiter = learner.stores.limiter
    learner.open_windows(limiter.totals().inserts)
    learn_half(learner, _due(learner), link)
    learner.close_windows()


def _due(learner: Learner) -> dict[str, int]:
    """Updates due now, per policy of this learner."""
    limiter = learner.stores.limiter
    return {name: limiter.updates_due(part.place) for name, part in learner.policies.items()}


class Reporter:
    """Puts what a process has measured on its link.

    Counters are brought up to date before every heartbeat; records are made once a second each, and
    once more by ``last``, so that the end of a run is in its metrics too.

    Args:
        actors, learner: those that work in this process.
        reductions: `env.metrics`, how numbers told by environments are reduced, by name.
    """

    def __init__(
        self,
        link: Link,
        clock: Callable[[], float],
        *,
        actors: Sequence[Actor] = (),
        learner: Learner | None = None,
        reductions: Mapping[str, str] | None = None,
    ) -> None:
        self._link = link
        self._clock = clock
        self._actors = actors
        self._learner = learner
        self._reductions = reductions or {}
        self._told_refused = False
        self._told_forgone: set[str] = set()
        self._steps = 0
        self._next_s = 0.0
        link.before_beat = self.count

    def count(self) -> None:
        """Bring the counters up to date."""
        values = self._link.counters.values
        if self._learner is not None:
            values |= self._learner.counters()
            for learner in self._learner.policies.values():
                learner.tell_shards()
        for actor in self._actors:
            for part in actor.parts.values():
                part.writer.tell()
        if not self._actors:
            return
        values["steps"] = sum(a.steps for a in self._actors)
        if len(self._actors) > 1:
            return  # the gauges of several actors are nobody's
        (actor,) = self._actors
        version = max(p.policy.version for p in actor.parts.values())
        if version >= 0:  # before it has weights there is nothing to say of what it acts with
            values["version"] = version
            values["updates_held"] = max(p.updates_held for p in actor.parts.values())
        if actor.steps:
            values["epsilon"] = actor.epsilon
            values["epsilon_planned"] = actor.planned_epsilon()
        values["transitions"] = sum(p.inserts for p in actor.parts.values())

    def episodes(self, total_steps: int) -> None:
        """`train` records if they are due; `rows` records of whom no episode has ended.

        Args:
            total_steps: environment steps of the whole run.
        """
        self._steps = total_steps
        if self._clock() >= self._next_s:
            self._next_s = self._clock() + RECORD_EVERY_S
            self._record_episodes()
            self._record_metrics()

    def updates(self) -> None:
        """`learner` records if they are due."""
        if self._learner is not None:
            for record in self._learner.records(RECORD_EVERY_S):
                self._link.record(record)
            for name, part in self._learner.policies.items():
                self._tell_audit(part)
                if part.trouble and name not in self._told_forgone:
                    self._told_forgone.add(name)
                    self._link.notice(
                        f"an update is left out, as others may be: {part.trouble}", "warning"
                    )

    def last(self) -> None:
        """Records of whatever has happened since the ones before."""
        self._record_episodes()
        self._record_metrics()
        if self._learner is not None:
            for record in self._learner.records(0.0):
                self._link.record(record)
            for part in self._learner.policies.values():
                self._tell_audit(part)

    def _tell_audit(self, learner: PolicyLearner) -> None:
        for text in learner.auditor.news() if learner.auditor is not None else ():
            self._link.notice(text, "warning")

    def _record_episodes(self) -> None:
        values = self._link.counters.values
        for actor in self._actors:
            for name, part in actor.parts.items():
                ended = part.stats.episodes
                figures = part.take_figures() if ended else part.take_row_figures()
                if not figures:
                    continue
                values["episodes"] = values.get("episodes", 0) + ended
                self._link.record(
                    {
                        "kind": "train" if ended else "rows",
                        "policy": name,
                        "steps": self._steps,
                        "updates": part.updates_held,
                        "actor": actor.index,
                        "epsilon": actor.epsilon,
                        **figures,
                    }
                )

    def _record_metrics(self) -> None:
        for actor in self._actors:
            told = actor.env_metrics
            if told is None:
                continue
            for name, summaries in told.take().items():
                self._link.record(
                    {
                        "kind": "env",
                        "policy": name,
                        "steps": self._steps,
                        "updates": actor.parts[name].updates_held,
                        "actor": actor.index,
                        **{
                            f"metrics.{key}": summary.reduced(self._reductions.get(key, "mean"))
                            for key, summary in summaries.items()
                        },
                    }
                )
            if told.refused and not self._told_refused:
                self._told_refused = True
                self._link.notice(told.refused, "warning")
