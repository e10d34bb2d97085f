"""Legal actions: each mask beside the observation it belongs to, and what is no mask is refused."""

from __future__ import annotations

import random
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.envs import SequenceAgents, TurnTags
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.turns import TurnLanes, empty_row
from tuitrain.envs.lanes.vector import empty_step
from tuitrain.envs.make import EnvError, inspect, make_lanes

N = 5
SEEDS = [7, 8]


def legal_at(episode: int, step: int, number: int = 0) -> np.ndarray:
    """Another mask in every state, and never none."""
    mask = np.arange(N) % 3 == (episode + 2 * step + number) % 3
    mask[(episode + step) % N] = True
    return mask


class Masked(gymnasium.Env[Any, Any]):
    """Says what is legal in its infos, or in its observation; ends after 4 steps, by turns.

    Args:
        where: "info" or "observation".
        break_how, break_at: what is wrong with the mask of which step; -1 is the first reset.
        dtype: of the masks.
    """

    action_space = spaces.Discrete(N)

    def __init__(
        self, where: str = "info", break_how: str = "", break_at: int = 0, dtype: str = "int8"
    ):
        self.where, self.break_how, self.break_at = where, break_how, break_at
        self.dtype = dtype
        seen = spaces.Box(0, 99, (2,), np.float32)
        self.observation_space: Any = seen
        if where == "observation":
            mask = spaces.Box(0, 1, (N,), np.dtype(dtype))
            self.observation_space = spaces.Dict({"observation": seen, "action_mask": mask})
        self.episode, self.resets, self.total = -1, 0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.episode = -1
        self.resets += 1
        self.episode += 1
        self.steps = 0
        return self._tell(-1)

    def step(self, action: int) -> Any:
        self.steps += 1
        self.total += 1
        over = self.steps == 4
        ends = over and self.episode % 2 == 0
        observation, info = self._tell(self.total)
        return observation, 0.0, ends, over and not ends, info

    def _tell(self, number: int) -> Any:
        observation: Any = np.array([self.episode, self.steps], np.float32)
        mask: Any = legal_at(self.episode, self.steps).astype(self.dtype)
        if self.steps == 4 and self.episode % 2 == 0:
            mask[:] = 0  # nothing can be done at the end
        if self.break_how and number == self.break_at:
            mask = {
                "none": None,
                "nothing": np.zeros(N, np.int8),
                "long": np.ones(N + 1, np.int8),
                "float": np.ones(N, np.float32),
                "list": [1] * N,
            }[self.break_how]
        if self.where == "info":
            return observation, ({} if mask is None else {"action_mask": mask})
        parts = {"observation": observation}
        return parts | ({} if mask is None else {"action_mask": mask}), {}


def config(name: str = "Masked", **kwargs: Any) -> EnvConfig:
    return EnvConfig(id=f"{__file__}:{name}", kwargs=kwargs)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("dtype", ["int8", "bool", "int64"])
@pytest.mark.parametrize("where", ["info", "observation"])
def test_each_row_has_the_mask_of_what_it_observes(where: str, dtype: str, in_place: bool) -> None:
    lanes = make_lanes(config(where=where, dtype=dtype), 2)
    policy = lanes.spec.policies["default"]
    assert (policy.masked, policy.observation_shape) == (True, (2,))
    assert not isinstance(lanes, TurnLanes)
    step = lanes.reset(SEEDS)["default"]
    out = {"default": empty_step(policy, 2)}
    ends = 0
    for k in range(40):
        assert step.legal is not None
        for lane in range(2):
            episode, steps = (int(number) for number in step.observation[lane])
            over = steps == 4 and episode % 2 == 0
            wanted = np.ones(N, bool) if over else legal_at(episode, steps)
            np.testing.assert_array_equal(step.legal[lane], wanted, strict=True)
            ends += over
        for array in out["default"].arrays():
            array.fill(k % 2)  # what a slot of the ring held before
        step = lanes.step({"default": np.zeros(2, np.int64)}, out if in_place else None)["default"]
    assert ends > 5


@pytest.mark.parametrize("where", ["info", "observation"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("none", "no 'action_mask', though there was one before"),
        ("nothing", "no action is legal. A state in which nothing can be done must be a terminal"),
        ("long", r"'action_mask' is an array of shape \(6,\), dtype int8, but there are 5 actions"),
        ("float", r"is an array of shape \(5,\), dtype float32"),
        ("list", "is a list, but there are 5 actions, and a mask is a numpy array of bool"),
    ],
)
@pytest.mark.parametrize("at", [-1, 2, 8], ids=["reset", "step", "cut"])
def test_a_mask_that_is_none_is_refused(where: str, how: str, message: str, at: int) -> None:
    """Also where an episode is cut: that state is bootstrapped from (step 8 ends the second)."""
    call = "reset" if at < 0 else "step"
    # an info's mask that is not there at the first reset is no mask, see below
    told = make_lanes(config(where=where), 1).spec
    lanes = make_lanes(config(where=where, break_how=how, break_at=at), 1, told=told)

    def play() -> None:
        lanes.reset([0])
        for _ in range(9):
            lanes.step({"default": np.zeros(1, np.int64)})

    with pytest.raises(EnvError, match=rf"Masked', {call}\(\): .*{message}"):
        play()


@pytest.mark.parametrize("how", ["none", "nothing", "long"])
def test_what_is_said_of_a_terminal_state_does_not_matter(how: str) -> None:
    lanes = make_lanes(config(break_how=how, break_at=4), 1)
    lanes.reset([0])
    for _ in range(4):
        step = lanes.step({"default": np.zeros(1, np.int64)})["default"]
    assert step.terminated[0]
    assert step.legal is not None
    assert step.legal.all()


class Late(Masked):
    """Says nothing of masks at its first resets."""

    def reset(self, **kwargs: Any) -> Any:
        observation, info = super().reset(**kwargs)
        return observation, info if self.episode >= 1 else {}


@pytest.mark.parametrize(("name", "call"), [("Late", "step"), ("LateAgents", "step")])
def test_masks_that_begin_later_are_refused(name: str, call: str) -> None:
    lanes = make_lanes(config(name), 1)
    assert not any(policy.masked for policy in lanes.spec.policies.values())
    lanes.reset([0])
    with pytest.raises(EnvError, match=rf"{call}\(\): info\['action_mask'\] says which actions"):
        lanes.step({name: np.zeros(1, np.int64) for name in lanes.spec.policies})


def test_who_is_told_what_to_expect_resets_nothing() -> None:
    """And who looks does not touch the global random state."""
    probed = inspect(config())
    before = random.getstate(), np.random.get_state()[1].tolist()
    looked = make_lanes(config("Draws"), 1)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    told = make_lanes(config(), 1, told=probed)
    assert told.spec == probed
    assert [lanes._envs[0].resets for lanes in (looked, told)] == [1, 0]


class Draws(Masked):
    def reset(self, **kwargs: Any) -> Any:
        random.random()
        np.random.random()
        return super().reset(**kwargs)


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
