"""Agents that take turns: `sequential` and `lockstep` give the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.envs import TurnTag
from tests.fleet import Fleet
from tests.guide import write_files
from tests.parity.cases import config
from tuitrain.config.schema import Config
from tuitrain.workers.stores import Stores

pytestmark = pytest.mark.xdist_group("fleet")

SHARED = {"a": "team", "c": "team"}
TAGS = {"id": "tests.envs:TurnTags"}
TEAM = {"policies": {"map": SHARED}}
HUNT = {
    "id": "tuitrain.envs.treasurehunt:make",
    "kwargs": {"side": 6, "agents": 3, "turns": 7, "gem_chance": 0.1},
}


def case(schedule: str, env: dict[str, Any], window: tuple[int, int], **tables: Any) -> Config:
    return config(
        "cartpole",
        schedule,
        n_frames=window[0],
        n_step=window[1],
        env=env | {"n_frames": window[0]},
        # lanes of three agents on as many rows as one agent's would need
        replay={"capacity": 480},
        **tables,
    )


@pytest.mark.parametrize(
    ("window", "env", "tables"),
    [
        ((1, 1), TAGS, TEAM),
        ((4, 3), TAGS, TEAM),
        (
            (4, 3),
            HUNT,
            {
                "algorithm": {"name": "iqn", "quantiles": 4, "noisy": True},
                "learner": {"replay_ratio": 0.1},
            },
        ),
        ((1, 1), HUNT | {"kwargs": HUNT["kwargs"] | {"simultaneous_moves": True}}, {}),
    ],
    ids=["shared", "shared-frames-nstep", "hunt-iqn-noisy", "hunt-simultaneous"],
)
def test_lockstep_is_sequential(
    fleet: Fleet, window: tuple[int, int], env: dict[str, Any], tables: dict[str, Any]
) -> None:
    compare(fleet, env, window, **tables)


def test_worlds_that_draw_from_global_states_are_as_repeatable(
    fleet: Fleet, tmp_path: Path
) -> None:
    """The guide's world, in the style of Sorrel, draws from `random`."""
    write_files("from-sorrel.md", tmp_path)
    compare(fleet, {"id": f"{tmp_path}/train_foraging.py:make", "kwargs": {"max_turns": 9}}, (3, 1))


def compare(fleet: Fleet, env: dict[str, Any], window: tuple[int, int], **tables: Any) -> None:
    one, two = (
        fleet.run(case(schedule, env, window, **tables)) for schedule in ("sequential", "lockstep")
    )
    assert one.totals == two.totals
    assert min(one.totals.updates) > 0, "the case learns nothing, so it proves nothing"
    assert min(one.tails) > 0, "no ring has wrapped, so the case proves too little"
    assert one.fingerprint == two.fingerprint
    assert one.evaluations() == two.evaluations()
    assert len(one.evaluations()) >= 2


def test_in_async_too_every_sample_is_one_agents_own_past(fleet: Fleet) -> None:
    seen: list[int] = []

    def look(shared: Stores) -> None:
        for policy, agents in (("team", (0, 2)), ("b", (1,))):
            reader = shared.replays[policy].reader(0, 0.5)
            window = reader.pin()
            batch = reader.sample(window, 500, np.random.default_rng(0))
            lanes = reader.origin(batch).lane.tolist()
            for state, after, lane in zip(batch.state, batch.next_state, lanes, strict=True):
                now, then = (TurnTag(*map(int, frames[-1])) for frames in (state, after))
                number = agents[lane % len(agents)]
                assert now == (now.instance, now.episode, now.turn, number, 3 * now.turn + number)
                assert then[:4] == (now.instance, now.episode, now.turn + 1, number)
                assert then.moves in (3 * then.turn, 3 * then.turn + number)
                seen.append(then.moves != 3 * then.turn)
            reader.unpin()

    fleet.run(case("async", TAGS, (1, 1), **TEAM), look=look)
    assert sum(seen) > 200
