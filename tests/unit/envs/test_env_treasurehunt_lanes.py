"""Treasure hunt's lanes against the same worlds played one by one, and against random play."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.turns import TurnLanes, TurnRow, empty_row
from tuitrain.envs.make import EnvError, inspect, make_lanes
from tuitrain.envs.spec import PolicySpec
from tuitrain.envs.treasurehunt.lanes import make
from tuitrain.envs.treasurehunt.world import TreasureHunt

SHARED = {"agent_0": "team", "agent_3": "team", "agent_4": "team"}


class OneWorld:
    """A ``TurnWorld`` of treasure hunt, as one would write it without caring for speed."""

    def __init__(self, turns: int = 9) -> None:
        self._kind = make(turns=turns)
        self._hunt = self._kind.worlds(1)
        self.possible_agents = self._kind.possible_agents
        self.observation_space = self._kind.observation_space
        self.action_space = self._kind.action_space

    def reset(self, seed: int | None = None) -> None:
        if seed is not None:
            self._hunt.seed(0, seed)
        self._hunt.reset([0])

    def begin_turn(self) -> None:
        self._hunt.begin_turn()

    def pov(self, agent: str) -> Any:
        return self._hunt.look(self.possible_agents.index(agent)).reshape(-1)

    def act(self, agent: str, action: int) -> float:
        return float(self._hunt.move(self.possible_agents.index(agent), np.array([action]))[0])

    def end_turn(self) -> tuple[bool, bool]:
        return False, bool(self._hunt.end_turn()[0])


def hunts(n_envs: int, policies: dict[str, str] | None = None, **kwargs: Any) -> TurnLanes:
    lanes = make_lanes(
        EnvConfig(id="tuitrain.envs.treasurehunt:make", kwargs=kwargs), n_envs, policies or {}
    )
    assert isinstance(lanes, TurnLanes)
    return lanes


def play(lanes: TurnLanes, turns: int, seed: int = 0) -> list[Any]:
    """Random moves: everything that was written, in copies, and what was seen at each choice."""
    rng = np.random.default_rng(seed)
    rows = {name: empty_row(policy, lanes.n_envs) for name, policy in lanes.spec.policies.items()}
    told: list[Any] = []

    def choose(policy: str, place: int) -> Any:
        told.append(rows[policy].observation[place :: len(lanes.spec.policies[policy].agents)] + 0)
        return rng.integers(4, size=lanes.n_envs)

    for _ in range(turns):
        lanes.turn(choose, rows)
        told += [array + 0 for row in rows.values() for array in row.arrays()]
    return told


@pytest.mark.parametrize("policies", [{}, SHARED], ids=["own", "shared"])
def test_all_worlds_together_are_the_worlds_one_by_one(policies: dict[str, str]) -> None:
    fast = hunts(4, policies, turns=9)
    one_by_one = make_lanes(EnvConfig(id=f"{__file__}:OneWorld"), 4, policies)
    assert isinstance(one_by_one, TurnLanes)
    for lanes in (fast, one_by_one):
        lanes.reset([3, 4, 5, 6])
    for mine, theirs in zip(play(fast, 60), play(one_by_one, 60), strict=True):
        np.testing.assert_array_equal(mine, theirs, strict=True)


def test_what_the_original_had() -> None:
    spec = inspect(EnvConfig(id="tuitrain.envs.treasurehunt:make"))
    assert spec.policies == {
        f"agent_{n}": PolicySpec((125,), "uint8", 4, (f"agent_{n}",)) for n in range(5)
    }
    lanes = hunts(1)
    lanes.reset([0])
    rows = {name: empty_row(policy, 1) for name, policy in lanes.spec.policies.items()}
    ends = []
    for _ in range(102):
        lanes.turn(lambda policy, place: np.zeros(1, np.int64), rows)
        ends.append([bool(row.truncated[0]) for row in rows.values()])
        assert not any(row.terminated[0] for row in rows.values())
    assert [number for number, ended in enumerate(ends) if all(ended)] == [49, 100]
    assert sum(map(any, ends)) == 2


def test_random_play_brings_what_it_brought_in_the_original() -> None:
    """52 to 53 per agent and epoch: many worlds, to be sure of it."""
    lanes = hunts(600)
    lanes.reset(range(600))
    told = play(lanes, 50)
    rewards = [array for array in told if array.dtype == np.float32]
    assert sum(float(r.sum()) for r in rewards) / 600 / 5 == pytest.approx(52.5, abs=1.5)


def last_views(simultaneous: bool) -> list[Any]:
    """What five agents see in their eighth turn in a small world full of gems, per agent."""
    lanes = hunts(3, simultaneous_moves=simultaneous, side=6, gem_chance=0.3)
    lanes.reset([0, 1, 2])
    rows = {name: empty_row(policy, 3) for name, policy in lanes.spec.policies.items()}
    rng = np.random.default_rng(1)
    for _ in range(8):
        lanes.turn(lambda policy, place: rng.integers(4, size=3), rows)
    return [row.observation.copy() for row in rows.values()]


def reference(simultaneous: bool) -> list[Any]:
    """The same with the world itself."""
    hunt = TreasureHunt(3, side=6, gem_chance=0.3)
    for world in range(3):
        hunt.seed(world, world)
    hunt.reset(range(3))
    rng = np.random.default_rng(1)
    for _ in range(8):
        hunt.begin_turn()
        before = [hunt.look(agent) for agent in range(5)]
        seen = []
        for agent in range(5):
            seen.append(before[agent] if simultaneous else hunt.look(agent))
            hunt.move(agent, rng.integers(4, size=3))
        hunt.end_turn()
    return [views.reshape(3, 125) for views in seen]


@pytest.mark.parametrize("simultaneous", [False, True])
def test_who_looks_before_whom(simultaneous: bool) -> None:
    seen = last_views(simultaneous)
    for mine, theirs in zip(seen, reference(simultaneous), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    other = reference(not simultaneous)
    assert any((mine != theirs).any() for mine, theirs in zip(seen, other, strict=True))


def test_settings_that_cannot_be_are_refused() -> None:
    for kwargs in ({"agents": 65}, {"colour": "red"}):
        with pytest.raises(EnvError, match=r"cannot be built with env\.kwargs"):
            inspect(EnvConfig(id="tuitrain.envs.treasurehunt:make", kwargs=kwargs))
    lanes = hunts(2)
    lanes.reset([0, 1])
    rows: Mapping[str, TurnRow] = {n: empty_row(p, 2) for n, p in lanes.spec.policies.items()}
    with pytest.raises(ValueError, match="must lie in 0 … 3"):
        lanes.turn(lambda policy, place: np.array([0, 4]), rows)
