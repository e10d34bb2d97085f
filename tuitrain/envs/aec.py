"""Games in which one agent moves at a time, as lanes: PettingZoo's AEC API, by its shape.

What a move brings, and whether it ended the game, its agent learns only when it comes to its turn
again, after the others have answered. A *cycle* goes round the table once: whoever comes to its
turn is told the outcome of its row at hand, sees what its next row observes, and moves at once. So
an outcome and the observation after it come together, as in ``Lanes.step``; but the next row's
action is chosen in the middle of it, which is why ``CycleLanes.cycle`` calls back.

PettingZoo itself is not needed: anything with `possible_agents`, `agents`, `agent_selection`,
`terminations`, `truncations`, `observation_space(agent)`, `action_space(agent)`,
`reset(seed=, options=)`, `last()` and `step(action)` will do. Knows nothing of replay, networks or
processes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs import masks
from tuitrain.envs.copies import build_copies, close_all, with_masks_of_infos
from tuitrain.envs.grouping import PolicyMap, policies_of
from tuitrain.envs.metrics import EnvMetrics
from tuitrain.envs.observations import Write, writer_of
from tuitrain.envs.spaces import EnvError, check_flag, check_reward, checked_actions
from tuitrain.envs.spec import EnvSpec, PolicySpec
from tuitrain.envs.vector import LaneStep, checked_seeds, empty_step

ChooseNext = Callable[[str, NDArray[np.int64]], NDArray[np.int64]]
"""``choose(policy, lanes)``: what the agents of these lanes do in their *next* row, int64[k].

What they see there must have been written.
"""

MAX_EMPTY_GAMES = 32
"""A game may be over before anybody's move, but not so many in a row."""


class CycleStep(NamedTuple):
    """What one cycle gave one policy: a ``LaneStep``, and who has had no turn.

    Attributes:
        observation, terminated, truncated, legal, absent: as in ``LaneStep``; `absent` is never
            None, for a game begins with nobody there, and who loses leaves before who wins.
        reward: as there; but whoever has not moved yet may be paid too (blinds, or a game that is
            over before). It counts in the game's return, and nobody can learn from it.
        waits: ``bool[lanes]``, the agent has not come to its turn: nobody knows yet what its row
            brings. Row and action are to move on to the next row, which is not written here.
    """

    observation: NDArray[Any]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    legal: NDArray[np.bool_] | None
    absent: NDArray[np.bool_]
    waits: NDArray[np.bool_]


def empty_cycle(policy: PolicySpec, n_envs: int) -> CycleStep:
    """Arrays for the cycles of `n_envs` games under one policy."""
    step = empty_step(policy, n_envs)
    lanes = len(step.reward)
    return CycleStep(*step[:5], np.ones(lanes, np.bool_), np.zeros(lanes, np.bool_))


@runtime_checkable
class CycleLanes(Protocol):
    """E copies of a game: lane = env * len(agents) + place, per policy."""

    @property
    def spec(self) -> EnvSpec:
        """What all processes must agree on."""
        ...

    @property
    def n_envs(self) -> int:
        """Copies of the game."""
        ...

    def reset(self, seeds: Sequence[int]) -> Mapping[str, LaneStep]:
        """Start a game everywhere; seeds has one entry per copy.

        Returns:
            Per policy a first row in which all are absent: they come in the first cycle.
        """
        ...

    def cycle(self, choose: ChooseNext, into: Mapping[str, CycleStep]) -> None:
        """One cycle of every game; where all have left, of a new game.

        A cycle of a game ends before any agent's second turn.

        Args:
            choose: called as often as needed, for all who are to move now under one policy.
            into: per policy, arrays to write into. What agents see is there when `choose` is called
                for them, the rest when this returns.
        """
        ...

    def close(self) -> None:
        """Close every game. Calling it twice is allowed."""
        ...


def is_aec(env: Any) -> bool:
    """Whether `env` looks like a game in which one agent moves at a time."""
    return hasattr(env, "possible_agents") and not lacking(env)


def lacking(env: Any) -> list[str]:
    """Which methods a game by the AEC API must have, but `env` has not."""
    calls = ("observation_space", "action_space", "reset", "last", "step")
    return [name for name in calls if not callable(getattr(env, name, None))]


class AecLanes:
    """``CycleLanes`` over copies of an AEC environment.

    Agents that share a policy and are to move at the same time in several copies choose together.

    Attributes:
        metrics: what the environments have told of their agents.
    """

    def __init__(
        self,
        factories: Sequence[Callable[[], Any]],
        env_id: str,
        n_frames: int,
        policy_map: PolicyMap,
        told: EnvSpec | None = None,
    ) -> None:
        """Build every copy.

        Args:
            told: see ``copies.with_masks_of_infos``.

        Raises:
            EnvError: see ``policies_of`` and ``build_copies``.
            UnsupportedSpace: an agent's spaces are not supported.
        """
        where = f"environment {env_id!r}"

        def spec_of(env: Any) -> EnvSpec:
            policies = policies_of(env, where, policy_map)
            coming = {name: replace(policy, absences=True) for name, policy in policies.items()}
            return EnvSpec(env_id, n_frames, coming)

        self._envs, spec = build_copies(factories, where, spec_of)
        # The environment's own agent objects: names need not be strings.
        agents = {str(agent): agent for agent in self._envs[0].possible_agents}
        self.spec = with_masks_of_infos(spec, told, self._envs, _tell)
        self.n_envs = len(self._envs)
        self.metrics = EnvMetrics()
        writers = {name: writer_of(policy) for name, policy in self.spec.policies.items()}

        def seats(index: int) -> dict[Any, _Seat]:
            return {
                agents[agent]: _Seat(
                    name,
                    index * len(policy.agents) + place,
                    writers[name],
                    spec.policies[name].masked,
                )
                for name, policy in self.spec.policies.items()
                for place, agent in enumerate(policy.agents)
            }

        self._games = [
            _Game(env, seats(index), where, self.metrics, n_frames)
            for index, env in enumerate(self._envs)
        ]

    def reset(self, seeds: Sequence[int]) -> Mapping[str, LaneStep]:
        """See ``CycleLanes.reset``."""
        for game, seed in zip(self._games, checked_seeds(seeds, self.n_envs), strict=True):
            game.reset(seed)
        nobody = {n: empty_cycle(p, self.n_envs) for n, p in self.spec.policies.items()}
        return {name: LaneStep(*step[:6]) for name, step in nobody.items()}

    def cycle(self, choose: ChooseNext, into: Mapping[str, CycleStep]) -> None:
        """See ``CycleLanes.cycle``.

        Raises:
            EnvError: a game does not keep to its API; or it is not played in cycles, but frames are
                to be stacked.
        """
        for step in into.values():
            for told in (step.reward, step.terminated, step.truncated, step.waits):
                told.fill(0)
            step.absent.fill(True)
            if step.legal is not None:
                step.legal.fill(True)
        for game in self._games:
            game.begin_cycle(into)
        to_move = self._games
        while to_move := [game for game in to_move if game.next_turn(into)]:
            for name, policy in self.spec.policies.items():
                movers = [game for game in to_move if game.turn.policy == name]
                if movers:
                    given = choose(name, np.array([game.turn.lane for game in movers]))
                    chosen = checked_actions(given, len(movers), policy.n_actions, name)
                    for game, action in zip(movers, chosen, strict=True):
                        game.env.step(action)
        for game in self._games:
            game.end_cycle(into)
        for step in into.values():
            step.observation[step.absent] = 0

    def close(self) -> None:
        """See ``CycleLanes.close``."""
        close_all(self._envs)


def _tell(env: Any) -> Iterator[Mapping[str, Any]]:
    """See ``copies.Tell``. Before its turn an agent's info says something only if it is a mask."""
    env.reset(seed=0, options=None)
    mover = getattr(env, "agent_selection", None)
    yield {
        str(agent): info
        for agent, info in getattr(env, "infos", {}).items()
        if agent == mover or masks.mask_in(info) is not None
    }
    while env.agents:
        observation, _, ends, cut, info = env.last()
        gone = ends or cut
        yield {} if gone else {str(env.agent_selection): info}
        env.step(None if gone else masks.any_legal(observation, info))
        if not env.agents:
            env.reset(seed=None, options=None)


class _Seat(NamedTuple):
    """An agent of one copy: its policy, its lane there, and what puts its observations there.

    `mask_is_seen`: which actions are legal comes with the observation, if at all; else in infos.
    """

    policy: str
    lane: int
    write: Write
    mask_is_seen: bool


class _View(NamedTuple):
    """What ``last()`` said to the agent whose turn it was."""

    observation: Any
    reward: Any
    terminated: bool
    truncated: bool
    info: Any


class _Game:
    """One copy of the environment, and where its agents are in their rows.

    Attributes:
        turn: who is to move, where ``next_turn`` has said that somebody is.
    """

    turn: _Seat

    def __init__(
        self, env: Any, seats: Mapping[Any, _Seat], where: str, metrics: EnvMetrics, n_frames: int
    ) -> None:
        self.env = env
        self._seats = seats
        self._where = where
        self._metrics = metrics
        self._n_frames = n_frames
        self._row: set[Any] = set()  # who has moved in the row at hand, and is to be told
        self._next: set[Any] = set()  # who has moved in the next one
        self._came: set[Any] = set()  # who has come to its turn in this cycle
        self._left: dict[
            Any, _View
        ] = {}  # who moved in this cycle and left in it: told in the next
        self._empty_games = 0  # begun since anybody has moved

    def reset(self, seed: int | None) -> None:
        """Begin a game; nobody has moved in it."""
        self.env.reset(seed=seed, options=None)
        self._row, self._left = set(), {}
        if not self.env.agents:
            raise EnvError(f"{self._where}: after reset() its `agents` is empty.")
        if strangers := [agent for agent in self.env.agents if agent not in self._seats]:
            raise EnvError(
                f"{self._where}: after reset() its `agents` has {strangers[0]!r}, which is none of "
                f"its possible_agents: {self._known()}."
            )

    def begin_cycle(self, into: Mapping[str, CycleStep]) -> None:
        """Tell those who left after they had moved; where nobody is left, begin a new game."""
        self._next, self._came = set(), set()
        left, self._left = self._left, {}
        for agent, view in left.items():
            self._tell(agent, view, into)
        if left or self.env.agents:
            return
        if self._row:
            raise EnvError(
                f"{self._where}: the game is over, but agent {min(map(str, self._row))!r} has not "
                "come to its turn once more to be told. An agent that terminates or is truncated "
                "must stay in `agents` until its step(None)."
            )
        self._empty_games += 1
        if self._empty_games > MAX_EMPTY_GAMES:
            raise EnvError(
                f"{self._where}: it was over at reset(), {MAX_EMPTY_GAMES} times in a row: nobody "
                "came to a move. Does reset() clear `terminations` and `truncations`?"
            )
        self.reset(None)

    def next_turn(self, into: Mapping[str, CycleStep]) -> bool:
        """Go on until somebody is to move who has not moved in this cycle; whether there is one.

        Whoever comes to its turn is told what its row at hand has brought. Those who have left
        are let go.
        """
        env = self.env
        while env.agents:
            agent = env.agent_selection
            try:
                seat = self._seats[agent]
                gone = env.terminations[agent] or env.truncations[agent]
            except (KeyError, TypeError) as error:
                raise self._out_of_turn(agent) from error
            if agent in self._came and not gone:
                return False
            view = self._look(agent)
            if agent not in self._came:
                self._tell(agent, view, into)
            elif agent not in self._left:
                self._left[agent] = copy.deepcopy(view)  # it may be written over before it is told
            else:
                raise EnvError(
                    f"{self._where}: agent {agent!r} has terminated or been truncated, but comes "
                    "to its turn again and again. step(None) must take it out of `agents`."
                )
            if not gone:
                self._next.add(agent)
                self.turn = seat
                self._empty_games = 0
                return True
            env.step(None)
        return False

    def end_cycle(self, into: Mapping[str, CycleStep]) -> None:
        """Those who have moved in the row at hand and have had no turn wait for one."""
        waiting = self._row - self._came
        for agent in waiting:
            if self._n_frames > 1:
                raise EnvError(
                    f"{self._where}: agent {agent!r} has had no turn while another has had two. "
                    "With env.n_frames > 1 every agent must move once in each cycle; set "
                    "env.n_frames = 1, and let its observation show the past it needs."
                )
            seat = self._seats[agent]
            into[seat.policy].waits[seat.lane] = True
            into[seat.policy].absent[seat.lane] = False
        self._row = self._next | waiting

    def _look(self, agent: Any) -> _View:
        result = self.env.last()
        if not isinstance(result, tuple) or len(result) != 5:
            raise EnvError(
                f"{self._where}: last() must return (observation, reward, terminated, truncated, "
                "info)."
            )
        view = _View(*result)
        if type(view.terminated) is not bool or type(view.truncated) is not bool:
            where = f"{self._where}, agent {agent!r}, last()"
            ends = check_flag(view.terminated, "terminated", where)
            view = view._replace(
                terminated=ends, truncated=check_flag(view.truncated, "truncated", where)
            )
        if view.info:
            self._metrics.add(self._seats[agent].policy, view.info)
        return view

    def _known(self) -> str:
        return ", ".join(map(repr, self._seats))

    def _out_of_turn(self, agent: Any) -> EnvError:
        """Why this agent, which is to move, cannot."""
        if agent not in list(self._seats):  # a list: it may be nothing that can be looked up
            return EnvError(
                f"{self._where}: its agent_selection is {agent!r:.80}, which is none of its "
                f"agents: {self._known()}."
            )
        for name in ("terminations", "truncations"):
            told = getattr(self.env, name)
            if not isinstance(told, Mapping):
                return EnvError(f"{self._where}: {name} is {told!r:.80}, not a dictionary.")
            if agent not in told:
                return EnvError(
                    f"{self._where}: agent_selection is {agent!r}, but {name} has no entry for it. "
                    "Who is to move must have one."
                )
        return EnvError(f"{self._where}: terminations and truncations cannot be read.")

    def _tell(self, agent: Any, view: _View, into: Mapping[str, CycleStep]) -> None:
        """What the agent's row at hand has brought, and what its next row sees."""
        seat = self._seats[agent]
        step, lane, where = into[seat.policy], seat.lane, f"{self._where}, agent {agent!r}, last()"
        gone = view.terminated or view.truncated
        self._came.add(agent)
        step.reward[lane] = check_reward(view.reward, where)
        if agent in self._row:
            step.terminated[lane], step.truncated[lane] = view.terminated, view.truncated
        elif gone:
            return  # it left before it had moved, so it never had a row
        step.absent[lane] = False
        seat.write(step.observation, lane, view.observation, where)
        if step.legal is None:
            if view.info and masks.mask_in(view.info) is not None:
                raise masks.unexpected(where)
        elif not view.terminated:
            said = view.observation if seat.mask_is_seen else view.info
            masks.write_mask(step.legal[lane], masks.mask_in(said), where)
