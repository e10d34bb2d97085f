"""What a run is made of, as seen by the supervisor: the seam between it and the workers.

`TrainingPlan` is the real one. The supervisor itself only knows this protocol, so its behaviour
with workers that crash, hang or lie can be tested with workers made for that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tuitrain import regular
from tuitrain.config.provenance import IMPORTED
from tuitrain.config.schema import Config
from tuitrain.metrics.phases import Stay
from tuitrain.replay import segment
from tuitrain.schedules import RoleSpec
from tuitrain.supervisor.crew.memory import check_room
from tuitrain.supervisor.snapshot import PolicyPlan, Shards


class Held(Protocol):
    """The shared memory of a run, as its supervisor holds it until the run has ended."""

    def handles(self) -> Any:
        """What a worker needs to attach: ``ChildArgs.handles``. Picklable only while spawning."""
        ...

    def stay(self, role: str, index: int) -> Stay | None:
        """What a worker says in shared memory that it is doing; None: it says nothing."""
        ...

    def shards(self) -> Shards:
        """What is known of the shards of the replay."""
        ...

    def close(self) -> None:
        """Let go of it; the names stay until ``Plan.unlink``."""
        ...


class Plan(Protocol):
    """How to probe, reserve memory and start workers."""

    def child_main(self) -> Callable[[Any], None]:
        """The importable function a worker process runs, given its ``ChildArgs``."""
        ...

    def probe(self) -> RoleSpec | None:
        """The worker that reports what `build` needs; None to build without."""
        ...

    def build(
        self, *, run_id: str, run_dir: Path, lock_path: Path, config: Config, report: dict[str, Any]
    ) -> Any:
        """The blueprint handed to every worker."""
        ...

    def resolved(self, blueprint: Any) -> Config:
        """The config with everything the probe settled."""
        ...

    def changed(self, blueprint: Any, config: Config) -> Any:
        """The blueprint of a run that goes on with another config."""
        ...

    def spec_hash(self, blueprint: Any) -> str | None:
        """What every worker must report in its ``Ready``."""
        ...

    def policies(self, blueprint: Any) -> list[PolicyPlan]:
        """The constants of each policy that snapshots need."""
        ...

    def base_steps(self, blueprint: Any) -> int:
        """Environment steps done before this session."""
        ...

    def session(self, blueprint: Any) -> int:
        """Number of this session of the run folder; 0 is the first."""
        ...

    def reproducible(self, blueprint: Any) -> bool:
        """Whether all training follows from config, sources and seed, also before this start."""
        ...

    def imported(self, blueprint: Any) -> dict[str, str]:
        """Hashes of the user's files that only importing has led to, by path."""
        ...

    def checkpoint_bytes(self, blueprint: Any) -> int:
        """About how much one checkpoint takes on the disk."""
        ...

    def start_of(self, blueprint: Any) -> str | None:
        """Path of the checkpoint that all go on from; newer ones were passed over."""
        ...

    def state_of(self, blueprint: Any) -> tuple[str, ...]:
        """Actors whose state belongs into every checkpoint; none if none is saved."""
        ...

    def create_stores(self, blueprint: Any) -> Held:
        """Reserve shared memory."""
        ...

    def unlink(self, run_id: str) -> None:
        """Remove every segment of the run, whether or not it was created completely."""
        ...

    def roles(self, config: Config) -> list[RoleSpec]:
        """The workers to start."""
        ...


class TrainingPlan:
    """The plan of a training run: `workers/` and `schedules/`."""

    def child_main(self) -> Callable[[Any], None]:
        """`tuitrain.workers.child.main`."""
        from tuitrain.workers import child

        return child.main

    def probe(self) -> RoleSpec | None:
        """The probe worker."""
        return RoleSpec("probe", "probe", 0, "tuitrain.workers.asides.probe:run")

    def build(
        self, *, run_id: str, run_dir: Path, lock_path: Path, config: Config, report: dict[str, Any]
    ) -> Any:
        """A ``Blueprint`` from the file that the probe's report names."""
        from tuitrain.workers.blueprint import Blueprint

        report = json.loads(regular.read(run_dir / report["report"]))
        return Blueprint.from_probe(
            run_id=run_id,
            run_dir=str(run_dir),
            lock_path=str(lock_path),
            config=config,
            report=report,
        )

    def resolved(self, blueprint: Any) -> Config:
        """The blueprint's config."""
        config: Config = blueprint.config
        return config

    def changed(self, blueprint: Any, config: Config) -> Any:
        """``Blueprint.changed``."""
        return blueprint.changed(config)

    def spec_hash(self, blueprint: Any) -> str | None:
        """Hash of the probed environment spec."""
        return str(blueprint.spec.spec_hash())

    def policies(self, blueprint: Any) -> list[PolicyPlan]:
        """Targets, limits and starting counts per policy."""
        learner = blueprint.config.learner
        return [
            PolicyPlan(
                name=name,
                capacity=blueprint.config.replay.capacity,
                learning_starts=blueprint.config.replay.learning_starts,
                ratio=float(learner.updates_per_transition),
                band_updates=float(
                    blueprint.limiter_rule(name, learner.updates_per_transition).max_lead_updates
                ),
                agents=len(blueprint.spec.policies[name].agents),
                network=blueprint.networks.get(name),
                base_transitions=blueprint.base.inserts.get(name, 0),
                base_updates=blueprint.base.updates.get(name, 0),
                replay_transitions=blueprint.base.since_inserts.get(name, 0),
                replay_updates=blueprint.base.since_updates.get(name, 0),
                target_every_updates=None
                if learner.tau is not None
                else learner.target_update_every_updates,
            )
            for name in blueprint.policies
        ]

    def base_steps(self, blueprint: Any) -> int:
        """Steps of the checkpoint this session starts from."""
        return int(blueprint.base.steps)

    def session(self, blueprint: Any) -> int:
        """As the checkpoint says that this session starts from."""
        return int(blueprint.base.session)

    def reproducible(self, blueprint: Any) -> bool:
        """From its first step, or only ever from checkpoints that hold everything, unchanged."""
        return bool(blueprint.reproducible)

    def imported(self, blueprint: Any) -> dict[str, str]:
        """As the probe has found them."""
        return dict(blueprint.sources.get(IMPORTED, {}))

    def start_of(self, blueprint: Any) -> str | None:
        """As the probe has chosen it."""
        path: str | None = blueprint.base.checkpoint
        return path

    def state_of(self, blueprint: Any) -> tuple[str, ...]:
        """All actors, or nobody, as `run.checkpoint_replay` has it."""
        names = tuple(f"a{i}" for i in range(blueprint.n_actors))
        return names if blueprint.saves_state else ()

    def checkpoint_bytes(self, blueprint: Any) -> int:
        """Online and target network, two moments of the optimizer, and the replay if it is saved.

        Compressed, which takes at least a little off it.
        """
        learned = 4 * sum(int(layout.nbytes) for layout in blueprint.weights.values())
        return learned + (int(blueprint.replay_bytes) if blueprint.saves_state else 0)

    def create_stores(self, blueprint: Any) -> Held:
        """Segments and lock file."""
        from tuitrain.workers import stores

        check_room(stores.needed_bytes(blueprint))
        held = stores.create(blueprint)
        if not segment.are_listed():  # nobody could find them later
            held.unlink()
        return held

    def unlink(self, run_id: str) -> None:
        """Every segment named after the run."""
        from tuitrain.workers import stores

        stores.unlink_all(run_id)

    def roles(self, config: Config) -> list[RoleSpec]:
        """The processes of the schedule."""
        from tuitrain.schedules import roles

        return roles(config)
