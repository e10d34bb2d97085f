"""Treasure hunt as lanes: all worlds of an actor stepped together, agent by agent.

Does what ``turns.WorldLanes`` would do with one world after another, in numpy. Knows nothing of
replay, networks or processes; ``make`` is for ``env.id``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tuitrain.envs.grouping import PolicyMap, policies_of
from tuitrain.envs.lanes.turns import Choose, Seat, TurnRow, seats_of
from tuitrain.envs.lanes.vector import checked_seeds
from tuitrain.envs.saving.state import CannotRestore, array_from, check_kind, flags_from
from tuitrain.envs.spaces import checked_actions
from tuitrain.envs.spec import EnvSpec
from tuitrain.envs.treasurehunt.picture import picture
from tuitrain.envs.treasurehunt.world import N_ACTIONS, TreasureHunt, WorldState


class TreasureHunts:
    """What ``tuitrain.envs.treasurehunt:make`` returns: a kind of world, not yet so many of them.

    Args:
        simultaneous_moves: all agents look before the first one moves. Moves are still made one
            after another, in order, so two of them never meet in one cell.
        settings: see ``TreasureHunt``.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(self, simultaneous_moves: bool, settings: Mapping[str, Any]) -> None:
        self.simultaneous_moves = simultaneous_moves
        self._settings = dict(settings)
        one = TreasureHunt(1, **self._settings)
        self._inputs = int(np.prod(one.view_shape))
        self.possible_agents = tuple(f"agent_{number}" for number in range(one.agents))

    def observation_space(self, agent: str) -> spaces.Box:
        """The window around an agent, its channels one after another."""
        return spaces.Box(0, 2, (self._inputs,), np.uint8)

    def action_space(self, agent: str) -> spaces.Discrete:
        """Up, down, left, right."""
        return spaces.Discrete(N_ACTIONS)

    def worlds(self, count: int) -> TreasureHunt:
        """So many worlds of this kind."""
        return TreasureHunt(count, **self._settings)

    def make_lanes(
        self, n_envs: int, env_id: str, n_frames: int, policy_map: PolicyMap
    ) -> TreasureHuntLanes:
        """See ``turns.ManyWorlds``."""
        policies = policies_of(self, f"environment {env_id!r}", policy_map)
        return TreasureHuntLanes(self, n_envs, EnvSpec(env_id, n_frames, policies))


def make(*, simultaneous_moves: bool = False, **settings: Any) -> TreasureHunts:
    """Worlds of treasure hunt, for ``env.id``.

    Args:
        simultaneous_moves: all agents look before the first one moves.
        settings: of ``TreasureHunt``, but the number of worlds.
    """
    return TreasureHunts(simultaneous_moves, settings)


class TreasureHuntLanes:
    """``TurnLanes`` over worlds of treasure hunt."""

    metadata: ClassVar = {"render_fps": 5}

    def __init__(self, kind: TreasureHunts, n_envs: int, spec: EnvSpec) -> None:
        self.spec = spec
        self.n_envs = n_envs
        self._hunt = kind.worlds(n_envs)
        self._together = kind.simultaneous_moves
        self._seats = list(enumerate(seats_of(spec, kind.possible_agents)))
        self._over = np.zeros(n_envs, np.bool_)

    def reset(self, seeds: Sequence[int]) -> None:
        """See ``TurnLanes.reset``."""
        for world, seed in enumerate(checked_seeds(seeds, self.n_envs)):
            self._hunt.seed(world, seed)
        self._hunt.reset(range(self.n_envs))
        self._over = np.zeros(self.n_envs, np.bool_)

    def turn(self, choose: Choose, into: Mapping[str, TurnRow]) -> None:
        """See ``TurnLanes.turn``."""
        playing = ~self._over if self._over.any() else None
        self._hunt.begin_turn(playing)
        if self._together:
            for number, seat in self._seats:
                self._look(number, seat, into)
            chosen = [self._actions(seat, choose) for _, seat in self._seats]
            for (number, seat), actions in zip(self._seats, chosen, strict=True):
                self._move(number, seat, actions, playing, into)
        else:
            for number, seat in self._seats:
                self._look(number, seat, into)
                self._move(number, seat, self._actions(seat, choose), playing, into)
        self._end(playing, into)

    def state(self) -> dict[str, Any]:
        """See ``state.SavesState``."""
        worlds = self._hunt.state()
        return {
            "kind": "treasurehunt",
            "envs": worlds.random,
            "cells": worlds.cells,
            "places": worlds.places,
            "turn": worlds.turn,
            "over": self._over.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See ``state.SavesState``."""
        random = check_kind(state, "treasurehunt", self.n_envs)
        now = self._hunt.state()
        cells = array_from(state["cells"], now.cells, "cells")
        places = array_from(state["places"], now.places, "places")
        turn = array_from(state["turn"], now.turn, "turn")
        try:
            self._hunt.load(WorldState(cells, places, turn, random))
        except (ValueError, TypeError, KeyError) as error:
            raise CannotRestore(f"treasure hunt: {error}") from error
        self._over = flags_from(state["over"], (self.n_envs,), "over")

    def close(self) -> None:
        """See ``TurnLanes.close``."""

    def render(self) -> NDArray[np.uint8]:
        """The first world as it is now: uint8 [height, width, 3]."""
        state = self._hunt.state()
        return picture(state.cells[0], state.places[0])

    def _look(self, number: int, seat: Seat, into: Mapping[str, TurnRow]) -> None:
        seen = into[seat.policy].observation[seat.lanes]
        self._hunt.look(number, seen.reshape(self.n_envs, *self._hunt.view_shape))

    def _actions(self, seat: Seat, choose: Choose) -> NDArray[np.int64]:
        actions = choose(seat.policy, seat.place)
        checked_actions(actions, self.n_envs, N_ACTIONS, seat.policy)
        return actions

    def _move(
        self,
        number: int,
        seat: Seat,
        actions: NDArray[np.int64],
        playing: NDArray[np.bool_] | None,
        into: Mapping[str, TurnRow],
    ) -> None:
        into[seat.policy].reward[seat.lanes] = self._hunt.move(number, actions, playing)

    def _end(self, playing: NDArray[np.bool_] | None, into: Mapping[str, TurnRow]) -> None:
        ended = self._hunt.end_turn(playing)
        if playing is not None:
            ended &= playing
            self._hunt.reset(np.flatnonzero(~playing).tolist())
        for _, seat in self._seats:
            into[seat.policy].terminated[seat.lanes] = False
            into[seat.policy].truncated[seat.lanes] = ended
        self._over = ended
