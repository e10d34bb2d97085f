"""One copy of a game by the AEC API, and where its agents are in their rows: see ``cycles.py``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from tuitrain.envs import masks
from tuitrain.envs.lanes.cycles import CycleStep
from tuitrain.envs.metrics import EnvMetrics
from tuitrain.envs.observations import Write
from tuitrain.envs.saving.state import value_from, value_state
from tuitrain.envs.spaces import EnvError, check_flag, check_reward

MAX_EMPTY_GAMES = 32
"""A game may be over before anybody's move, but not so many in a row."""


class Seat(NamedTuple):
    """An agent of one copy: its policy, its lane there, and what puts its observations there.

    `mask_is_seen`: which actions are legal comes with the observation, if at all; else in infos.
    """

    policy: str
    lane: int
    write: Write
    mask_is_seen: bool


class View(NamedTuple):
    """What ``last()`` said to the agent whose turn it was."""

    observation: Any
    reward: Any
    terminated: bool
    truncated: bool
    info: Any


class Game:
    """One copy of the environment, and where its agents are in their rows.

    Attributes:
        turn: who is to move, where ``next_turn`` has said that somebody is.
    """

    turn: Seat

    def __init__(
        self, env: Any, seats: Mapping[Any, Seat], where: str, metrics: EnvMetrics, n_frames: int
    ) -> None:
        self.env = env
        self._seats = seats
        self._where = where
        self._metrics = metrics
        self._n_frames = n_frames
        self._row: set[Any] = set()  # who has moved in the row at hand, and is to be told
        self._next: set[Any] = set()  # who has moved in the next one
        self._came: set[Any] = set()  # who has come to its turn in this cycle
        self._left: dict[Any, View] = {}  # who moved in this cycle and left in it: told in the next
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

    def state(self) -> dict[str, Any]:
        """Between two cycles: who is to be told what, as plain values; the game's own is its own.

        Agents by their places among the seats, since names need not be text.
        """
        place = {agent: number for number, agent in enumerate(self._seats)}
        left = {place[agent]: tuple(view) for agent, view in self._left.items()}
        return {
            "row": sorted(place[agent] for agent in self._row),
            "left": value_state(left, "what last() said"),
            "empty_games": self._empty_games,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        agents = list(self._seats)
        self._row = {agents[place] for place in state["row"]}
        left = value_from(state["left"])
        self._left = {agents[place]: View(*view) for place, view in left.items()}
        self._empty_games = int(state["empty_games"])

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

    def _look(self, agent: Any) -> View:
        result = self.env.last()
        if not isinstance(result, tuple) or len(result) != 5:
            raise EnvError(
                f"{self._where}: last() must return (observation, reward, terminated, truncated, "
                "info)."
            )
        view = View(*result)
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

    def _tell(self, agent: Any, view: View, into: Mapping[str, CycleStep]) -> None:
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
