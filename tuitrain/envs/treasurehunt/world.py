"""Treasure hunt: agents take turns on a grid in which gems appear, many worlds at once in numpy.

The task of the multi-agent system that this project descends from. A square grid is walled in; in
every turn each empty cell becomes a gem with a small probability, then the agents move one after
another, later ones seeing what earlier ones did. Walking onto a gem takes it (+10), into a wall
costs 1, and an epoch is cut after a fixed number of turns.

Every world has a random stream of its own, so what happens in it does not depend on how many are
played together. Knows nothing of replay or networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

EMPTY, WALL, GEM, AGENT, OUTSIDE = range(5)
"""What lies on the agents' layer of a cell (OUTSIDE: there is no cell)."""

CHANNELS = ("empty", "wall", "sand", "gem", "agent")
"""Of an observation: how many of each lie on the cell, both layers together."""

# Per kind of cell, both layers together. Below the interior lies sand, below the border a wall; an
# empty place has no appearance. A view past the border sees one wall.
_APPEARANCE = np.array(
    [[0, 0, 1, 0, 0], [0, 2, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 0, 1], [0, 1, 0, 0, 0]], np.uint8
)
_VALUE = np.array([0.0, -1.0, 10.0, 0.0, -1.0], np.float32)
_MOVES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], np.int64)  # up, down, left, right

N_ACTIONS = len(_MOVES)


class WorldState(NamedTuple):
    """Everything that a world's future depends on, besides its settings.

    Attributes:
        cells: uint8 [worlds, side, side], without the margin.
        places: int64 [worlds, agents, 2], row and column of each agent.
        turn: int64 [worlds], turns that have been played to their end.
        random: one generator state per world.
    """

    cells: NDArray[np.uint8]
    places: Int
    turn: Int
    random: list[dict[str, Any]]


class TreasureHunt:
    """So many worlds, played together turn by turn.

    A turn is ``begin_turn``, then ``look`` and ``move`` for each agent in order, then ``end_turn``.

    Args:
        worlds: how many.
        side: cells along one side, the wall included.
        agents: per world.
        gem_chance: probability that an empty cell becomes a gem, per turn.
        turns: of an epoch.
        radius: cells that an agent sees in each direction.

    Raises:
        ValueError: a setting is out of range, or there is no room for the agents.
    """

    def __init__(
        self,
        worlds: int,
        *,
        side: int = 10,
        agents: int = 5,
        gem_chance: float = 0.02,
        turns: int = 50,
        radius: int = 2,
    ) -> None:
        if side < 3 or not 1 <= agents <= (side - 2) ** 2:
            raise ValueError(f"{agents} agents do not fit into a walled grid of side {side}")
        if worlds < 1 or turns < 1 or radius < 0 or not 0.0 <= gem_chance <= 1.0:
            raise ValueError(
                f"{worlds} worlds of {turns} turns, radius {radius}, gem_chance {gem_chance}: out "
                "of range"
            )
        self.worlds, self.side, self.agents = worlds, side, agents
        self.gem_chance, self.turns, self.radius = gem_chance, turns, radius
        self.turn = np.zeros(worlds, np.int64)
        # A margin as wide as the view, so that every window lies inside the array.
        self._full = np.full((worlds, side + 2 * radius, side + 2 * radius), OUTSIDE, np.uint8)
        self._cells = self._full[:, radius : radius + side, radius : radius + side]
        self._interior = self._cells[:, 1:-1, 1:-1]
        self._places = np.zeros((worlds, agents, 2), np.int64)
        self._random = [np.random.default_rng(0) for _ in range(worlds)]
        self._world = np.arange(worlds)
        offsets = np.arange(2 * radius + 1)
        self._window = offsets[:, None] * self._full.shape[2] + offsets
        self._flat = self._full.reshape(-1)

    @property
    def view_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of an observation."""
        return len(CHANNELS), 2 * self.radius + 1, 2 * self.radius + 1

    def seed(self, world: int, seed: int) -> None:
        """Give a world a random stream of its own."""
        self._random[world] = np.random.default_rng(seed)

    def reset(self, worlds: Sequence[int]) -> None:
        """Start a new epoch in these worlds: no gems, agents on distinct random cells."""
        inner = self.side - 2
        for world in worlds:
            self._cells[world] = WALL
            self._interior[world] = EMPTY
            chosen = self._random[world].choice(inner * inner, self.agents, replace=False)
            self._places[world, :, 0], self._places[world, :, 1] = np.divmod(chosen, inner)
            self._places[world] += 1
            rows, columns = self._places[world].T
            self._cells[world, rows, columns] = AGENT
            self.turn[world] = 0

    def begin_turn(self, playing: NDArray[np.bool_] | None = None) -> None:
        """Gems appear on empty cells.

        Args:
            playing: bool [worlds], those that take part; None is all.
        """
        shape = self._interior.shape[1:]
        for world in self._world if playing is None else np.flatnonzero(playing):
            appears = self._random[world].random(shape) < self.gem_chance
            interior = self._interior[world]
            interior[appears & (interior == EMPTY)] = GEM

    def look(self, agent: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """What an agent sees around it now: uint8 [worlds, channels, rows, columns].

        Args:
            out: where to write it.
        """
        places = self._places[:, agent]
        # The window's corner has the place's own numbers: the margin is as wide as the radius.
        corner = (self._world * self._full.shape[1] + places[:, 0]) * self._full.shape[2]
        corner += places[:, 1]
        kinds = self._flat.take(corner[:, None, None] + self._window)
        seen = _APPEARANCE.take(kinds, axis=0).transpose(0, 3, 1, 2)
        if out is None:
            return np.ascontiguousarray(seen)
        out[:] = seen
        return out

    def move(
        self,
        agent: int,
        actions: NDArray[np.integer[Any]],
        playing: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """An agent steps up, down, left or right; its rewards, float32 [worlds].

        The reward is the value of what lies where it wants to go. It goes there if that is empty or
        a gem, which it takes.

        Args:
            actions: [worlds], 0 to 3.
            playing: bool [worlds], those that take part; None is all. The others get 0.
        """
        places = self._places[:, agent]
        goal = places + _MOVES[actions]
        world, rows, columns = self._world, goal[:, 0], goal[:, 1]
        kinds = self._cells[world, rows, columns]
        reward: NDArray[np.float32] = _VALUE[kinds]
        goes = (kinds == EMPTY) | (kinds == GEM)
        if playing is not None:
            goes &= playing
            reward = np.where(playing, reward, np.float32(0))
        moved = world[goes]
        self._cells[moved, places[goes, 0], places[goes, 1]] = EMPTY
        self._cells[moved, rows[goes], columns[goes]] = AGENT
        self._places[goes, agent] = goal[goes]
        return reward

    def end_turn(self, playing: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Count the turn; which worlds' epochs have come to their end: bool [worlds]."""
        self.turn += 1 if playing is None else playing
        return self.turn >= self.turns

    def state(self) -> WorldState:
        """A copy of everything that changes."""
        return WorldState(
            self._cells.copy(),
            self._places.copy(),
            self.turn.copy(),
            [dict(rng.bit_generator.state) for rng in self._random],
        )

    def load(self, state: WorldState) -> None:
        """Go on from a state of worlds with the same settings.

        Raises:
            ValueError: it belongs to other settings.
        """
        mine = self.state()
        if state.cells.shape != mine.cells.shape or state.places.shape != mine.places.shape:
            raise ValueError(
                f"the state is of {state.cells.shape} cells and {state.places.shape} places, this "
                f"world has {mine.cells.shape} and {mine.places.shape}"
            )
        self._cells[:] = state.cells
        self._places[:] = state.places
        self.turn[:] = state.turn
        for rng, saved in zip(self._random, state.random, strict=True):
            rng.bit_generator.state = saved
