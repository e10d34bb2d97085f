"""Legal actions of several agents: in their lanes, in turns, of late comers, in what they see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tests.envs import SequenceAgents, TurnTags
from tests.unit.envs.legal import SEEDS, N, legal_at
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.turns import TurnLanes, empty_row
from tuitrain.envs.make import EnvError, inspect, make_lanes


def config(name: str, **kwargs: Any) -> EnvConfig:
    return EnvConfig(id=f"{__file__}:{name}", kwargs=kwargs)


# ---- several agents --------------------------------------------------------------------------


class MaskedAgents(SequenceAgents):
    """`a` and `b` have masks in infos, `c` has none."""

    def reset(self, **kwargs: Any) -> Any:
        observations, _ = super().reset(**kwargs)
        return observations, self._infos()

    def step(self, actions: dict[str, int]) -> Any:
        return (*super().step(actions)[:4], self._infos())

    def _infos(self) -> dict[str, Any]:
        return {
            agent: {"action_mask": legal_at(self.episode, self.steps, "abc".index(agent))}
            for agent in "ab"
        } | {"c": {}}


class LateAgents(MaskedAgents):
    def _infos(self) -> dict[str, Any]:
        return super()._infos() if self.steps else {}


def test_masks_of_agents_that_begin_later_are_refused() -> None:
    lanes = make_lanes(config("LateAgents"), 1)
    assert not any(policy.masked for policy in lanes.spec.policies.values())
    lanes.reset([0])
    with pytest.raises(EnvError, match=r"step\(\): info\['action_mask'\] says which actions"):
        lanes.step({name: np.zeros(1, np.int64) for name in lanes.spec.policies})


@pytest.mark.parametrize("policies", [{}, {"a": "team", "b": "team"}], ids=["own", "shared"])
def test_masks_of_agents_lie_in_their_lanes(policies: dict[str, str]) -> None:
    lanes = make_lanes(config("MaskedAgents", p_terminate=0.2), 2, policies)
    named = lanes.spec.policies
    assert {name for name, policy in named.items() if policy.masked} == (
        {"team"} if policies else {"a", "b"}
    )
    assert not isinstance(lanes, TurnLanes)
    steps, ends = lanes.reset(SEEDS), 0
    rng = np.random.default_rng(0)
    for _ in range(60):
        for name, step in steps.items():
            if not named[name].masked:
                assert step.legal is None
                continue
            assert step.legal is not None
            for lane, (_, episode, at, number) in enumerate(step.observation.astype(int)):
                wanted = legal_at(episode, at, number)
                if step.terminated[lane]:
                    wanted = np.ones(N, bool)
                    ends += 1
                np.testing.assert_array_equal(step.legal[lane], wanted, strict=True)
        steps = lanes.step(
            {n: rng.integers(N, size=2 * len(policy.agents)) for n, policy in named.items()}
        )
    assert ends > 5


class LateComers:
    """`early` has masks; `late` comes after 3 steps, `never` does not, `free` has none at all.

    Nothing is legal that the mask forbids: `early` and `late` must do 1.
    """

    possible_agents = ("early", "free", "late", "never")

    def __init__(self, late_masks: bool = True, early_masks: bool = True):
        self.masks = {"early": early_masks, "late": late_masks}
        self.played = 0

    def observation_space(self, agent: str) -> Any:
        return spaces.Box(0, 99, (1,), np.float32)

    def action_space(self, agent: str) -> Any:
        return spaces.Discrete(2)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.steps, self.agents = 0, ["early", "free"]
        return self._seen(self.agents), self._infos(self.agents)

    def step(self, actions: dict[str, int]) -> Any:
        told = self.agents
        assert all(actions[agent] == 1 for agent in told if self.masks.get(agent)), "not legal"
        self.steps += 1
        self.played += 1
        over = self.steps == 6
        came = ["late"] if self.steps == 3 else []
        seen, infos = self._seen([*told, *came]), self._infos([*told, *came])
        self.agents = [] if over else [*told, *came]
        rewards, ends, cuts = (dict.fromkeys(told, value) for value in (0.0, False, over))
        return seen, rewards, ends, cuts, infos

    def _seen(self, agents: list[str]) -> Any:
        return {agent: np.full(1, self.steps, np.float32) for agent in agents}

    def _infos(self, agents: list[str]) -> Any:
        mask = np.array([0, 1], np.int8)
        return {a: {"action_mask": mask} if self.masks.get(a) else {} for a in agents}


@pytest.mark.parametrize("late_masks", [False, True])
def test_who_comes_late_has_the_masks_it_has(late_masks: bool) -> None:
    """And who does not come at all is taken to be as those that have masks."""
    lanes = make_lanes(config("LateComers", late_masks=late_masks), 2)
    masked = {name: policy.masked for name, policy in lanes.spec.policies.items()}
    assert masked == {"early": True, "free": False, "late": late_masks, "never": True}
    assert not isinstance(lanes, TurnLanes)
    lanes.reset(SEEDS)
    for _ in range(20):
        lanes.step({name: np.ones(2, np.int64) for name in masked})


def test_where_nobody_has_a_mask_nothing_is_played() -> None:
    lanes = make_lanes(config("LateComers", late_masks=False, early_masks=False), 1)
    assert lanes._envs[0].played == 0


def test_a_first_mask_of_a_late_comer_is_refused_with_a_way_out() -> None:
    lanes = make_lanes(config("LateComers", early_masks=False), 1)
    assert not isinstance(lanes, TurnLanes)
    lanes.reset([0])
    actions = {name: np.ones(1, np.int64) for name in lanes.spec.policies}
    for _ in range(2):
        lanes.step(actions)
    with pytest.raises(EnvError, match="one that comes later has, declare it: 'action_mask' as a"):
        lanes.step(actions)


def test_agents_of_one_policy_all_say_it_or_none() -> None:
    lanes = make_lanes(config("MaskedAgents"), 1, "shared")
    with pytest.raises(EnvError, match=r"agent 'c', reset\(\): there is no 'action_mask'"):
        lanes.reset([0])


class MaskedTurns(TurnTags):
    """Says what is legal; nothing is once it has terminated."""

    def __init__(self, how: str = "", **kwargs: Any):
        super().__init__(**kwargs)
        self.how = how
        self.ended = False

    def reset(self, seed: int | None = None) -> None:
        super().reset(seed)
        self.ended = False

    def end_turn(self) -> tuple[bool, bool]:
        ends = super().end_turn()
        self.ended = ends[0]
        return ends

    def legal(self, agent: str) -> Any:
        assert not self.ended, "asked of a terminal state"
        if self.how == "float":
            return np.ones(N)
        return legal_at(self.episode, self.turn, "abc".index(agent)).astype(np.int8)


@pytest.mark.parametrize("policies", [{}, {"a": "team", "c": "team"}], ids=["own", "shared"])
def test_masks_of_turns_are_there_when_the_agent_chooses(policies: dict[str, str]) -> None:
    lanes = make_lanes(config("MaskedTurns", p_end=0.2), 2, policies)
    assert isinstance(lanes, TurnLanes)
    assert all(policy.masked for policy in lanes.spec.policies.values())
    rows = {name: empty_row(policy, 2) for name, policy in lanes.spec.policies.items()}
    lanes.reset(SEEDS)
    terminal = dict.fromkeys(range(2), False)
    ends = 0

    def choose(policy: str, place: int) -> Any:
        nonlocal ends
        of = slice(place, None, len(lanes.spec.policies[policy].agents))
        row = rows[policy]
        assert row.legal is not None
        for env, view in enumerate(row.observation[of].astype(int)):
            wanted = np.ones(N, bool) if terminal[env] else legal_at(view[1], view[2], view[3])
            np.testing.assert_array_equal(row.legal[of][env], wanted, strict=True)
            ends += terminal[env]
        return np.zeros(2, np.int64)

    for _ in range(60):
        for row in rows.values():
            for array in row.arrays():
                array.fill(0)
        lanes.turn(choose, rows)
        terminal = {env: bool(rows["b"].terminated[env]) for env in range(2)}
    assert ends > 5


def test_the_probe_refuses_a_turns_mask_that_is_none() -> None:
    with pytest.raises(
        EnvError, match=r"agent 'a', legal\(\): 'action_mask' is an array of.*float"
    ):
        inspect(config("MaskedTurns", how="float"))


# ---- masks in the observations of several ----------------------------------------------------


def with_mask(seen: np.ndarray, episode: int, step: int, number: int) -> dict[str, Any]:
    return {"see": seen, "action_mask": legal_at(episode, step, number).astype(np.int8)}


def space_with_mask() -> spaces.Dict:
    parts: dict[str, spaces.Space[Any]] = {
        "see": spaces.Box(0, 2.0**24, (5,), np.float32),
        "action_mask": spaces.MultiBinary(N),
    }
    return spaces.Dict(parts)


class AgentsThatSeeMasks(SequenceAgents):
    def observation_space(self, agent: str) -> Any:
        return space_with_mask()

    def _observe(self) -> Any:
        return {
            agent: with_mask(np.append(seen, np.float32(0)), self.episode, self.steps, int(seen[3]))
            for agent, seen in super()._observe().items()
        }


class TurnsThatSeeMasks(TurnTags):
    def observation_space(self, agent: str) -> Any:
        return space_with_mask()

    def pov(self, agent: str) -> Any:
        return with_mask(super().pov(agent), self.episode, self.turn, "abc".index(agent))


@pytest.mark.parametrize("name", ["AgentsThatSeeMasks", "TurnsThatSeeMasks"])
def test_masks_that_several_agents_see_are_taken_out(name: str) -> None:
    ending = {"p_end" if name == "TurnsThatSeeMasks" else "p_terminate": 0.0}
    lanes = make_lanes(config(name, **ending), 2, "shared")
    policy = lanes.spec.policies["shared"]
    assert (policy.masked, policy.observation_shape) == (True, (5,))
    rows: list[Any] = []
    if isinstance(lanes, TurnLanes):
        lanes.reset(SEEDS)
        row = empty_row(policy, 2)
        for _ in range(4):
            lanes.turn(lambda policy, place: np.zeros(2, np.int64), {"shared": row})
            rows.append((row.observation.astype(int).tolist(), np.array(row.legal)))
    else:
        step = lanes.reset(SEEDS)["shared"]
        for _ in range(4):
            rows.append((step.observation.astype(int).tolist(), np.array(step.legal)))
            step = lanes.step({"shared": np.zeros(6, np.int64)})["shared"]
    for seen, legal in rows:
        wanted = [legal_at(episode, at, number) for _, episode, at, number, _ in seen]
        np.testing.assert_array_equal(legal, wanted)
