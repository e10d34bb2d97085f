"""Games in which one agent moves at a time: `sequential` and `lockstep` give the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.envs.aec import MoveTag
from tests.fleet import Fleet
from tests.parity.cases import config
from tuitrain.config.schema import Config
from tuitrain.workers.stores import Stores

pytestmark = pytest.mark.xdist_group("fleet")

TEAM = {"a": "team", "c": "team"}


def case(schedule: str, window: tuple[int, int], policies: Any, **kwargs: Any) -> Config:
    return config(
        "cartpole",
        schedule,
        n_frames=window[0],
        n_step=window[1],
        env={"id": "tests.envs.aec:Moves", "kwargs": kwargs, "n_frames": window[0]},
        policies={"map": policies},
        # lanes of three agents on as many rows as one agent's would need
        replay={"capacity": 300},
    )


@pytest.mark.parametrize(
    ("window", "policies", "kwargs"),
    [
        ((1, 1), "each", {"turns": "random", "p_leave": 0.05}),
        ((1, 3), "shared", {"turns": "skips", "masked": True}),
        ((4, 3), TEAM, {"p_leave": 0.05, "leavers_first": True}),
    ],
    ids=["waits", "waits-nstep-masks-shared", "frames-nstep-leavers"],
)
def test_lockstep_is_sequential(
    fleet: Fleet, window: tuple[int, int], policies: Any, kwargs: dict[str, Any]
) -> None:
    one, two = (
        fleet.run(case(schedule, window, policies, **kwargs))
        for schedule in ("sequential", "lockstep")
    )
    assert one.totals == two.totals
    assert min(one.totals.updates) > 0, "the case learns nothing, so it proves nothing"
    assert min(one.tails) > 0, "no ring has wrapped, so the case proves too little"
    assert one.fingerprint == two.fingerprint
    assert one.evaluations() == two.evaluations()
    assert len(one.evaluations()) >= 2


def test_in_async_too_every_sample_leads_to_the_agents_own_next_turn(fleet: Fleet) -> None:
    seen: list[int] = []

    def look(shared: Stores) -> None:
        for number, name in enumerate("abc"):
            reader = shared.replays[name].reader(0, 0.5)
            batch = reader.sample(reader.pin(), 500, np.random.default_rng(0))
            for state, after in zip(batch.state, batch.next_state, strict=True):
                now, then = (MoveTag(*map(int, frames[-1])) for frames in (state, after))
                assert then[:4] == (now.instance, now.game, number, now.own + 1)
                seen.append(then.moves - now.moves)
            reader.unpin()

    fleet.run(case("async", (1, 1), "each", turns="random"), look=look)
    assert min(seen) == 1
    assert max(seen) > 8, "nobody has waited for long"
