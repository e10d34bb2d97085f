"""The plan of a run whose workers are ``tests.fake_workers``', and its config and folder.

Apart from them: a worker, of which a test starts many, need not import what is the supervisor's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fake_workers import ENTRY, SPEC_HASH, FakeBlueprint
from tuitrain.config.runs import RunFolder
from tuitrain.config.schema import Config
from tuitrain.metrics.phases import Stay
from tuitrain.replay import segment
from tuitrain.replay.segment import Segment
from tuitrain.schedules import RoleSpec
from tuitrain.supervisor.plan import Held
from tuitrain.supervisor.snapshot import PolicyPlan, Shards

LAYOUT_HASH = bytes(32)


def fake_config(workers: dict[str, dict[str, Any]], **supervisor: float) -> Config:
    """A config whose workers do as told; deadlines can be given. Nobody is started again."""
    return Config.model_validate(
        {
            "run": {"name": "fake", "total_steps": 10_000, "checkpoint_every_s": 1000.0},
            "env": {"kwargs": {"workers": workers}},
            "supervisor": {"heartbeat_s": 0.05, "max_restarts": 0, **supervisor},
        }
    )


def fake_folder(path: Path, config: Config) -> RunFolder:
    """A run folder with this config and nothing else."""
    folder = RunFolder(path / "fake-0001")
    folder.logs.mkdir(parents=True)
    folder.checkpoints.mkdir()
    folder.store_config(config)
    return folder


class FakeHeld:
    """One segment that no worker attaches to."""

    def __init__(self, memory: Segment) -> None:
        self.close = memory.close

    def handles(self) -> None:
        return None

    def stay(self, role: str, index: int) -> Stay | None:
        return None

    def shards(self) -> Shards:
        return {}


class FakePlan:
    """One segment, no probe unless one is named among the workers."""

    def child_main(self) -> Callable[[Any], None]:
        from tuitrain.workers import child

        return child.main

    def __init__(self, probe: bool = False) -> None:
        self._probe = probe

    def probe(self) -> RoleSpec | None:
        return RoleSpec("probe", "probe", 0, ENTRY) if self._probe else None

    def build(
        self, *, run_id: str, run_dir: Path, lock_path: Path, config: Config, report: dict[str, Any]
    ) -> Any:
        lock_path.touch()
        return FakeBlueprint(run_id, config)

    def resolved(self, blueprint: Any) -> Config:
        config: Config = blueprint.config
        return config

    def changed(self, blueprint: Any, config: Config) -> Any:
        return FakeBlueprint(blueprint.run_id, config)

    def spec_hash(self, blueprint: Any) -> str | None:
        return SPEC_HASH

    def policies(self, blueprint: Any) -> list[PolicyPlan]:
        return [PolicyPlan("default", 1000, 10, 0.5, 4.0, target_every_updates=10)]

    def base_steps(self, blueprint: Any) -> int:
        return 0

    def session(self, blueprint: Any) -> int:
        return 0

    def reproducible(self, blueprint: Any) -> bool:
        return True

    def checkpoint_bytes(self, blueprint: Any) -> int:
        return 1000

    def imported(self, blueprint: Any) -> dict[str, str]:
        return {}

    def start_of(self, blueprint: Any) -> str | None:
        return None

    def state_of(self, blueprint: Any) -> tuple[str, ...]:
        return ()

    def create_stores(self, blueprint: Any) -> Held:
        return FakeHeld(segment.create(f"tuitrain-{blueprint.run_id}-fake", 4096, LAYOUT_HASH))

    def unlink(self, run_id: str) -> None:
        for name in segment.list_names(f"tuitrain-{run_id}-"):
            segment.unlink(name)

    def roles(self, config: Config) -> list[RoleSpec]:
        role = {"learner": "learner", "eval": "evaluator", "trainer": "trainer"}
        names = [n for n in config.env.kwargs["workers"] if n != "probe"]
        role |= {n: "learner" for n in names if n.startswith("learner")}
        return [RoleSpec(n, role.get(n, "actor"), i, ENTRY) for i, n in enumerate(names)]
