"""How far acting and learning may run apart, and who may go on.

The two-sided rule of Reverb's rate limiter (Cassirer et al. 2021) on committed transitions: with
``lead = (inserts - learning_starts) * updates_per_insert - updates``, actors may insert while the
lead stays at most ``max_lead_updates``, and an update is due while it is at least 0, the first one
as soon as ``learning_starts`` transitions are there. So the learner is never more than one update
ahead of the data, and the actors never more than the band ahead of the learner; the ratio of
updates to transitions is off by at most the band, whoever is slow. All arithmetic is on integers
and fractions: equal counts give equal decisions.

Actors *reserve* before they step: with several of them, checking first and committing later would
overshoot. A reservation counts as inserted for the actors and as nothing for the learner, until it
is committed or returned. ``LimiterRule`` is the pure rule, ``Limiter`` the shared counts. Neither
waits nor knows a clock; whoever must wait asks again when it is woken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from tuitrain.replay.lock import RWLock


class InsertsEnded(Exception):
    """The steps asked for have been made or reserved: there is nothing left to reserve."""


@dataclass(frozen=True)
class LimiterRule:
    """The band of one policy.

    Attributes:
        updates_per_insert: asked updates per transition.
        learning_starts: transitions before the first update.
        max_lead_updates: updates by which the actors may be ahead.
        chunk_inserts: transitions of one chunk of every actor together (what may be reserved at
            one time).

    Raises:
        ValueError: a value is out of range, or the band is so narrow that actors and learner
            could wait for each other for ever: while no update is due the lead is below 1, and then
            every actor must be able to reserve, so the band must be at least
            1 + ``chunk_inserts`` * ``updates_per_insert``.
    """

    updates_per_insert: Fraction
    learning_starts: int
    max_lead_updates: Fraction
    chunk_inserts: int
    _num: int = field(init=False, repr=False, compare=False)
    _den: int = field(init=False, repr=False, compare=False)
    _limit: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ratio, lead = Fraction(self.updates_per_insert), Fraction(self.max_lead_updates)
        if ratio <= 0 or self.learning_starts < 0 or self.chunk_inserts < 1:
            raise ValueError(
                f"updates per insert ({ratio}) and chunk inserts ({self.chunk_inserts}) must be "
                f"positive and learning_starts ({self.learning_starts}) not negative"
            )
        least = 1 + self.chunk_inserts * ratio
        if lead < least:
            raise ValueError(
                f"actors may lead by {float(lead):g} updates, but need {float(least):g}: one chunk "
                f"of all actors is {self.chunk_inserts} transitions at {float(ratio):g} updates "
                "each, and with less they and the learner could wait for each other for ever; "
                "raise replay.max_lead or lower actors.chunk_steps"
            )
        # lead <= max_lead, both times the denominator: integers from here on.
        object.__setattr__(self, "_num", ratio.numerator)
        object.__setattr__(self, "_den", ratio.denominator)
        object.__setattr__(self, "_limit", math.floor(lead * ratio.denominator))

    def may_insert(self, inserts: int, reserved: int, updates: int, n: int) -> bool:
        """Whether ``n`` more transitions may be reserved.

        Args:
            inserts: committed transitions.
            reserved: transitions reserved and not yet committed, all actors.
            updates: updates made.
            n: transitions asked for.
        """
        ahead = inserts + reserved + n - self.learning_starts
        return ahead * self._num - updates * self._den <= self._limit

    def updates_due(self, inserts: int, updates: int) -> int:
        """Updates that may be made now; 0 before ``learning_starts``, 1 right then."""
        ahead = inserts - self.learning_starts
        if ahead < 0 or inserts == 0:
            return 0
        return max(0, ahead * self._num // self._den + 1 - updates)


@dataclass(frozen=True)
class Ticket:
    """Counts committed when a reservation was made, those of earlier sessions included.

    Attributes:
        step_base: environment steps.
        stamp_base: transitions per policy.
    """

    step_base: int
    stamp_base: tuple[int, ...]


class Totals(NamedTuple):
    """Counts at one moment, those of earlier sessions included (but ``reserved_steps``).

    Attributes:
        steps: environment steps committed.
        inserts: transitions committed, per policy.
        updates: updates made, per policy.
        reserved_steps: environment steps reserved and not yet committed.
    """

    steps: int
    inserts: tuple[int, ...]
    updates: tuple[int, ...]
    reserved_steps: int


_CONTROL, _BASE, _ACTORS = 0, 3, 4  # rows of the table; 1 and 2 are the committed counts, in turn
_STEPS, _STATE, _COUNTS = 0, 1, 2  # columns
_ACTIVE, _RETIRED = 0, 1


class Limiter:
    """The counts of a run, shared by all its processes, and the rules they obey.

    Args:
        table: int64 [*table_shape(n_policies, n_actors)] of shared memory, zeros at first.
        rules: one per policy, in the run's policy order.
        lock: guards the table.
        total_steps: environment steps after which nothing more can be reserved.
        n_actors: number of actors.

    The committed counts live in two rows of the table that are used in turn; one store of an
    index makes the other current. A process killed anywhere in an update leaves the counts as
    they were before it or as they are after it.
    """

    def __init__(
        self,
        table: npt.NDArray[np.int64],
        rules: Sequence[LimiterRule],
        lock: RWLock,
        total_steps: int,
        n_actors: int,
    ) -> None:
        shape = self.table_shape(len(rules), n_actors)
        if table.shape != shape or table.dtype != np.int64:
            raise ValueError(
                f"the limiter of {len(rules)} policies and {n_actors} actors needs a table of "
                f"{shape} int64, not {table.shape} {table.dtype}"
            )
        self.rules = tuple(rules)
        self.total_steps = total_steps
        self.n_actors = n_actors
        self._table = table
        self._lock = lock
        self._n = len(rules)
        self._inserts = slice(_COUNTS, _COUNTS + self._n)
        self._updates = slice(_COUNTS + self._n, _COUNTS + 2 * self._n)

    @staticmethod
    def table_shape(n_policies: int, n_actors: int) -> tuple[int, int]:
        """Shape of the int64 table."""
        return _ACTORS + n_actors, _COUNTS + 2 * n_policies

    def set_base(self, steps: int, inserts: Sequence[int], updates: Sequence[int]) -> None:
        """Counts of earlier sessions; by the creator of a resumed run, before anybody starts.

        They are part of every total, ticket and of ``total_steps``; the rules look at this
        session alone, whose replay begins empty.
        """
        self._check(inserts)
        self._check(updates)
        with self._lock.write():
            self._table[_BASE] = [steps, 0, *inserts, *updates]

    def reserve(self, actor: int, inserts: Sequence[int], steps: int) -> Ticket | None:
        """Reserve for a chunk; all policies at once, and only if every rule allows it.

        Args:
            actor: index of the actor; it may have one reservation at a time.
            inserts: most transitions the chunk can bring, per policy.
            steps: most environment steps it can bring.

        Returns:
            None if the actor must wait: some policy's learner is too far behind.

        Raises:
            InsertsEnded: committed and reserved steps reach ``total_steps``. The actor should
                ``retire``; should a reserved chunk fail to be made, the run ends that much short
                unless that actor's successor makes it.
            RuntimeError: the actor has a reservation already.
        """
        self._check(inserts)
        line = _ACTORS + actor
        with self._lock.write():
            rows = self._table.tolist()
            if rows[line][_STEPS] or any(rows[line][self._inserts]):
                raise RuntimeError(f"actor {actor} has a reservation already: commit or cancel it")
            now, base = rows[1 + rows[_CONTROL][0]], rows[_BASE]
            reserved = [sum(column) for column in zip(*rows[_ACTORS:], strict=True)]
            step_base = now[_STEPS] + base[_STEPS]
            if step_base + reserved[_STEPS] >= self.total_steps:
                raise InsertsEnded(f"all {self.total_steps} steps are made or reserved")
            for i, rule in enumerate(self.rules, _COUNTS):
                if not rule.may_insert(now[i], reserved[i], now[i + self._n], inserts[i - _COUNTS]):
                    return None
            self._table[line, : _COUNTS + self._n] = [steps, _ACTIVE, *inserts]
        stamps = zip(now[self._inserts], base[self._inserts], strict=True)
        return Ticket(step_base, tuple(a + b for a, b in stamps))

    def commit(self, actor: int, inserts: Sequence[int], steps: int) -> None:
        """Count what a chunk has brought and return the rest of the reservation.

        Without a reservation it only counts: schedules with rounds bound their actors otherwise.

        Raises:
            ValueError: more than was reserved, or a negative count.
        """
        self._check(inserts)
        line = _ACTORS + actor
        with self._lock.write():
            held = self._table[line].tolist()
            given = [steps, 0, *inserts]
            reserved = [held[_STEPS], 0, *held[self._inserts]]
            if min(given) < 0 or (any(reserved) and any(map(int.__gt__, given, reserved))):
                raise ValueError(
                    f"actor {actor} commits {steps} steps and {list(inserts)} transitions, but "
                    f"reserved {reserved[_STEPS]} and {reserved[_COUNTS:]}"
                )
            self._add([*given, *[0] * self._n])
            # Only now: a death in between counts the chunk once and leaves the reservation to
            # be cancelled, never the other way round.
            self._table[line, : _COUNTS + self._n] = 0

    def cancel(self, actor: int) -> None:
        """Return an actor's reservation: it died and will have a successor. Harmless if none."""
        with self._lock.write():
            self._table[_ACTORS + actor, : _COUNTS + self._n] = 0

    def retire(self, actor: int) -> None:
        """The actor has finished, or died without a successor: its reservation is returned.

        A later ``reserve`` by the same index takes it back in.
        """
        with self._lock.write():
            self._table[_ACTORS + actor, : _COUNTS + self._n] = [0, _RETIRED, *[0] * self._n]

    def updates_due(self, policy: int) -> int:
        """Updates that the learner of a policy (by index) may make now."""
        with self._lock.read():
            now = self._table[1 + self._table[_CONTROL, 0]].tolist()
        return self.rules[policy].updates_due(
            now[_COUNTS + policy], now[_COUNTS + self._n + policy]
        )

    def add_updates(self, policy: int, n: int) -> None:
        """Count updates made. Raises ``ValueError`` if ``n`` is negative."""
        if n < 0:
            raise ValueError(f"{n} updates cannot be added")
        added = [0] * (_COUNTS + 2 * self._n)
        added[_COUNTS + self._n + policy] = n
        with self._lock.write():
            self._add(added)

    def totals(self) -> Totals:
        """All counts at one moment."""
        with self._lock.read():
            rows = self._table.tolist()
        now = [a + b for a, b in zip(rows[1 + rows[_CONTROL][0]], rows[_BASE], strict=True)]
        reserved = sum(row[_STEPS] for row in rows[_ACTORS:])
        return Totals(now[_STEPS], tuple(now[self._inserts]), tuple(now[self._updates]), reserved)

    def ended(self) -> bool:
        """No transition will come any more: all steps are committed, or every actor has retired."""
        with self._lock.read():
            rows = self._table.tolist()
        actors = rows[_ACTORS:]
        if all(row[_STATE] == _RETIRED for row in actors):
            return True
        steps = rows[1 + rows[_CONTROL][0]][_STEPS] + rows[_BASE][_STEPS]
        outstanding = any(row[_STEPS] or any(row[self._inserts]) for row in actors)
        return not outstanding and steps >= self.total_steps

    def _add(self, amounts: list[int]) -> None:
        """Add to the committed counts in one visible step. The write lock is held."""
        current = int(self._table[_CONTROL, 0])
        self._table[2 - current] = self._table[1 + current] + amounts
        self._table[_CONTROL, 0] = 1 - current

    def _check(self, counts: Sequence[int]) -> None:
        if len(counts) != self._n:
            raise ValueError(f"{len(counts)} counts given for {self._n} policies")

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Limiter cannot be pickled: attach its segment in the other process and build "
            "Limiter(table, rules, lock, total_steps, n_actors) there"
        )
