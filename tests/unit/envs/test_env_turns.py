"""Turn-taking worlds as lanes: who looks when, at what, and who is paid for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.envs import TurnTag, TurnTags
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.turns import TurnLanes, TurnRow, empty_row
from tuitrain.envs.make import EnvError, inspect, make_lanes
from tuitrain.envs.spaces import BadObservation

SEEDS = [7, 8]
SHARED = {"a": "team", "c": "team"}


def config(**kwargs: object) -> EnvConfig:
    return EnvConfig(id="tests.envs:TurnTags", kwargs=kwargs)


def turn_lanes(
    env: EnvConfig, n_envs: int, policies: Mapping[str, str] | None = None
) -> tuple[TurnLanes, dict[str, TurnRow]]:
    lanes = make_lanes(env, n_envs, policies or {})
    assert isinstance(lanes, TurnLanes)
    rows = {name: empty_row(policy, n_envs) for name, policy in lanes.spec.policies.items()}
    for row in rows.values():
        for array in row.arrays():
            array.fill(1)  # what a slot of the ring held before
    return lanes, rows


@pytest.mark.parametrize("order", ["abc", "cab"])
@pytest.mark.parametrize("policies", [{}, SHARED], ids=["own", "shared"])
def test_lanes_equal_a_hand_simulation(policies: dict[str, str], order: str) -> None:
    lanes, rows = turn_lanes(config(order=order), 2, policies)
    lanes.reset(SEEDS)
    by_hand = [TurnTags(order=order) for _ in SEEDS]
    for world, seed in zip(by_hand, SEEDS, strict=True):
        world.reset(seed)
    over, rng, ends = [False, False], np.random.default_rng(0), 0
    given: dict[tuple[str, int], list[int]] = {}
    seen: dict[tuple[str, int], list[Any]] = {}

    def choose(policy: str, place: int) -> Any:
        agents = lanes.spec.policies[policy].agents
        seen[policy, place] = rows[policy].observation[place :: len(agents)].tolist()
        actions = rng.integers(5, size=2)
        given[policy, place] = actions.tolist()
        return actions

    for _ in range(200):
        lanes.turn(choose, rows)
        for env, world in enumerate(by_hand):
            if not over[env]:
                world.begin_turn()
            for agent in order:
                policy = policies.get(agent, agent)
                place = lanes.spec.policies[policy].agents.index(agent)
                lane = env * len(lanes.spec.policies[policy].agents) + place
                view = world.pov(agent).tolist()
                assert seen[policy, place][env] == view, "seen by the time of the choice"
                assert rows[policy].observation[lane].tolist() == view
                paid = 0.0 if over[env] else world.act(agent, given[policy, place][env])
                assert rows[policy].reward[lane] == paid
            ended = (False, False) if over[env] else world.end_turn()
            if over[env]:
                world.reset()
            over[env] = any(ended)
            ends += over[env]
            for name, policy_spec in lanes.spec.policies.items():
                of = slice(env * len(policy_spec.agents), (env + 1) * len(policy_spec.agents))
                assert set(rows[name].terminated[of].tolist()) == {ended[0]}
                assert set(rows[name].truncated[of].tolist()) == {ended[1]}
    assert ends > 20


def test_the_turn_after_an_end_shows_the_final_world_to_everyone() -> None:
    lanes, rows = turn_lanes(config(p_end=1.0), 1)
    lanes.reset([7])
    told = []
    for _ in range(3):
        lanes.turn(lambda policy, place: np.zeros(1, np.int64), rows)
        told.append([TurnTag(*map(int, rows[agent].observation[0])) for agent in "abc"])
    assert [[tag.moves for tag in turn] for turn in told] == [[0, 1, 2], [3, 3, 3], [0, 1, 2]]
    assert [[tag.episode for tag in turn] for turn in told] == [[0] * 3, [0] * 3, [1] * 3]
    assert [[tag.number for tag in turn] for turn in told] == [[0, 1, 2]] * 3


def test_reset_forgets_an_end() -> None:
    lanes, rows = turn_lanes(config(p_end=1.0), 1)
    for _ in range(2):
        lanes.reset([7])
        lanes.turn(lambda policy, place: np.zeros(1, np.int64), rows)
        assert rows["b"].observation[0].tolist() == [7, 0, 0, 1, 1]
        assert rows["b"].terminated[0]


class Bad(TurnTags):
    """Breaks one rule."""

    def __init__(self, how: str):
        super().__init__()
        self.how = how

    def pov(self, agent: str) -> Any:
        view = super().pov(agent)
        return view[None] if self.how == "shape" and agent == "b" else view

    def act(self, agent: str, action: int) -> float:
        return float("nan") if self.how == "nan" and agent == "c" else super().act(agent, action)

    def end_turn(self) -> Any:
        return False if self.how == "end" else super().end_turn()


_kept = TurnTags()


def the_same() -> TurnTags:
    return _kept


_orders = ["abc", "acb"]


def other_order() -> TurnTags:
    return TurnTags(order=_orders.pop(0))


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("shape", BadObservation, r"agent 'b', pov\(\): an observation has shape \(1, 5\)"),
        ("nan", EnvError, r"agent 'c', act\(\): the reward is nan"),
        ("end", EnvError, r"end_turn\(\) must return \(terminated, truncated\)"),
    ],
)
def test_a_world_that_breaks_a_rule_is_refused_by_the_probe(
    how: str, error: type[EnvError], message: str
) -> None:
    with pytest.raises(error, match=message):
        inspect(EnvConfig(id=f"{__file__}:Bad", kwargs={"how": how}))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("the_same", "the same environment twice"),
        ("other_order", "its copies differ: agents in order"),
    ],
)
def test_copies_that_are_none_are_refused(name: str, message: str) -> None:
    with pytest.raises(EnvError, match=message):
        make_lanes(EnvConfig(id=f"{__file__}:{name}"), 2)


def test_actions_that_are_none_are_refused() -> None:
    lanes, rows = turn_lanes(config(), 2)
    lanes.reset(SEEDS)
    with pytest.raises(ValueError, match="actions of policy 'a' must lie in 0 … 4"):
        lanes.turn(lambda policy, place: np.array([0, 5]), rows)


def test_closing_twice_is_allowed() -> None:
    lanes, _ = turn_lanes(config(), 2)
    lanes.close()
    lanes.close()
