"""The run's notice board: a few shared integers by which schedules take turns.

Each field has a single writer and is an aligned int64, so a store is one instruction; whoever has
written rings the doorbells of those who may wait for it, and a waiter looks again after every ring.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FIXED = (
    "round",
    "ended",
    "round_steps",
    "eval_request",
    "eval_steps",
    "eval_final",
    "eval_taken",
    "eval_done",
    "learner_waits",
)

AWAKE, WAITS, WAITS_FOR_ROOM = 0, 1, 2
"""Of an actor: at work; asleep; asleep until the limiter lets it reserve a chunk."""


class Board:
    """Named views into one int64 array.

    Attributes:
        round: number of the round that is open, 0 before the first (written by the learner).
        ended: 1 when no further round or chunk will come (learner).
        round_steps: environment steps committed when the round opened (learner).
        round_inserts: the same in transitions, per policy (learner).
        actor_done: last round each actor has committed (that actor).
        eval_request: number of the newest evaluation asked for (learner); `eval_steps` is its
            step count, and `eval_final` is 1 once it is the run's last.
        eval_taken, eval_done: newest request whose weights the evaluator holds, has evaluated.
        learner_waits: 1 while the learner sleeps, so that others ring only then.
        actor_waits: per actor `AWAKE`, or what it sleeps for.
    """

    def __init__(self, table: NDArray[np.int64], n_policies: int, n_actors: int) -> None:
        self._table = table
        at = len(_FIXED)
        self.round_inserts = table[at : at + n_policies]
        at += n_policies
        self.actor_done = table[at : at + n_actors]
        at += n_actors
        self.actor_waits = table[at : at + n_actors]

    @staticmethod
    def size(n_policies: int, n_actors: int) -> int:
        """Number of int64 the board needs."""
        return len(_FIXED) + n_policies + 2 * n_actors

    def all_done(self) -> bool:
        """Whether every actor has committed the round that is open."""
        return bool((self.actor_done >= self.round).all())

    def __getattr__(self, name: str) -> Any:
        try:
            return int(self._table[_FIXED.index(name)])
        except ValueError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED:
            self._table[_FIXED.index(name)] = value
        else:
            object.__setattr__(self, name, value)
