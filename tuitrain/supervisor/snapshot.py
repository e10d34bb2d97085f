"""From what workers reported to the one value that clients are shown.

Pure but for the arguments: no clock, no processes, no files. What was not measured stays None, so
that it is shown as n/a and never as good.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tuitrain.config.schema import Config
from tuitrain.diagnosis.bottleneck import bottleneck, silence
from tuitrain.diagnosis.checks import all_checks
from tuitrain.measurements import NetworkMeasured
from tuitrain.metrics.rewind import Rewind
from tuitrain.protocol import (
    BestView,
    PolicyView,
    ProcessView,
    RunState,
    ShardView,
    Snapshot,
)
from tuitrain.supervisor.crew.worker_view import WorkerView
from tuitrain.supervisor.evaluated import Evaluated, not_evaluated, worst_of
from tuitrain.supervisor.measured import Measured, compare_epsilons, device_asked, environments
from tuitrain.supervisor.settings import settings_of

_RATES = {
    "actor": ("steps", "st/s"),
    "learner": ("updates", "u/s"),
    "trainer": ("env_steps", "st/s"),
    "evaluator": ("episodes", "ep/s"),
}

Shards = Mapping[str, Sequence[Mapping[str, Any]]]
"""Per policy, the fields of a ``ShardView`` for every actor."""


@dataclass(frozen=True)
class PolicyPlan:
    """The constants of one policy.

    Attributes:
        ratio: updates per transition asked for.
        band_updates: width of the rate limiter's band: how far updates may be off at any moment.
        agents: that act under it in one environment.
        base_transitions, base_updates: counts at the start of this session (a resumed run).
        replay_transitions, replay_updates: of these, what the replay it has taken over had seen.
        target_every_updates: period of hard target copies; None for a soft update every update.
        network: what was found by asking its network, fields of ``NetworkMeasured``; None: nothing.
    """

    name: str
    capacity: int
    learning_starts: int
    ratio: float
    band_updates: float
    agents: int = 1
    base_transitions: int = 0
    base_updates: int = 0
    replay_transitions: int = 0
    replay_updates: int = 0
    target_every_updates: int | None = None
    network: Mapping[str, Any] | None = None

    @property
    def before_replay(self) -> tuple[int, int]:
        """Transitions and updates made before the present replay was begun."""
        return (
            self.base_transitions - self.replay_transitions,
            self.base_updates - self.replay_updates,
        )


@dataclass
class SavedCounts:
    """What a checkpoint has counted, as those have told who wrote it.

    Attributes:
        steps: environment steps; None if nobody has told.
        updates: per policy.
    """

    steps: int | None = None
    updates: dict[str, int] = field(default_factory=dict)

    def add(self, answer: Mapping[str, Any]) -> None:
        """One of them has answered; who has no counts says none."""
        if "steps" in answer:
            self.steps = max(self.steps or 0, int(answer["steps"]))
        self.updates |= answer.get("updates", {})


@dataclass
class RunView:
    """Everything a snapshot is built from, besides the workers."""

    run_id: str
    run_dir: str
    config: Config
    given: Config
    """What config.toml says; the other with what was changed in the living run."""
    supervisor_pid: int
    spec_hash: str | None = None
    policies: Sequence[PolicyPlan] = ()
    base_steps: int = 0
    state: RunState = "starting"
    reproducible: bool | None = None
    """Whether the same seed gives the same bytes; None in `async`, where it never does."""
    lost_updates: dict[str, int] = field(default_factory=dict)
    """Per policy: updates that have died with learners, in this session."""
    last_checkpoint: str | None = None
    last_checkpoint_at: float | None = None
    saved: SavedCounts = field(default_factory=SavedCounts)
    """Of the last checkpoint."""
    best: BestView | None = None
    newest: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """Newest record by (kind, policy)."""
    evaluated: Evaluated = field(default_factory=Evaluated)
    measured: Measured = field(default_factory=Measured)
    """What checks need besides."""
    bottleneck: str | None = None
    """What was measured last while the run went on."""
    non_finite: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    """Per policy: when learner records held a number which is not finite, as a record says it."""
    edited_sources: list[str] | None = None
    """See ``Snapshot``."""
    published: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Per policy: newest version and when it was first seen."""

    def on_record(self, record: Mapping[str, Any], now: float) -> None:
        """Take in one metrics record."""
        kind, policy = str(record.get("kind")), str(record.get("policy", ""))
        self.newest[kind, policy] = dict(record)
        self.measured.add(record, self.config, now)
        if kind == "learner":
            broken = self.non_finite.setdefault(policy, [])
            if any(_is_broken(v) for v in record.values()):
                broken.append({k: record.get(k) for k in ("kind", "policy", "steps", "updates")})
        if kind == "eval":
            every = self.config.eval.every_steps
            self.evaluated.add(record, now, every_steps=every, base_steps=self.base_steps)

    def begin_again(self) -> None:
        """All workers go back: what was measured since is of what is no more."""
        self.non_finite.clear()
        self.measured.begin()

    def on_rewind(self, rewind: Rewind) -> None:
        """Training goes on from there: forget what was measured later."""
        self.newest = {key: r for key, r in self.newest.items() if not rewind.voids(r)}
        for policy, broken in self.non_finite.items():  # weights of before may be sound
            self.non_finite[policy] = [
                r for r in broken if not rewind.voids(r) and not rewind.loses(r)
            ]
        self.evaluated.rewind(rewind.steps)
        self.measured.rewind()

    def begin(self) -> None:
        """What has come so far is of earlier sessions."""
        self.non_finite.clear()
        self.evaluated.begin()
        self.measured.begin()

    def fall_back(self) -> None:
        """Nobody lives: what was counted after the last checkpoint is lost."""
        if self.saved.steps is not None:
            self.base_steps = self.saved.steps
        self.policies = [
            replace(plan, base_updates=self.saved.updates.get(plan.name, plan.base_updates))
            for plan in self.policies
        ]


def build_snapshot(
    run: RunView,
    workers: Iterable[WorkerView],
    *,
    seq: int,
    now: float,
    time_s: float,
    elapsed_s: float,
    lost_lines: int | None = None,
    shards: Shards | None = None,
) -> Snapshot:
    """The run at one moment, checks included.

    Args:
        now: the monotonic clock that the views' `*_at` fields were taken from.
        time_s: unix time.
        elapsed_s: seconds since this session started.
        lost_lines: metrics and events that could not be written.
        shards: as they are now; None while there is no memory.
    """
    views = list(workers)
    learners = [view for view in views if view.role in ("learner", "trainer")]
    # all learners count the run's steps; whose heartbeat is newest has counted most
    source = max(learners, key=lambda view: view.counters.get("env_steps", 0.0), default=None)
    steps = int(source.counters.get("env_steps", run.base_steps)) if source else run.base_steps
    policies = [_policy(run, plan, learners, now) for plan in run.policies]
    for policy in policies:
        policy.steps_each_planned = run.config.run.total_steps / environments(run.config)
        policy.steps_each = (steps - run.base_steps) / environments(run.config)
        if run.base_steps:  # what came first in this session is not by chance any more
            policy.first_return_mean = policy.first_return_ci95 = None
        policy.shards = [ShardView.model_validate(s) for s in (shards or {}).get(policy.name, ())]
    steps_per_s = source.rate("env_steps", now) if source else None
    total = run.config.run.total_steps
    eta = None
    usual = source.usual_rate(now) if source else None
    if usual and run.state == "running":
        eta = max(0.0, (total - steps) / usual)
    updates = {p.name: p.updates for p in policies}
    settled = run.measured.follow(run.config, now) and run.state == "running"
    processes = [_process(view, run, updates, now) for view in views]
    if settled and source is not None and steps_per_s is not None:
        compare_epsilons(processes, run.config, steps, steps_per_s, now - (source.beat_at or now))
    if run.state == "running":
        run.bottleneck = bottleneck(processes) or run.bottleneck
    unheard = silence(processes) if run.state in ("running", "paused") else None
    snapshot = Snapshot(
        seq=seq,
        time_s=time_s,
        run_id=run.run_id,
        run_dir=run.run_dir,
        name=Path(run.run_dir).name,
        schedule=run.config.run.schedule,
        state=run.state,
        elapsed_s=elapsed_s,
        eta_s=eta,
        steps=steps,
        total_steps=total,
        steps_per_s=steps_per_s,
        supervisor_pid=run.supervisor_pid,
        spec_hash=run.spec_hash,
        processes=processes,
        policies=policies,
        learning=worst_of(policies) if run.config.eval.enabled else not_evaluated(),
        bottleneck=unheard or run.bottleneck,
        lost_lines=lost_lines,
        edited_sources=run.edited_sources,
        reproducible=run.reproducible,
        settings=settings_of(run.config, run.given, policies, processes),
        last_checkpoint=run.last_checkpoint,
        best=run.best,
        last_checkpoint_age_s=_age(run.last_checkpoint_at, now),
    )
    snapshot.checks = all_checks(snapshot, run.config.checks)
    return snapshot


def achieved_ratio(transitions: int, updates: int) -> float | None:
    """Updates per transition since warm-up ended or the ratio was changed; None before.

    The limiter counts what the present replay has seen, so a run resumed without it warms up anew.
    """
    return None if transitions <= 0 else updates / transitions


def _policy(
    run: RunView, plan: PolicyPlan, learners: Sequence[WorkerView], now: float
) -> PolicyView:
    source = next((view for view in learners if f"updates/{plan.name}" in view.counters), None)
    counters = source.counters if source else {}

    def counter(name: str) -> float | None:
        return counters.get(f"{name}/{plan.name}")

    updates = int(counter("updates") or plan.base_updates)
    # what the network has seen goes back with a learner's death, what has been made does not
    made = int(counter("updates_made") or updates)
    transitions = int(counter("inserts") or plan.base_transitions)
    made_before, before = plan.before_replay[1], plan.before_replay[0] + plan.learning_starts
    if (since := counter("ratio_inserts")) is not None:  # later, if the ratio was changed
        before, made_before = int(since), int(counter("ratio_updates") or 0)
    version = counter("version")
    if version is not None and run.published.get(plan.name, (None,))[0] != int(version):
        run.published[plan.name] = (int(version), now)
    learner = run.newest.get(("learner", plan.name), {})
    flat_steps = run.config.checks.flat_share * run.config.run.total_steps
    evaluated = run.evaluated.learning(plan.name, now, flat_steps)
    every = plan.target_every_updates
    target_updates = _integer(counter("target_updates"))
    return PolicyView(
        name=plan.name,
        agents=plan.agents,
        transitions=transitions,
        sampleable=_integer(counter("sampleable")),
        capacity=plan.capacity,
        learning_starts=plan.learning_starts,
        updates=updates,
        updates_per_s=source.rate(f"updates/{plan.name}", now) if source else None,
        ratio_target=counter("ratio") or plan.ratio,
        ratio_achieved=achieved_ratio(transitions - before, made - made_before),
        ratio_band_updates=plan.band_updates,
        ratio_updates=made - made_before,
        lost_updates=run.lost_updates.get(plan.name, 0),
        warm_up_transitions=max(0, transitions - plan.before_replay[0]),
        version=int(version or 0),
        published_age_s=_age(run.published.get(plan.name, (0, None))[1], now),
        lag_updates_p50=_number(learner.get("lag_updates_p50")),
        lag_updates_p95=_number(learner.get("lag_updates_p95")),
        sample_age_p95=_number(learner.get("sample_age_p95")),
        window_rejects=_integer(counter("rejects")),
        target_updates=target_updates,
        target_updates_expected=None
        if target_updates is None
        else (updates if every is None else updates // every),
        non_finite=None if plan.name not in run.non_finite else len(run.non_finite[plan.name]),
        loss=_number(learner.get("loss")),
        q_mean=_number(learner.get("q_mean")),
        q_max_abs=_number(learner.get("q_max_abs")),
        td_p95=_number(learner.get("td_p95")),
        grad_norm=_number(learner.get("grad_norm")),
        lr=_number(learner.get("lr")),
        train_return_mean=_number(run.newest.get(("train", plan.name), {}).get("return_mean")),
        eval_return_mean=evaluated.mean,
        eval_return_ci95=evaluated.ci95,
        eval_best=evaluated.best,
        learning=evaluated if run.config.eval.enabled else not_evaluated(plan.name),
        overwritten=_integer(counter("overwritten")),
        transitions_here=max(0, transitions - plan.base_transitions),
        network=None if plan.network is None else NetworkMeasured.model_validate(plan.network),
        **run.measured.of(plan.name, plan.agents, run.config),
    )


def _process(view: WorkerView, run: RunView, updates: Mapping[str, int], now: float) -> ProcessView:
    counter, unit = _RATES.get(view.role, ("", ""))
    version = view.counters.get("version")
    if version is None:
        own = [v for k, v in view.counters.items() if k.startswith("version/")]
        version = max(own) if own else None
    lag_updates = lag_s = None
    if view.role == "actor" and updates:
        held = view.counters.get("updates_held")
        if held is not None:
            lag_updates = max(0.0, max(updates.values()) - held)
        newest = max((v for v, _ in run.published.values()), default=None)
        if version is not None and newest is not None:
            behind = version < newest
            lag_s = max(now - t for _, t in run.published.values()) if behind else 0.0
    gone = view.state in ("finished", "stopped", "failed")  # what it used last is no news
    state, wait = view.says(now, run.config.checks.heartbeat_s)
    return ProcessView(
        name=view.name,
        role=view.role,
        pid=view.pid,
        state=state,
        wait=wait,
        stands_in=None if gone else view.stands_in,
        deadline_s=None if gone else view.deadline_s,
        beat_age_s=_age(view.beat_at, now),
        progress=view.progress,
        progress_age_s=_age(view.progress_at, now),
        rate=view.rate(counter, now) if counter and not gone else None,
        rate_unit=unit,
        version=_integer(version),
        lag_updates=lag_updates,
        lag_s=lag_s,
        epsilon=view.counters.get("epsilon"),
        epsilon_planned=view.counters.get("epsilon_planned"),
        rss_bytes=None if gone else view.rss_bytes,
        cpu_percent=None if gone else view.cpu_percent,
        restarts=view.restarts,
        rolled_back=view.rolled_back,
        died_of=view.died_of,
        device=view.device,
        device_asked=device_asked(view.role, run.config),
        spec_hash=view.spec_hash,
        weights=dict(view.weights),
        phase_share={} if gone else view.phase_share,
        counters=view.counters,
        error=view.error,
    )


def _is_broken(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and math.isfinite(number) else None


def _age(at: float | None, now: float) -> float | None:
    return None if at is None else max(0.0, now - at)
