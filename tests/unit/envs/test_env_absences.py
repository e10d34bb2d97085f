"""Agents that go before the others, come later or come back: whose row is what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tests.envs import TurnTags
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.turns import TurnLanes, empty_row
from tuitrain.envs.lanes.vector import LaneStep, empty_step
from tuitrain.envs.make import EnvError, make_lanes

AGENTS = ("a", "b", "c")
N = 4


class Crowd:
    """Agents come and go at random. An observation: instance, episode, step, agent's number.

    Args:
        listed: whether it has `agents`, as PettingZoo's environments do.
        chatty: it goes on to send observations of those who are gone; their ends too, if it has
            no `agents`.
        fault: what it does wrong in its third step; "" for nothing.
    """

    possible_agents = AGENTS

    def __init__(self, listed: bool = True, chatty: bool = False, fault: str = ""):
        self.listed, self.chatty, self.fault = listed, chatty, fault
        self.instance, self.episode = 0, -1
        self.inside: list[str] = []
        self._rng = np.random.default_rng()

    def observation_space(self, agent: str) -> Any:
        return spaces.Box(0, 1e6, (4,), np.float32)

    def action_space(self, agent: str) -> Any:
        return spaces.Discrete(N)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.instance, self.episode = seed, -1
            self._rng = np.random.default_rng(seed)
        self.episode += 1
        self.steps = 0
        late = "c" if self._rng.random() < 0.5 else ""
        self._enter([agent for agent in AGENTS if agent != late])
        if self.fault == "empty":
            self._enter([])
        seen = self._seen(self.inside)
        if self.fault == "blind":
            del seen[self.inside[0]]
        return seen, {agent: {} for agent in self.inside}

    def step(self, actions: dict[str, int]) -> Any:
        assert set(actions) == set(self.inside), "those who are inside act"
        self.steps += 1
        went, ends, cuts = [], dict.fromkeys(self.inside, False), dict.fromkeys(self.inside, False)
        for agent in self.inside:
            if self._rng.random() < 0.2:
                went.append(agent)
                (ends if self._rng.random() < 0.5 else cuts)[agent] = True
        told = list(self.inside)
        stay = [agent for agent in self.inside if agent not in went]
        came = [a for a in AGENTS if a not in told and stay and self._rng.random() < 0.3]
        rewards = {agent: float(10 * self.steps + actions[agent]) for agent in told}
        self._enter([agent for agent in AGENTS if agent in stay or agent in came])
        sent = self._seen([*told, *came])
        if self.chatty:
            gone = [agent for agent in AGENTS if agent not in told and agent not in came]
            sent |= self._seen(gone)
            ends |= dict.fromkeys(gone, not self.listed)
            rewards |= dict.fromkeys(gone, 99.0)
        if self.fault and self.steps == 3 and stay:
            agent = stay[0]
            if self.fault == "unseen":
                del sent[agent]
            elif self.fault == "unpaid":
                del rewards[agent]
            elif self.fault == "untold":
                del rewards[agent], ends[agent], cuts[agent]
            elif self.fault == "half told":
                del ends[agent], cuts[agent]
            elif self.fault == "a number":
                return sent, 1.0, ends, cuts, {}
            elif self.fault == "unlisted":
                self.agents.remove(agent)
        return sent, rewards, ends, cuts, {}

    def _enter(self, agents: list[str]) -> None:
        self.inside = agents
        if self.listed:
            self.agents = list(agents)

    def _seen(self, agents: list[str]) -> dict[str, Any]:
        return {
            agent: np.array(
                [self.instance, self.episode, self.steps, AGENTS.index(agent)], np.float32
            )
            for agent in agents
        }


class MaskedCrowd(Crowd):
    """In which only the actions of the agent's own number and 3 are legal."""

    def _mask(self, agent: str) -> Any:
        return {"action_mask": np.isin(np.arange(N), (AGENTS.index(agent), 3))}

    def reset(self, **kwargs: Any) -> Any:
        observations, _ = super().reset(**kwargs)
        return observations, {agent: self._mask(agent) for agent in observations}

    def step(self, actions: dict[str, int]) -> Any:
        told = super().step(actions)
        return (*told[:4], {agent: self._mask(agent) for agent in told[0]})


def config(name: str = "Crowd", **kwargs: Any) -> EnvConfig:
    return EnvConfig(id=f"{__file__}:{name}", kwargs=kwargs)


@pytest.mark.parametrize("chatty", [False, True], ids=["silent", "chatty"])
@pytest.mark.parametrize("listed", [True, False], ids=["listed", "unlisted"])
@pytest.mark.parametrize(
    ("name", "policies"), [("Crowd", {}), ("MaskedCrowd", {"a": "team", "c": "team"})]
)
def test_rows_equal_a_hand_simulation(
    name: str, policies: dict[str, str], listed: bool, chatty: bool
) -> None:
    lanes = make_lanes(config(name, listed=listed, chatty=chatty), 2, policies)
    assert not isinstance(lanes, TurnLanes)
    named = lanes.spec.policies
    assert all(policy.absences for policy in named.values())
    out = {n: empty_step(policy, 2) for n, policy in named.items()}
    by_hand = [Crowd(chatty=chatty) for _ in range(2)]
    rng, counts = np.random.default_rng(0), dict.fromkeys(("left", "came", "over"), 0)
    states = [dict.fromkeys(AGENTS, "absent") for _ in range(2)]
    seen: list[dict[str, Any]] = [{}, {}]

    def check(steps: Any, earned: list[dict[str, float]], flags: list[dict[str, Any]]) -> None:
        for n, policy in named.items():
            step: LaneStep = steps[n]
            for env in range(2):
                for place, agent in enumerate(policy.agents):
                    lane = env * len(policy.agents) + place
                    state = states[env][agent]
                    assert step.absent is not None
                    assert step.absent[lane] == (state == "absent")
                    wanted = [0, 0, 0, 0] if state == "absent" else seen[env][agent].tolist()
                    assert step.observation[lane].tolist() == wanted
                    assert step.reward[lane] == earned[env].get(agent, 0.0)
                    ends, cut = flags[env].get(agent, (False, False))
                    assert (step.terminated[lane], step.truncated[lane]) == (ends, cut)
                    if step.legal is not None:
                        free = state == "absent" or ends
                        mask = np.ones(N, bool)
                        if not free:
                            mask = np.isin(np.arange(N), (AGENTS.index(agent), 3))
                        np.testing.assert_array_equal(step.legal[lane], mask)

    for env, world in enumerate(by_hand):
        seen[env], _ = world.reset(seed=7 + env)
        states[env] = {agent: "acts" if agent in seen[env] else "absent" for agent in AGENTS}
    check(lanes.reset([7, 8]), [{}, {}], [{}, {}])
    for k in range(300):
        actions = {n: rng.integers(N, size=2 * len(p.agents)) for n, p in named.items()}
        earned: list[dict[str, float]] = [{}, {}]
        flags: list[dict[str, Any]] = [{}, {}]
        for env, world in enumerate(by_hand):
            before = dict(states[env])
            acting = [agent for agent in AGENTS if before[agent] == "acts"]
            if not acting:
                counts["over"] += 1
                seen[env], _ = world.reset()
                states[env] = {a: "acts" if a in seen[env] else "absent" for a in AGENTS}
                continue
            chosen = {
                agent: int(actions[n][env * len(policy.agents) + place])
                for n, policy in named.items()
                for place, agent in enumerate(policy.agents)
                if agent in acting
            }
            seen[env], rewards, ends, cuts, _ = world.step(chosen)
            for agent in AGENTS:
                if agent in acting:
                    earned[env][agent] = rewards[agent]
                    flags[env][agent] = ends[agent], cuts[agent]
                    states[env][agent] = "shows" if any(flags[env][agent]) else "acts"
                    counts["left"] += states[env][agent] == "shows"
                else:
                    came = agent in world.inside
                    counts["came"] += came
                    states[env][agent] = "acts" if came else "absent"
        for step in out.values():
            for array in step.arrays():
                array.fill(k % 2)  # what a slot of the ring held before
        check(lanes.step(actions, out), earned, flags)
    assert min(counts.values()) > 20, counts


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("unseen", r"observations has no entry for '[abc]', which acted\. An agent that goes must"),
        ("unpaid", r"step\(\): rewards has no entry for '[abc]', which acted\.$"),
        (
            "untold",
            r"step\(\): rewards and terminations and truncations have no .* An agent that goes",
        ),
        (
            "half told",
            r"step\(\): terminations and truncations have no entry for '[abc]', which acted\.$",
        ),
        ("a number", r"step\(\): rewards is 1\.0, not a dictionary by agent"),
        (
            "unlisted",
            r"step\(\): it is no longer in env\.agents, though neither terminated nor trunc",
        ),
        ("blind", r"reset\(\): observations has no entry for '[abc]', which is in env\.agents"),
        ("empty", r"after reset\(\) there is no agent"),
    ],
)
def test_who_goes_without_an_end_is_refused(fault: str, message: str) -> None:
    lanes = make_lanes(config(fault=fault), 1)
    with pytest.raises(EnvError, match=message):
        play(lanes, 40)


def play(lanes: Any, steps: int) -> None:
    lanes.reset([1])
    for _ in range(steps):
        lanes.step(dict.fromkeys(AGENTS, np.zeros(1, np.int64)))


# ---- turns -----------------------------------------------------------------------------------


class Comes(TurnTags):
    """An agent goes with `p_leave` at the end of a turn and comes back with `p_return`."""

    def __init__(self, p_leave: float = 0.15, p_return: float = 0.3, late: str = "", **kwargs: Any):
        super().__init__(**kwargs)
        self.p_leave, self.p_return, self.late = p_leave, p_return, late
        self.here = dict.fromkeys(self.possible_agents, True)
        self._moved: set[str] = set()
        self.last = (False, False)

    def reset(self, seed: int | None = None) -> None:
        super().reset(seed)
        self.here = {agent: agent != self.late for agent in self.possible_agents}
        self.last = (False, False)

    def begin_turn(self) -> None:
        self._moved = set()

    def act(self, agent: str, action: int) -> float:
        assert self.here[agent], "who is not here cannot act"
        assert not any(self.last), "nobody acts in an episode that has ended"
        self._moved.add(agent)
        return 1.0 + action

    def end_turn(self) -> tuple[bool, bool]:
        assert self._moved == {agent for agent, here in self.here.items() if here}
        self.turn += 1
        ended, cut = (bool(draw < self.p_end) for draw in self._rng.random(2))
        for agent, here in self.here.items():
            draw = self._rng.random()
            self.here[agent] = draw > self.p_leave if here else draw < self.p_return
        self.last = ended, cut
        return ended, cut

    def present(self, agent: str) -> bool:
        return self.here[agent]


class MaskedComes(Comes):
    def legal(self, agent: str) -> Any:
        assert not self.last[0], "asked of a terminal state"
        assert self.here[agent], "asked of who is not here"
        return np.arange(5) == 3


@pytest.mark.parametrize("policies", [{}, {"a": "team", "c": "team"}], ids=["own", "shared"])
@pytest.mark.parametrize("name", ["Comes", "MaskedComes"])
def test_turns_equal_a_hand_simulation(name: str, policies: dict[str, str]) -> None:
    lanes = make_lanes(config(name, p_end=0.06), 2, policies)
    assert isinstance(lanes, TurnLanes)
    named = lanes.spec.policies
    assert all(policy.absences for policy in named.values())
    rows = {n: empty_row(policy, 2) for n, policy in named.items()}
    lanes.reset([7, 8])
    by_hand = [Comes(p_end=0.06) for _ in range(2)]
    for seed, world in zip((7, 8), by_hand, strict=True):
        world.reset(seed)
    states = [dict.fromkeys(AGENTS, "acts") for _ in range(2)]
    over, terminal = [False, False], [False, False]
    counts = dict.fromkeys(("left", "came", "over", "alone"), 0)
    for k in range(400):
        for row in rows.values():
            for array in row.arrays():
                array.fill(k % 2)
        lanes.turn(lambda policy, place: np.full(2, 3), rows)
        for env, world in enumerate(by_hand):
            views = {agent: world.pov(agent).tolist() for agent in AGENTS}
            before = states[env]
            paid = dict.fromkeys(AGENTS, 0.0)
            flags = dict.fromkeys(AGENTS, (False, False))
            bound = [a for a in AGENTS if before[a] in ("acts", "looks") and not terminal[env]]
            terminal[env] = False
            if over[env]:
                counts["over"] += 1
                world.reset()
                over[env] = False
                states[env] = dict.fromkeys(AGENTS, "acts")
            else:
                world.begin_turn()
                acting = [agent for agent in AGENTS if before[agent] == "acts"]
                for agent in acting:
                    paid[agent] = world.act(agent, 3)
                ended, cut = world.end_turn()
                nobody = not any(world.here.values())
                counts["alone"] += nobody and not ended and not cut
                over[env], terminal[env] = ended or cut or nobody, ended
                states[env] = {}
                for agent in AGENTS:
                    here = world.here[agent]
                    if agent in acting:
                        flags[agent] = (ended or not here, cut)
                        counts["left"] += not here
                        shows = "looks" if (ended or cut) and (ended or here) else "nothing"
                        states[env][agent] = shows if any(flags[agent]) else "acts"
                    else:
                        comes = here and not over[env]
                        counts["came"] += comes
                        states[env][agent] = "acts" if comes else "absent"
            for n, policy in named.items():
                for place, agent in enumerate(policy.agents):
                    lane = env * len(policy.agents) + place
                    row = rows[n]
                    assert row.absent is not None
                    wanted = views[agent] if before[agent] in ("acts", "looks") else [0.0] * 5
                    assert row.observation[lane].tolist() == wanted
                    assert row.reward[lane] == paid[agent]
                    if row.legal is not None:
                        mask = [agent not in bound or action == 3 for action in range(5)]
                        assert row.legal[lane].tolist() == mask
                    assert (row.terminated[lane], row.truncated[lane]) == flags[agent]
                    assert row.absent[lane] == (states[env][agent] == "absent")
    assert min(counts.values()) > 3, counts


def test_worlds_that_do_not_say_who_is_there_have_no_absences() -> None:
    lanes = make_lanes(EnvConfig(id="tests.envs:TurnTags"), 1)
    assert not any(policy.absences for policy in lanes.spec.policies.values())


def test_everybody_is_there_after_reset() -> None:
    lanes = make_lanes(config("Comes", late="b"), 1)
    assert isinstance(lanes, TurnLanes)
    with pytest.raises(EnvError, match=r"after reset\(\) an agent is not present"):
        lanes.reset([1])
