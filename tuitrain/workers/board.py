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
    "save_request",
    "settings",
)

_PER_ACTOR, _PER_LEARNER = 4, 4

AWAKE, WAITS, WAITS_FOR_ROOM = 0, 1, 2
"""Of an actor: at work; asleep; asleep until the limiter lets it reserve a chunk."""


class Board:
    """Named views into one int64 array.

    Attributes:
        round: number of the round that is open, 0 before the first (written by the first
            learner, which conducts).
        ended: 1 when no further round or chunk will come (first learner).
        round_steps: environment steps committed when the round opened (first learner).
        round_inserts: the same in transitions, per policy (first learner).
        actor_done: last round each actor has committed (that actor).
        eval_request: number of the newest evaluation asked for (first learner); `eval_steps` is
            its step count, and `eval_final` is 1 once it is the run's last.
        eval_taken, eval_done: newest request whose weights the evaluator holds, has evaluated.
        learner_ready: per learner, the round whose windows it has pinned, after it has published
            the weights that the round acts with (that learner).
        learner_ended: per learner, 1 once it has published its last weights (that learner).
        learner_waits: per learner, 1 while it sleeps, so that others ring only then.
        actor_waits: per actor `AWAKE`, or what it sleeps for.
        actor_here: per actor, 1 once its shards hold what it has taken over (that actor).
        save_request: number of the command for which all save at the boundary between two rounds
            (first learner).
        settings: number of the newest change of settings that holds from the open round on (first
            learner).
        actor_saved, learner_saved: the newest of these each has saved for (that worker).
        phases: per worker the word that its ``metrics.phases.Phases`` shows: learners (or the
            trainer), actors, the evaluator (that worker).
    """

    def __init__(
        self, table: NDArray[np.int64], n_policies: int, n_actors: int, n_learners: int = 1
    ) -> None:
        self._table = table
        at = len(_FIXED)
        self.round_inserts = table[at : at + n_policies]
        at += n_policies
        per_actor = table[at : at + _PER_ACTOR * n_actors].reshape(_PER_ACTOR, n_actors)
        self.actor_done, self.actor_waits, self.actor_here, self.actor_saved = per_actor
        at += _PER_ACTOR * n_actors
        per_learner = table[at : at + _PER_LEARNER * n_learners].reshape(_PER_LEARNER, n_learners)
        self.learner_ready, self.learner_ended, self.learner_waits, self.learner_saved = per_learner
        at += _PER_LEARNER * n_learners
        self.phases = table[at : at + n_learners + n_actors + 1]
        self._first_of = {"learner": 0, "trainer": 0, "actor": n_learners}
        self._first_of["evaluator"] = n_learners + n_actors

    @staticmethod
    def size(n_policies: int, n_actors: int, n_learners: int = 1) -> int:
        """Number of int64 the board needs."""
        own = _PER_ACTOR * n_actors + _PER_LEARNER * n_learners
        return len(_FIXED) + n_policies + own + n_learners + n_actors + 1

    def phase_word(self, role: str, index: int) -> memoryview:
        """Where worker `index` of a role shows its phase: one int64."""
        place = self._first_of[role] + index
        return self.phases[place : place + 1].data

    def all_done(self) -> bool:
        """Whether every actor has committed the round that is open."""
        return bool((self.actor_done >= self.round).all())

    def all_here(self) -> bool:
        """Whether every actor has taken over what there was to take over."""
        return bool(self.actor_here.all())

    def all_saved(self) -> bool:
        """Whether all but the first learner have saved for the newest request."""
        request = self.save_request
        return bool((self.actor_saved >= request).all()) and bool(
            (self.learner_saved[1:] >= request).all()
        )

    def others_ready(self, number: int) -> bool:
        """Whether all learners but the first are ready for that round."""
        return bool((self.learner_ready[1:] >= number).all())

    def others_ended(self) -> bool:
        """Whether all learners but the first have published their last weights."""
        return bool(self.learner_ended[1:].all())

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
