"""Worlds whose agents act one after another within a turn, as lanes.

What an agent sees in its turn already shows what those before it did, so its observation cannot
come with the step before: it is taken when it is the agent's turn, written into the row at hand,
and answered by an action at once. A row is one turn of one agent; the row after it is that agent's
own next turn. ``TurnLanes.turn`` therefore drives a whole turn and calls back for every action.
Episodes end for all agents of a world together, at the end of a turn, and the turn after that is
one in which all look at the final world and nobody moves: the boundary row of ``vector.py``.
Knows nothing of replay, networks or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.grouping import PolicyMap, build_copies, close_all, policies_of
from tuitrain.envs.spaces import EnvError, check_observation, check_reward, checked_actions
from tuitrain.envs.spec import EnvSpec, PolicySpec
from tuitrain.envs.vector import Lanes, checked_seeds, empty_step

Choose = Callable[[str, int], NDArray[np.int64]]
"""``choose(policy, place)``: what the agent at that place among a policy's agents does in each
world, int64[n_envs].

What it sees must have been written. In worlds that show their end the action is ignored.
"""


class TurnWorld(Protocol):
    """What a world must offer, so that its agents can take turns.

    A turn is ``begin_turn``, then ``pov`` and ``act`` for each agent in order, then ``end_turn``.
    After the turn that ended an episode comes one ``pov`` of each agent, then ``reset``.

    Attributes:
        possible_agents: names of the agents, in the order of their turns.
    """

    possible_agents: Sequence[str]

    def observation_space(self, agent: str) -> Any:
        """``gymnasium.spaces.Box`` of what ``pov`` returns: uint8 or float32."""
        ...

    def action_space(self, agent: str) -> Any:
        """``gymnasium.spaces.Discrete``."""
        ...

    def reset(self, seed: int | None = None) -> None:
        """Start an episode; a seed comes with the first one only."""
        ...

    def begin_turn(self) -> None:
        """What happens before the agents act, such as things that grow."""
        ...

    def pov(self, agent: str) -> NDArray[Any]:
        """What an agent sees now."""
        ...

    def act(self, agent: str, action: int) -> float:
        """Let an agent act; its reward."""
        ...

    def end_turn(self) -> tuple[bool, bool]:
        """What happens after the agents have acted; (terminated, truncated)."""
        ...


def is_turn_world(env: Any) -> bool:
    """Whether `env` looks like a ``TurnWorld``."""
    calls = ("observation_space", "action_space", "reset", "begin_turn", "pov", "act", "end_turn")
    return hasattr(env, "possible_agents") and all(
        callable(getattr(env, name, None)) for name in calls
    )


class TurnRow(NamedTuple):
    """What one turn of E worlds leaves behind under one policy; lanes as in ``Lanes``.

    Attributes:
        observation: ``[lanes, *shape]`` of the spec's dtype, what each agent saw in *this* turn.
        reward: ``float32[lanes]`` for what it then did; 0 in a turn that shows an end.
        terminated: ``bool[lanes]``, the episode ended in a terminal state with this turn.
        truncated: ``bool[lanes]``, the episode was cut after this turn.
        legal: ``bool[lanes, n_actions]``, which actions each agent may take in *this* turn; None
            unless the policy is masked. Never all False, also where it does not matter.
        absent: ``bool[lanes]``, as in ``LaneStep``: the agent has no part in the *next* turn.
            None unless the policy has absences.
    """

    observation: NDArray[Any]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    legal: NDArray[np.bool_] | None = None
    absent: NDArray[np.bool_] | None = None

    def arrays(self) -> list[NDArray[Any]]:
        """Those that there are."""
        return [array for array in self if array is not None]


def empty_row(policy: PolicySpec, n_envs: int) -> TurnRow:
    """Arrays for the turns of `n_envs` worlds under one policy."""
    return TurnRow(*empty_step(policy, n_envs))


@runtime_checkable
class TurnLanes(Protocol):
    """E copies of a turn-taking world: lane = env * len(agents) + place, per policy."""

    @property
    def spec(self) -> EnvSpec:
        """What all processes must agree on."""
        ...

    @property
    def n_envs(self) -> int:
        """Copies of the world."""
        ...

    def reset(self, seeds: Sequence[int]) -> None:
        """Start an episode everywhere; seeds has one entry per world."""
        ...

    def turn(self, choose: Choose, into: Mapping[str, TurnRow]) -> None:
        """One turn of every world.

        Where the turn before ended an episode, every agent looks at the final world instead, its
        action is ignored, and the next turn is the first of a new episode.

        Args:
            choose: called once for each agent, in the order in which they act.
            into: per policy, arrays to write into. An agent's observations are there when
                `choose` is called for it, the rest when this returns.
        """
        ...

    def close(self) -> None:
        """Close every world. Calling it twice is allowed."""
        ...


AnyLanes = Lanes | TurnLanes
"""Copies of an environment of any kind."""


class Seat(NamedTuple):
    """One agent in the order of turns: its name, its policy, its place there, and its lanes."""

    agent: str
    policy: str
    place: int
    lanes: slice


def seats_of(spec: EnvSpec, order: Sequence[str]) -> list[Seat]:
    """The seats of the agents named in `order`, in that order."""
    found = {
        agent: Seat(agent, name, place, slice(place, None, len(policy.agents)))
        for name, policy in spec.policies.items()
        for place, agent in enumerate(policy.agents)
    }
    return [found[agent] for agent in order]


class WorldLanes:
    """``TurnLanes`` over copies of a ``TurnWorld``: agent by agent, and for each world by world."""

    def __init__(
        self,
        factories: Sequence[Callable[[], Any]],
        env_id: str,
        n_frames: int,
        policy_map: PolicyMap,
    ) -> None:
        """Build every copy.

        Raises:
            EnvError: see ``policies_of`` and ``build_copies``.
            UnsupportedSpace: an agent's spaces are not supported.
        """
        self._where = where = f"environment {env_id!r}"
        worlds, self.spec = build_copies(
            factories,
            where,
            lambda world: EnvSpec(env_id, n_frames, policies_of(world, where, policy_map)),
        )
        self._worlds: list[TurnWorld] = worlds
        self.n_envs = len(worlds)
        self._seats = seats_of(self.spec, worlds[0].possible_agents)
        self._over = [False] * self.n_envs

    def reset(self, seeds: Sequence[int]) -> None:
        """See ``TurnLanes.reset``."""
        for world, seed in zip(self._worlds, checked_seeds(seeds, self.n_envs), strict=True):
            world.reset(seed)
        self._over = [False] * self.n_envs

    def turn(self, choose: Choose, into: Mapping[str, TurnRow]) -> None:
        """See ``TurnLanes.turn``.

        Raises:
            EnvError: an observation or a reward is not what it must be.
        """
        over = self._over
        for row in into.values():
            row.reward.fill(0.0)
        for world, ended in zip(self._worlds, over, strict=True):
            if not ended:
                world.begin_turn()
        for seat in self._seats:
            policy, row = self.spec.policies[seat.policy], into[seat.policy]
            where = f"{self._where}, agent {seat.agent!r}"
            seen, rewards = row.observation[seat.lanes], row.reward[seat.lanes]
            for env, world in enumerate(self._worlds):
                view = world.pov(seat.agent)
                check_observation(
                    view, policy.observation_shape, policy.declared_dtype, f"{where}, pov()"
                )
                seen[env] = view
            given = choose(seat.policy, seat.place)
            chosen = checked_actions(given, self.n_envs, policy.n_actions, seat.policy)
            for env, world in enumerate(self._worlds):
                if not over[env]:
                    reward = world.act(seat.agent, chosen[env])
                    rewards[env] = check_reward(reward, f"{where}, act()")
        for env, world in enumerate(self._worlds):
            if over[env]:
                world.reset(None)
                terminated = truncated = over[env] = False
            else:
                terminated, truncated = self._end_turn(world)
                over[env] = terminated or truncated
            for name, policy in self.spec.policies.items():
                lanes = slice(env * len(policy.agents), (env + 1) * len(policy.agents))
                into[name].terminated[lanes] = terminated
                into[name].truncated[lanes] = truncated

    def close(self) -> None:
        """See ``TurnLanes.close``."""
        close_all(self._worlds)

    def _end_turn(self, world: TurnWorld) -> tuple[bool, bool]:
        result = world.end_turn()
        if not isinstance(result, tuple) or len(result) != 2:
            raise EnvError(f"{self._where}: end_turn() must return (terminated, truncated).")
        return bool(result[0]), bool(result[1])


class ManyWorlds(Protocol):
    """What a factory may return whose worlds are stepped together by code of their own."""

    def make_lanes(
        self, n_envs: int, env_id: str, n_frames: int, policy_map: PolicyMap
    ) -> AnyLanes:
        """`n_envs` copies."""
        ...


def has_lanes(env: Any) -> TypeGuard[ManyWorlds]:
    """Whether `env` makes lanes of its own."""
    return callable(getattr(env, "make_lanes", None))
