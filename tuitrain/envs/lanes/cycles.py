"""The interface of games that are played in cycles: one agent moves at a time.

What a move brings, and whether it ended the game, its agent learns only when it comes to its turn
again, after the others have answered. A *cycle* goes round the table once: whoever comes to its
turn is told the outcome of its row at hand, sees what its next row observes, and moves at once. So
an outcome and the observation after it come together, as in ``Lanes.step``; but the next row's
action is chosen in the middle of it, which is why ``CycleLanes.cycle`` calls back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.lanes.vector import Copies, LaneStep, empty_step
from tuitrain.envs.spec import PolicySpec

ChooseNext = Callable[[str, NDArray[np.int64]], NDArray[np.int64]]
"""``choose(policy, lanes)``: what the agents of these lanes do in their *next* row, int64[k].

What they see there must have been written.
"""


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
class CycleLanes(Copies, Protocol):
    """Copies of a game: lane = env * len(agents) + place, per policy."""

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
