"""An agent that is seldom there: its replay runs empty, and nobody else is held up by that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tests.fleet import Fleet, Outcome
from tests.parity.cases import config

pytestmark = pytest.mark.xdist_group("fleet")


class Seldom:
    """`guest` is there for the first steps of an episode, `host` all the time."""

    possible_agents = ("guest", "host")

    def __init__(self, visit: int = 4, length: int = 70) -> None:
        self._visit, self._length = visit, length
        self._random = np.random.default_rng(0)
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> spaces.Box:
        return spaces.Box(-1, 1, (2,), np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(2)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self.agents, self._t = list(self.possible_agents), 0
        self._end = self._length + int(self._random.integers(9))
        return self._look(), {}

    def step(self, actions: dict[str, int]) -> tuple[Any, ...]:
        self._t += 1
        live, seen = list(self.agents), self._look()
        left = {a: a == "guest" and self._t >= self._visit for a in live}
        over = dict.fromkeys(live, self._t >= self._end)
        self.agents = [a for a in live if not (left[a] or over[a])]
        return seen, dict.fromkeys(live, 1.0), left, over, {a: {} for a in live}

    def _look(self) -> dict[str, np.ndarray]:
        return {a: self._random.random(2, np.float32) for a in self.agents}


def outcome(fleet: Fleet, schedule: str, n_step: int = 1, **learner: Any) -> Outcome:
    return fleet.run(
        config(
            "two-policies",
            schedule,
            actors=1,
            envs_per_actor=1,
            n_step=n_step,
            run={"total_steps": 1000},
            env={"id": "tests.parity.test_seldom_there:Seldom", "kwargs": {}},
            replay={"capacity": 24, "learning_starts": 12},
            learner={"replay_ratio": 1.0, **learner},
            eval={"every_steps": 200},
        )
    )


def counted(end: Outcome, what: str) -> float:
    return sum(counters.get(what, 0) for counters in end.counters.values())


@pytest.mark.parametrize(
    ("n_step", "stacked"),
    [
        (1, True),
        (3, False),
        *(pytest.param(*c, marks=pytest.mark.long) for c in ((1, False), (3, True))),
    ],
)
def test_updates_that_nothing_can_be_drawn_for_are_let_go(
    fleet: Fleet, n_step: int, stacked: bool
) -> None:
    one, two = (
        outcome(fleet, schedule, n_step, stacked=stacked) for schedule in ("sequential", "lockstep")
    )
    assert one.totals == two.totals
    assert one.fingerprint == two.fingerprint
    assert one.evaluations() == two.evaluations()
    for end in (one, two):
        guest, host = end.totals.updates
        assert counted(end, "forgone/guest") > 0, "the replay never ran empty"
        assert counted(end, "updates/guest") + counted(end, "forgone/guest") == guest
        assert counted(end, "updates/guest") > 0
        assert counted(end, "updates/host") == host
        assert counted(end, "forgone/host") == 0


def test_async_goes_on_and_evaluates_in_time(fleet: Fleet) -> None:
    """The learner that asks for evaluations is the guest's, who seldom has an update due."""
    end = outcome(fleet, "async", processes=2, publish_every_updates=30)
    assert counted(end, "forgone/host") == 0
    assert counted(end, "updates/host") == end.totals.updates[1]
    steps = {record[1] for record in end.evaluations()}
    assert len(steps) >= 4, "evaluations waited for the guest's publications"
