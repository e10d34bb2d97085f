"""The group's own case and real games: `sequential` and `lockstep` give the same bytes.

What docs/parity.md promises beyond ``test_parity`` and ``test_turns``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.parity.cases import config
from tests.parity.test_turns import compare
from tuitrain.config.load import load_config
from tuitrain.config.schema import Config

pytestmark = pytest.mark.xdist_group("fleet")

CONFIGS = Path(__file__).parents[2] / "configs"
FIVE = {
    "id": "tuitrain.envs.treasurehunt:make",
    "kwargs": {"side": 7, "agents": 5, "turns": 7, "gem_chance": 0.1},
}
IQN: dict[str, dict[str, Any]] = {
    "algorithm": {"name": "iqn", "quantiles": 4, "target_quantiles": 4, "acting_quantiles": 4,
                  "noisy": True},
    "learner": {"replay_ratio": 0.05, "dueling": True, "tau": 0.01,
                "target_update_every_updates": None},
}  # fmt: skip


@pytest.mark.long
def test_five_agents_with_an_iqn_each(fleet: Fleet) -> None:
    compare(fleet, FIVE, (5, 3), **IQN)


def test_the_originals_config(fleet: Fleet) -> None:
    """As it is shipped, but for its size: fourteen epochs, in which memory wraps."""
    small = [
        "run.total_steps=700", "run.fingerprint=true", "replay.capacity=100",
        "replay.learning_starts=60", "learner.batch_size=16", "algorithm.acting_quantiles=8",
        "eval.every_steps=350", "eval.episodes=2",
        "learner.network_kwargs={hidden=[32,32],input_scale=1.0}",
    ]  # fmt: skip

    def case(schedule: str) -> Config:
        path = CONFIGS / "treasurehunt-original.toml"
        return load_config(path, [*small, f"run.schedule={schedule}"])

    one, two = (fleet.run(case(schedule)) for schedule in ("sequential", "lockstep"))
    assert len(one.fingerprint) == 5, "each agent has weights of its own"
    assert min(one.totals.updates) > 0
    assert min(one.tails) > 0
    assert one.fingerprint == two.fingerprint
    assert one.evaluations() == two.evaluations()
    entries = {"actor": "tests.parity.mutants:older_weights"}
    assert fleet.run(case("lockstep"), entries=entries).fingerprint != one.fingerprint


@pytest.mark.parametrize(
    "game", ["Breakout", pytest.param("SpaceInvaders", marks=pytest.mark.long)]
)
def test_minatar_with_its_network(fleet: Fleet, game: str) -> None:
    pytest.importorskip("minatar")

    def case(schedule: str) -> Config:
        return config(
            "cartpole",
            schedule,
            n_step=3,
            env={"id": f"MinAtar/{game}-v1"},
            learner={"network": "minatar", "network_kwargs": {}},
        )

    one, two = (fleet.run(case(schedule)) for schedule in ("sequential", "lockstep"))
    assert min(one.totals.updates) > 0
    assert min(one.tails) > 0
    assert one.fingerprint == two.fingerprint
    assert one.evaluations() == two.evaluations()
