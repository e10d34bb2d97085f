"""Worlds whose agents act one after another within a turn, as lanes.

What an agent sees in its turn already shows what those before it did, so its observation cannot
come with the step before: it is taken when it is the agent's turn, written into the row at hand,
and answered by an action at once. A row is one turn of one agent; the row after it is that agent's
own next turn. ``TurnLanes.turn`` therefore drives a whole turn and calls back for every action.
Episodes end at the end of a turn, and the turn after that is one in which all look at the final
world and nobody moves: the boundary row of ``vector.py``. Where the world says who is present, an
agent may go before the others and come back.
Knows nothing of replay, networks or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs import masks
from tuitrain.envs.grouping import PolicyMap, policies_of
from tuitrain.envs.lanes.copies import build_copies, close_all
from tuitrain.envs.lanes.cycles import CycleLanes
from tuitrain.envs.lanes.vector import Copies, Lanes, checked_seeds, empty_step
from tuitrain.envs.observations import writer_of
from tuitrain.envs.saving.state import array_from, env_state, flags_from, restore_envs
from tuitrain.envs.spaces import EnvError, check_reward, checked_actions
from tuitrain.envs.spec import EnvSpec, PolicySpec

Choose = Callable[[str, int], NDArray[np.int64]]
"""``choose(policy, place)``: what the agent at that place among a policy's agents does in each
world, int64[n_envs].

What it sees must have been written. In worlds that show their end the action is ignored.
"""


class TurnWorld(Protocol):
    """What a world must offer, so that its agents can take turns.

    A turn is ``begin_turn``, then ``pov`` and ``act`` for each agent in order, then ``end_turn``.
    After the turn that ended an episode comes one ``pov`` of each agent, then ``reset``.

    Two more methods are optional. ``legal(agent)``, asked after ``pov``, says which actions the
    agent may take now: an array of bool or whole numbers, one for each action. ``present(agent)``,
    asked after ``end_turn``, says whether the agent takes part in the next turn. One that has gone
    has come to its own end (it is *terminated*) and is asked nothing until it is back, where it
    begins anew; when nobody is left, the episode is over. Who goes in the middle of a turn has its
    part in it all the same. After ``reset`` everybody is there.

    Attributes:
        possible_agents: names of the agents, in the order of their turns.
    """

    possible_agents: Sequence[str]

    def observation_space(self, agent: str) -> Any:
        """The space of what ``pov`` returns, see ``observations.form_of``."""
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

    def pov(self, agent: str) -> Any:
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
class TurnLanes(Copies, Protocol):
    """Copies of a turn-taking world: lane = env * len(agents) + place, per policy."""

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


AnyLanes = Lanes | TurnLanes | CycleLanes
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


_ACTS, _LOOKS, _NOTHING = range(3)
"""What an agent does in a turn: all of it, only look at the final world, or nothing."""


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

        def spec_of(world: Any) -> EnvSpec:
            masked, absences = _says(world, "legal"), _says(world, "present")
            policies = policies_of(world, where, policy_map)
            for name, policy in policies.items():
                policies[name] = replace(policy, masked=policy.masked or masked, absences=absences)
            return EnvSpec(env_id, n_frames, policies)

        self._worlds, self.spec = build_copies(factories, where, spec_of)
        self.n_envs = len(self._worlds)
        self._seats = seats_of(self.spec, self._worlds[0].possible_agents)
        self._writes = {name: writer_of(policy) for name, policy in self.spec.policies.items()}
        self._says_legal = _says(self._worlds[0], "legal")
        self._says_present = _says(self._worlds[0], "present")
        shape = len(self._seats), self.n_envs
        self._role = np.full(shape, _ACTS, np.int8)
        self._terminated, self._truncated, self._absent = np.zeros((3, *shape), np.bool_)
        self._over = [False] * self.n_envs
        self._terminal = [False] * self.n_envs

    def reset(self, seeds: Sequence[int]) -> None:
        """See ``TurnLanes.reset``."""
        for env, seed in enumerate(checked_seeds(seeds, self.n_envs)):
            self._begin(env, seed)

    def turn(self, choose: Choose, into: Mapping[str, TurnRow]) -> None:
        """See ``TurnLanes.turn``.

        Raises:
            EnvError: an observation, a mask or a reward is not what it must be.
        """
        for row in into.values():
            row.reward.fill(0.0)
        for world, ended in zip(self._worlds, self._over, strict=True):
            if not ended:
                world.begin_turn()
        for number, seat in enumerate(self._seats):
            policy, row = self.spec.policies[seat.policy], into[seat.policy]
            where = f"{self._where}, agent {seat.agent!r}"
            roles = self._role[number].tolist()
            self._look(seat, roles, row, where)
            given = choose(seat.policy, seat.place)
            chosen = checked_actions(given, self.n_envs, policy.n_actions, seat.policy)
            rewards = row.reward[seat.lanes]
            for env, world in enumerate(self._worlds):
                if roles[env] == _ACTS:
                    reward = world.act(seat.agent, chosen[env])
                    rewards[env] = check_reward(reward, f"{where}, act()")
        for told in (self._terminated, self._truncated, self._absent):
            told.fill(False)
        for env, over in enumerate(self._over):
            if over:
                self._begin(env, None)
            else:
                self._end(env)
        for number, seat in enumerate(self._seats):
            row = into[seat.policy]
            row.terminated[seat.lanes] = self._terminated[number]
            row.truncated[seat.lanes] = self._truncated[number]
            if row.absent is not None:
                row.absent[seat.lanes] = self._absent[number]

    def state(self) -> dict[str, Any]:
        """See ``state.SavesState``."""
        return {
            "kind": "turns",
            "envs": [env_state(world) for world in self._worlds],
            "role": self._role.copy(),
            "over": list(self._over),
            "terminal": list(self._terminal),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See ``state.SavesState``."""
        restore_envs(self._worlds, state, "turns")
        self._role = array_from(state["role"], self._role, "role")
        self._over, self._terminal = (
            flags_from(state[name], (self.n_envs,), name).tolist() for name in ("over", "terminal")
        )

    def close(self) -> None:
        """See ``TurnLanes.close``."""
        close_all(self._worlds)

    def _look(self, seat: Seat, roles: list[int], row: TurnRow, where: str) -> None:
        """What an agent sees in every world, and what it may do there."""
        write, seen = self._writes[seat.policy], row.observation[seat.lanes]
        legal = None if row.legal is None else row.legal[seat.lanes]
        for env, world in enumerate(self._worlds):
            if roles[env] == _NOTHING:
                seen[env] = 0  # always the same bytes
            else:
                view = world.pov(seat.agent)
                write(seen, env, view, f"{where}, pov()")
            if legal is None:
                continue
            if roles[env] == _NOTHING or self._terminal[env]:
                legal[env] = True
            elif self._says_legal:
                masks.write_mask(legal[env], _legal(world, seat.agent), f"{where}, legal()")
            else:
                masks.write_mask(legal[env], masks.mask_in(view), f"{where}, pov()")

    def _begin(self, env: int, seed: int | None) -> None:
        """Start an episode, in which everybody acts."""
        self._worlds[env].reset(seed)
        self._over[env] = self._terminal[env] = False
        self._role[:, env] = _ACTS
        if self._says_present and not self._present(env).all():
            raise EnvError(f"{self._where}: after reset() an agent is not present; all must be.")

    def _end(self, env: int) -> None:
        """End a turn: who has come to an end with it, and what everybody does in the next one."""
        terminated, truncated = self._end_turn(self._worlds[env])
        over = terminated or truncated
        if not over and not self._says_present:
            return
        acted = self._role[:, env] == _ACTS
        stays = self._present(env)
        self._terminated[:, env] = acted & (terminated | ~stays)
        self._truncated[:, env] = acted & truncated
        looks = acted & over & (terminated | stays)
        acts = stays & (not over)
        # Who has gone shows its end in the next turn, as nothing, and is absent after it.
        self._absent[:, env] = ~(acted | acts)
        self._role[:, env] = np.where(looks, _LOOKS, np.where(acts, _ACTS, _NOTHING))
        self._over[env] = over or not stays.any()
        self._terminal[env] = terminated

    def _present(self, env: int) -> NDArray[np.bool_]:
        """Who takes part in the next turn, bool [seats]."""
        if not self._says_present:
            return np.ones(len(self._seats), np.bool_)
        world: Any = self._worlds[env]
        return np.array([bool(world.present(seat.agent)) for seat in self._seats])

    def _end_turn(self, world: TurnWorld) -> tuple[bool, bool]:
        result = world.end_turn()
        if not isinstance(result, tuple) or len(result) != 2:
            raise EnvError(f"{self._where}: end_turn() must return (terminated, truncated).")
        return bool(result[0]), bool(result[1])


def _says(world: Any, name: str) -> bool:
    """Whether it has this optional method."""
    return callable(getattr(world, name, None))


def _legal(world: Any, agent: str) -> Any:
    return world.legal(agent)


class ManyWorlds(Protocol):
    """What a factory may return whose worlds are stepped together by code of their own."""

    def make_lanes(
        self, n_envs: int, env_id: str, n_frames: int, policy_map: PolicyMap
    ) -> AnyLanes:
        """`n_envs` copies; a run goes on exactly only with those that are ``state.SavesState``."""
        ...


def has_lanes(env: Any) -> TypeGuard[ManyWorlds]:
    """Whether `env` makes lanes of its own."""
    return callable(getattr(env, "make_lanes", None))
