"""What a world of treasure hunt looks like to a person. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.treasurehunt.world import GEM, WALL

CELL = 32
"""Width and height of a cell in pixels."""

SAND, GRAIN, STONE, JOINT, JEWEL, INK = np.array(
    [
        [236, 222, 190],
        [222, 206, 170],
        [92, 92, 98],
        [74, 74, 80],
        [0, 158, 200],
        [40, 40, 44],
    ],
    np.uint8,
)
AGENTS = np.array(
    [[213, 94, 0], [0, 114, 178], [0, 140, 100], [204, 121, 167], [240, 200, 40]], np.uint8
)
"""Colours of agents, in the order of their turns; more agents begin again (Okabe and Ito 2008)."""

_UP, _ACROSS = np.mgrid[:CELL, :CELL] - (CELL - 1) / 2
_EDGE = (np.arange(CELL) == 0)[:, None] | (np.arange(CELL) == 0)[None, :]
_DIAMOND = np.abs(_UP) + np.abs(_ACROSS) < 0.34 * CELL
_FACET = _DIAMOND & (_UP < -0.06 * CELL)
_DISC = _UP**2 + _ACROSS**2 < (0.36 * CELL) ** 2
_RIM = _DISC & (_UP**2 + _ACROSS**2 > (0.30 * CELL) ** 2)


def picture(cells: NDArray[np.uint8], places: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """One world from above: uint8 [side * CELL, side * CELL, 3].

    Args:
        cells: [side, side], what lies on the agents' layer.
        places: [agents, 2], row and column of each.
    """
    side = len(cells)
    drawn = np.empty((side, side, CELL, CELL, 3), np.uint8)
    sand = np.where(_EDGE[..., None], GRAIN, SAND)
    drawn[:] = sand
    drawn[cells == WALL] = np.where(_EDGE[..., None], JOINT, STONE)
    gem = np.where(_DIAMOND[..., None], JEWEL, sand)
    gem[_FACET] = 255 - (255 - JEWEL) // 2
    drawn[cells == GEM] = gem
    for number, (row, column) in enumerate(places):
        cell = drawn[row, column]
        cell[_DISC] = AGENTS[number % len(AGENTS)]
        cell[_RIM] = INK
    return drawn.swapaxes(1, 2).reshape(side * CELL, side * CELL, 3)
