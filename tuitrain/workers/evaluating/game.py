"""Playing whole episodes with somebody's actions, in environments of any kind.

For those who act without writing replay: the evaluator, and whoever watches. Every kind of lanes is
driven here once, behind one call per row. Knows nothing of returns, weights or processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.lanes.cycles import CycleLanes, CycleStep, empty_cycle
from tuitrain.envs.lanes.turns import AnyLanes, TurnLanes, TurnRow, empty_row
from tuitrain.envs.lanes.vector import Lanes, LaneStep
from tuitrain.workers.evaluating.history import FrameHistory

Legal = NDArray[np.bool_] | None
Act = Callable[[str, NDArray[Any], Legal], NDArray[np.int64]]
"""Actions of a policy for a stack of frames, among those that are legal."""

Row = LaneStep | TurnRow | CycleStep
"""What one call has brought one policy."""


class Game:
    """What is common to all ways of playing.

    Attributes:
        idle: per policy, bool[lanes]: who makes no transition in the row at hand, since its
            episode is over or it is absent.
    """

    def __init__(self, lanes: AnyLanes, act: Act) -> None:
        self.idle = {n: np.zeros(0, np.bool_) for n in lanes.spec.policies}
        self._act = act
        self._n_envs = lanes.n_envs
        self._histories = {
            name: FrameHistory(policy, lanes.spec.n_frames, lanes.n_envs)
            for name, policy in lanes.spec.policies.items()
        }

    def start(self, seeds: list[int]) -> None:
        """Episodes begin everywhere; one seed per environment."""
        raise NotImplementedError

    def advance(self) -> Mapping[str, Row]:
        """One row: everybody acts, environments whose episode is over begin the next one."""
        raise NotImplementedError

    def everybody_idle(self) -> NDArray[np.bool_]:
        """In which environments nobody makes a transition in the row at hand. bool[n_envs].

        Their episode is over, for an episode's last row is followed by a single one of that kind.
        (Before the first row of a game played in cycles it is so too: none has begun.)
        """
        idle = np.ones(self._n_envs, np.bool_)
        for lanes in self.idle.values():
            idle &= lanes.reshape(self._n_envs, -1).all(1)
        return idle

    def begun(self, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
        """Observations in the row at hand, [lanes, *shape], and where an episode begins with them.

        Who comes later than others does not count: it may see what they have done. None where
        that is so of all, since agents act one after another.
        """
        return None

    def _follow(self, name: str, row: Row) -> None:
        idle = row.terminated | row.truncated
        self.idle[name] = idle if row.absent is None else idle | row.absent


class _Steps(Game):
    """Environments whose agents act together, step by step."""

    def __init__(self, lanes: Lanes, act: Act) -> None:
        super().__init__(lanes, act)
        self._lanes = lanes

    def start(self, seeds: list[int]) -> None:
        """See ``Game.start``."""
        self._seen: dict[str, tuple[NDArray[Any], Legal]] = {}
        self._begun: dict[str, tuple[NDArray[Any], NDArray[np.bool_]]] = {}
        self._over: dict[str, NDArray[np.bool_]] = {}
        for name, first in self._lanes.reset(seeds).items():
            self._seen[name] = self._histories[name].push(first.observation, True), first.legal
            self._begin(name, first, np.ones_like(first.terminated))
            self._follow(name, first)

    def advance(self) -> Mapping[str, LaneStep]:
        """See ``Game.advance``."""
        results = self._lanes.step({n: self._act(n, *seen) for n, seen in self._seen.items()})
        for name, step in results.items():
            # whoever is there in the row after one without a transition begins
            stacked = self._histories[name].push(step.observation, self.idle[name])
            self._seen[name] = stacked, step.legal
            self._begin(name, step, self._over[name])
            self._follow(name, step)
        return results

    def begun(self, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
        """See ``Game.begun``."""
        return self._begun[name]

    def _begin(self, name: str, row: LaneStep, after_end: NDArray[np.bool_]) -> None:
        begins = after_end if row.absent is None else after_end & ~row.absent
        self._begun[name] = row.observation, begins
        self._over[name] = row.terminated | row.truncated


class _Turns(Game):
    """Worlds whose agents take turns, turn by turn."""

    def __init__(self, lanes: TurnLanes, act: Act) -> None:
        super().__init__(lanes, act)
        self._lanes = lanes
        self._rows = {n: empty_row(p, lanes.n_envs) for n, p in lanes.spec.policies.items()}
        self._begins: dict[str, NDArray[np.bool_]] = {}

    def start(self, seeds: list[int]) -> None:
        """See ``Game.start``."""
        self._lanes.reset(seeds)
        for name, row in self._rows.items():
            self._begins[name] = np.ones(len(row.reward), np.bool_)
            self.idle[name] = np.zeros(len(row.reward), np.bool_)

    def advance(self) -> Mapping[str, TurnRow]:
        """See ``Game.advance``; where an episode is over, the turn shows the final world."""
        for name, history in self._histories.items():
            begun = history.begin(self._begins[name])
            self._rows[name] = self._rows[name]._replace(observation=begun)
        self._lanes.turn(self._choose, self._rows)
        for name, row in self._rows.items():
            self._begins[name] = self.idle[name]
            self._follow(name, row)
        return self._rows

    def _choose(self, policy: str, place: int) -> NDArray[np.int64]:
        lanes = slice(place, None, len(self._lanes.spec.policies[policy].agents))
        legal = self._rows[policy].legal
        stacked = self._histories[policy].stack(lanes)
        return self._act(policy, stacked, None if legal is None else legal[lanes])


class _Cycles(Game):
    """Games in which one agent moves at a time, cycle by cycle."""

    def __init__(self, lanes: CycleLanes, act: Act) -> None:
        super().__init__(lanes, act)
        self._lanes = lanes
        self._rows = {n: empty_cycle(p, lanes.n_envs) for n, p in lanes.spec.policies.items()}

    def start(self, seeds: list[int]) -> None:
        """See ``Game.start``; in the first row nobody is there yet."""
        for name, first in self._lanes.reset(seeds).items():
            self._follow(name, first)

    def advance(self) -> Mapping[str, CycleStep]:
        """See ``Game.advance``."""
        for name, history in self._histories.items():
            begun = history.begin(self.idle[name])
            self._rows[name] = self._rows[name]._replace(observation=begun)
        self._lanes.cycle(self._choose, self._rows)
        for name, row in self._rows.items():
            self._follow(name, row)
        return self._rows

    def _choose(self, policy: str, lanes: NDArray[np.int64]) -> NDArray[np.int64]:
        legal = self._rows[policy].legal
        stacked = self._histories[policy].stack(lanes)
        return self._act(policy, stacked, None if legal is None else legal[lanes])


def game_on(lanes: AnyLanes, act: Act) -> Game:
    """What plays on these lanes."""
    if isinstance(lanes, CycleLanes):
        return _Cycles(lanes, act)
    return _Turns(lanes, act) if isinstance(lanes, TurnLanes) else _Steps(lanes, act)
