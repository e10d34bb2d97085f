"""Agents as lanes: env-major order, policies of their own or shared, all agents or an error."""

from __future__ import annotations

import numpy as np
import pytest

from tests.envs import SequenceAgents, sequence_reward
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.grouping import policies_of
from tuitrain.envs.lanes.vector import empty_step
from tuitrain.envs.make import EnvError, UnsupportedSpace, inspect, make_lanes
from tuitrain.envs.spec import PolicySpec

SEEDS = [7, 8]


def config(**kwargs: object) -> EnvConfig:
    return EnvConfig(id="tests.envs:SequenceAgents", kwargs=kwargs)


def test_agents_have_policies_of_their_own() -> None:
    assert inspect(EnvConfig(id="tests.envs:TwoPolicies")).policies == {
        "scout": PolicySpec((3,), "float32", 3, ("scout",), absences=True),
        "digger": PolicySpec((4, 4), "uint8", 2, ("digger",), absences=True),
    }


@pytest.mark.parametrize(
    ("policy_map", "groups"),
    [
        ("each", {"a": "a", "b": "b", "c": "c"}),
        ({}, {"a": "a", "b": "b", "c": "c"}),
        ("shared", {"shared": "abc"}),
        ({"a": "team", "c": "team"}, {"team": "ac", "b": "b"}),
        ({"[bc]": "late"}, {"a": "a", "late": "bc"}),
        # a whole name comes before patterns, and the first pattern that fits before the next
        ({"*": "rest", "b": "boss"}, {"rest": "ac", "boss": "b"}),
        ({"[ab]": "first", "*": "rest"}, {"first": "ab", "rest": "c"}),
        ({"a": "b", "b": "b"}, {"b": "ab", "c": "c"}),
    ],
)
def test_agents_are_grouped_by_the_map(
    policy_map: str | dict[str, str], groups: dict[str, str]
) -> None:
    spec = inspect(config(), policy_map)
    assert {name: "".join(policy.agents) for name, policy in spec.policies.items()} == groups
    assert list(spec.policies) == list(groups)


@pytest.mark.parametrize("policies", [{}, {"a": "team", "c": "team"}], ids=["own", "shared"])
def test_lanes_equal_a_hand_simulation(policies: dict[str, str]) -> None:
    lanes = make_lanes(config(), 2, policies)
    by_hand = [SequenceAgents() for _ in SEEDS]
    pending = {name: first.observation.copy() for name, first in lanes.reset(SEEDS).items()}
    expected = [env.reset(seed=seed)[0] for env, seed in zip(by_hand, SEEDS, strict=True)]
    over = [False, False]
    rng, resets = np.random.default_rng(0), 0
    for _ in range(200):
        actions = {
            name: rng.integers(5, size=2 * len(policy.agents))
            for name, policy in lanes.spec.policies.items()
        }
        results = lanes.step(actions)
        for index, env in enumerate(by_hand):
            chosen = {
                agent: int(actions[name][index * len(policy.agents) + offset])
                for name, policy in lanes.spec.policies.items()
                for offset, agent in enumerate(policy.agents)
            }
            before = expected[index]
            if over[index]:
                expected[index], _ = env.reset()
                rewards = dict.fromkeys("abc", 0.0)
                ends, cuts = dict.fromkeys("abc", False), dict.fromkeys("abc", False)
                resets += 1
            else:
                expected[index], rewards, ends, cuts, _ = env.step(chosen)
            over[index] = any(ends.values()) or any(cuts.values())
            for name, policy in lanes.spec.policies.items():
                for offset, agent in enumerate(policy.agents):
                    lane = index * len(policy.agents) + offset
                    np.testing.assert_array_equal(pending[name][lane], before[agent])
                    assert results[name].reward[lane] == rewards[agent]
                    assert results[name].terminated[lane] == ends[agent]
                    assert results[name].truncated[lane] == cuts[agent]
        pending = {name: result.observation.copy() for name, result in results.items()}
    assert resets > 10


def test_arrays_handed_in_are_filled_and_the_lanes_own_stay() -> None:
    lanes, other = (make_lanes(config(p_terminate=0.3), 2) for _ in range(2))
    first = lanes.reset(SEEDS)
    other.reset(SEEDS)
    kept = {name: step.observation.copy() for name, step in first.items()}
    out = {name: empty_step(policy, 2) for name, policy in lanes.spec.policies.items()}
    rng = np.random.default_rng(0)
    for _ in range(50):
        for step in out.values():
            for array in step.arrays():
                array.fill(1)  # what a slot of the ring held before
        actions = {name: rng.integers(5, size=2) for name in "abc"}
        assert lanes.step(actions, out) is out
        for name, result in other.step(actions).items():
            for mine, own in zip(out[name].arrays(), result.arrays(), strict=True):
                np.testing.assert_array_equal(mine, own, strict=True)
    for name, step in first.items():
        np.testing.assert_array_equal(step.observation, kept[name])


def test_actions_reach_the_agent_of_their_lane() -> None:
    lanes = make_lanes(config(p_terminate=0.0), 2, {"a": "team", "c": "team"})
    lanes.reset(SEEDS)
    results = lanes.step({"team": np.array([1, 2, 3, 4]), "b": np.array([0, 4])})
    assert results["team"].reward.tolist() == [sequence_reward(0, 0, a) for a in (1, 2, 3, 4)]
    assert results["b"].reward.tolist() == [sequence_reward(0, 0, a) for a in (0, 4)]
    # env-major: lanes 0, 1 are agents a, c of environment 0
    assert results["team"].observation[:, 0].tolist() == [7, 7, 8, 8]
    assert results["team"].observation[:, 3].tolist() == [0, 2, 0, 2]


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ({"scout": "x", "digger": "x"}, "policy 'x' has agents with different spaces"),
        ({"scout": "x", "miner_*": "x"}, r"policies.map names miner_\*; its agents are scout"),
        ({"miner": "x"}, "policies.map names miner; its agents are scout, digger"),
        ({"scout": "a/b"}, "'a/b' cannot be a policy's name"),
        ({"scout": "digger"}, r"policy of scout is called 'digger'.*add \"digger\" = \"digger\""),
        ({"digg*": "scout"}, "policy of digger is called 'scout', but so is that of agent 'scout'"),
    ],
)
def test_policies_that_cannot_be(policies: dict[str, str], message: str) -> None:
    with pytest.raises(EnvError, match=message):
        inspect(EnvConfig(id="tests.envs:TwoPolicies"), policies)


def test_an_unsupported_space_names_the_agent() -> None:
    class Continuous(SequenceAgents):
        def action_space(self, agent: str):
            return self.observation_space(agent)

    with pytest.raises(UnsupportedSpace, match="environment 'x', agent 'a': its action space"):
        policies_of(Continuous(), "environment 'x'", {})


def test_missing_actions_and_closing() -> None:
    lanes = make_lanes(config(), 1)
    lanes.reset([0])
    with pytest.raises(KeyError):
        lanes.step({"a": np.zeros(1, np.int64)})
    lanes.close()
    lanes.close()
