"""Everything a worker must know to build its part of a run, as one picklable value.

Made once by the supervisor from the resolved config and the probe's report, and handed to every
worker; sizes of segments and limits of the rate limiter are derived here and nowhere else, so that
no two processes can disagree about them. Torch-free: the supervisor holds one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from tuitrain.checkpoint.files import CheckpointError
from tuitrain.config.differences import deciding, is_reproducible
from tuitrain.config.live import differing
from tuitrain.config.schema import Config
from tuitrain.envs.spec import EnvSpec
from tuitrain.learning.weights_layout import WeightsLayout
from tuitrain.replay.layout import ReplayLayout
from tuitrain.replay.limiter_rule import LimiterRule
from tuitrain.workers import dealing

REPORT_NAME = "probe.json"
"""File of the run folder in which the probe leaves its report."""


AUTO_REPLAY_BYTES = 256 << 20
"""Up to so much replay is saved where `run.checkpoint_replay` is "auto": a few seconds of work."""


@dataclass(frozen=True)
class Base:
    """Where a run goes on: zeros for a new one, a checkpoint's counters for a resumed one.

    Attributes:
        session: 0 for the first start of a run folder, else one more than that of the checkpoint
            it goes on from (and of later ones that were passed over). It is part of every random
            stream (``seeding.incarnation``), so a resumed run does not repeat its past.
        steps: environment steps done before.
        inserts, updates, versions: per policy: transitions, updates, publications done before.
        checkpoint: path of the checkpoint to load, if any.
        states: per actor, path of the state part to take over; empty: the replay begins empty.
        exact: the checkpoint holds full state: training goes on as if never interrupted.
        reproducible: what is trained follows from config, sources and seed alone, also before this
            session (``config.differences.is_reproducible``).
        stream: the session that random streams count from; not this one if it goes on exactly.
        since_steps, since_inserts, since_updates: of the counts above, what the replay that is
            taken over has seen.
        evaluations: made before, if it goes on exactly.
        laid_out: the replay ratio by which the replay that is taken over was laid out in memory, as
            a fraction; empty: that of the config.
        ratios: per policy, its replay ratio as a fraction, and from which transitions and updates
            of that replay on it holds.
        began: per policy, of when the replay was begun (``replay_began``).
    """

    session: int = 0
    steps: int = 0
    inserts: dict[str, int] = field(default_factory=dict)
    updates: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    checkpoint: str | None = None
    states: dict[str, str] = field(default_factory=dict)
    exact: bool = False
    reproducible: bool = True
    stream: int = 0
    since_steps: int = 0
    since_inserts: dict[str, int] = field(default_factory=dict)
    since_updates: dict[str, int] = field(default_factory=dict)
    evaluations: int = 0
    laid_out: str = ""
    ratios: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    began: dict[str, tuple[str, int]] = field(default_factory=dict)

    def before_replay(self, policy: str) -> tuple[int, int]:
        """Transitions and updates made before the replay that is taken over was begun."""
        inserts = self.inserts.get(policy, 0) - self.since_inserts.get(policy, 0)
        return inserts, self.updates.get(policy, 0) - self.since_updates.get(policy, 0)

    def replay_began(self, policy: str) -> tuple[Fraction, int]:
        """Updates that the weights had seen when the replay was begun, and before that the
        transitions that these were worth (``Pace``); zeros if it was begun with the run."""
        passed, updates = self.began.get(policy, ("0", 0))
        return Fraction(passed), updates


@dataclass(frozen=True)
class Blueprint:
    """Config, environment spec, weight tables and starting point of one run.

    Attributes:
        unsaved_environment: why the state of the environment cannot be saved; empty if it can.
        folder_id: device and inode of `run_dir`; None if it is not known.
        software: versions of what the probe had imported (``config.loaded.versions``).
        sources: hashes of the user's code that it had (``config.provenance.source_hashes``).
        networks: by policy, what is wrong with its network: fields of ``network_probe.Examined``.
        began_with: the config that the session began with, if it was changed since (``changed``).
        changes: by key, what was changed in this session, also if it was changed back.
    """

    run_id: str
    run_dir: str
    lock_path: str
    config: Config
    spec: EnvSpec
    weights: dict[str, WeightsLayout]
    base: Base = field(default_factory=Base)
    unsaved_environment: str = ""
    folder_id: tuple[int, int] | None = None
    software: dict[str, str] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    began_with: Config | None = None
    changes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_probe(
        cls, *, run_id: str, run_dir: str, lock_path: str, config: Config, report: dict[str, Any]
    ) -> Blueprint:
        """Combine the resolved config with what the probe worker found (its report).

        The probe also settles ``learner.device = "auto"``, since only it may import torch, and
        what depends on the policies, since only it knows them (``dealing``).

        Raises:
            ConfigError: there are fewer policies than processes are to learn, or nothing that
                could be stacked.
        """
        spec = EnvSpec.from_dict(report["spec"])
        weights = {p: WeightsLayout.from_dict(w) for p, w in report["weights"].items()}
        learner = config.learner.model_copy(update={"device": report["device"]})
        config = config.model_copy(update={"learner": learner})
        return cls(
            run_id=run_id,
            run_dir=run_dir,
            lock_path=lock_path,
            config=dealing.settled(config, spec, weights),
            spec=spec,
            weights=weights,
            base=Base(**report["base"]),
            unsaved_environment=report.get("unsaved_environment", ""),
            folder_id=_id_of(run_dir) if run_dir else None,
            software=report["software"],
            sources=report["sources"],
            networks=report.get("networks", {}),  # runs that are older have not asked theirs
        )

    def changed(self, config: Config) -> Blueprint:
        """Of a run that goes on, in the memory that it has, with keys of ``config.live`` changed.

        What the session began with stays known: workers take a change over one after the other,
        and what they save meanwhile belongs together.
        """
        return replace(
            self,
            config=config,
            began_with=self.began_with or self.config,
            changes=self.changes | differing(self.config, config),
        )

    @property
    def reproducible(self) -> bool:
        """Whether all training until now follows from config, sources and seed."""
        return is_reproducible(
            exact=True, before=self.base.reproducible, changes=deciding(self.changes)
        )

    @property
    def first_ratio(self) -> Fraction:
        """Updates per transition by which memory is laid out; it may have been changed since."""
        first = self.began_with or self.config
        return Fraction(self.base.laid_out or first.learner.updates_per_transition)

    def checkpoints(self) -> Path:
        """Where checkpoints go, looked up for each.

        Raises:
            CheckpointError: the run's folder is not there any more, or cannot be looked up. One
                that has its name now is another run's, where nothing must be written.
        """
        try:
            moved = self.folder_id is not None and _id_of(self.run_dir) != self.folder_id
        except OSError as error:
            raise CheckpointError(
                f"nothing can be saved: the run folder {self.run_dir} cannot be looked up: "
                f"{error.strerror}"
            ) from error
        if moved:
            raise CheckpointError(
                f"nothing can be saved: the run folder {self.run_dir} was moved or removed while "
                "the run went on"
            )
        return Path(self.run_dir) / "checkpoints"

    @property
    def policies(self) -> tuple[str, ...]:
        """Policy names in the order in which every table of the run lists them."""
        return tuple(self.spec.policies)

    @property
    def n_actors(self) -> int:
        """Number of actors. Raises ValueError while the config still says "auto"."""
        count = self.config.actors.count
        if not isinstance(count, int):
            raise ValueError("actors.count is not resolved: resolve the config before building")
        return count

    @property
    def n_learners(self) -> int:
        """Number of learner processes of the parallel schedules; in `sequential` there is one.

        Raises ValueError while the config still says "per-policy".
        """
        count = self.config.learner.processes
        if not isinstance(count, int):
            raise ValueError("learner.processes is not resolved: the probe settles it")
        return 1 if self.config.run.schedule == "sequential" else count

    def learned_by(self, learner: int) -> tuple[str, ...]:
        """Policies of one learner: they are dealt in turn, in the run's order."""
        return dealing.dealt(self.policies, self.n_learners)[learner]

    def bundles(self, learner: int) -> list[tuple[str, ...]]:
        """The same policies, those together that are updated together."""
        own = self.learned_by(learner)
        return [names for names in dealing.bundles(self.config, self.spec) if names[0] in own]

    @property
    def saves_state(self) -> bool:
        """Whether checkpoints hold replay and state (`run.checkpoint_replay`)."""
        wanted = self.config.run.checkpoint_replay
        return self.replay_bytes <= AUTO_REPLAY_BYTES if wanted == "auto" else bool(wanted)

    @property
    def replay_bytes(self) -> int:
        """Memory of all replay, which a checkpoint with state holds compressed."""
        return sum(self.replay_layout(name).nbytes for name in self.policies)

    def about_saving(self) -> str:
        """What checkpoints hold and what not, and so how a resumed run will go on."""
        size = f"{self.replay_bytes / 2**20:,.1f} MiB of memory"
        if not self.saves_state:
            why = "is false" if self.config.run.checkpoint_replay is False else f'is "auto": {size}'
            return (
                f"checkpoints do not hold the replay (run.checkpoint_replay {why}): a resumed run "
                "warms up again"
            )
        if self.config.run.schedule == "async":
            return f"checkpoints hold the replay ({size}): a resumed run goes on with it"
        if self.unsaved_environment:
            return (
                f"checkpoints hold the replay ({size}), but not the environment: "
                f"{self.unsaved_environment}; a resumed run begins new episodes"
            )
        return f"checkpoints hold the replay ({size}) and all else: a resumed run goes on exactly"

    @property
    def envs_total(self) -> int:
        """Environments over all actors: what one vector step of everybody adds to the count."""
        return self.n_actors * self.config.actors.envs_per_actor

    @property
    def actors_in_process(self) -> int:
        """One, but in `sequential` all."""
        return self.n_actors if self.config.run.schedule == "sequential" else 1

    def audit_share(self, auditors: int) -> float:
        """Share of the time that each of so many auditors in a process may take.

        In `sequential` those of all actors and policies are in one.
        """
        if self.config.run.schedule == "sequential":
            auditors = self.n_actors + len(self.policies)
        return self.config.checks.audit_share / auditors

    @property
    def evaluator_reader(self) -> int:
        """The evaluator's reader slot in the weight stores; actor i has slot i."""
        return self.n_actors

    def lanes(self, policy: str) -> int:
        """Lanes of one actor under `policy`."""
        return self.config.actors.envs_per_actor * len(self.spec.policies[policy].agents)

    def chunk_inserts(self, policy: str) -> int:
        """Most transitions one actor commits at once."""
        return self.lanes(policy) * self.config.actors.chunk_steps

    def limiter_rule(self, policy: str, ratio: Fraction | None = None) -> LimiterRule:
        """How far acting and learning of `policy` may run apart; by default at `first_ratio`."""
        ratio = ratio or self.first_ratio
        all_chunks = self.chunk_inserts(policy) * self.n_actors
        lead = 1 + Fraction(str(self.config.replay.max_lead)) * all_chunks * ratio
        return LimiterRule(
            updates_per_insert=ratio,
            learning_starts=self.config.replay.learning_starts,
            max_lead_updates=lead,
            chunk_inserts=all_chunks,
        )

    def replay_layout(self, policy: str) -> ReplayLayout:
        """Shape of the replay segment of `policy`. One reader: the learner."""
        config = self.config
        rule = self.limiter_rule(policy)
        return ReplayLayout(
            policy=policy,
            spec=self.spec.policies[policy],
            n_frames=self.spec.n_frames,
            n_step=config.learner.n_step,
            n_actors=self.n_actors,
            envs_per_actor=config.actors.envs_per_actor,
            chunk_steps=config.actors.chunk_steps,
            capacity=config.replay.capacity,
            learning_starts=config.replay.learning_starts,
            max_lead_inserts=int(rule.max_lead_updates / rule.updates_per_insert) + 1,
            n_readers=1,
        )


def _id_of(folder: str) -> tuple[int, int] | None:
    """Device and inode; None if there is no such folder. Raises OSError if that is not known."""
    try:
        found = os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
