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

    def chunks_allowed(self, inserts: int, reserved: int, updates: int, n: int) -> int:
        """How many times ``n`` transitions may be reserved, one after the other; see there."""
        ahead = (self._limit + updates * self._den) // self._num
        return max(0, (ahead + self.learning_starts - inserts - reserved) // n)

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


# rows of the table; the committed counts are in _COUNTS or in the row after it
_CURRENT, _COUNTS, _BASE, _ACTORS = 0, 1, 3, 4
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
        if table.shape != shape or table.dtype != np.int64 or not table.flags.c_contiguous:
            raise ValueError(
                f"the limiter of {len(rules)} policies and {n_actors} actors needs a contiguous "
                f"table of {shape} int64, not {table.shape} {table.dtype}"
            )
        self.rules = tuple(rules)
        self.total_steps = total_steps
        self.n_actors = n_actors
        self._lock = lock
        self._n = len(rules)
        # Views of plain integers: numpy takes several times as long for one of them.
        width, held = shape[1], 1 + self._n
        words = table.reshape(-1).data
        rows = [words[at : at + width] for at in range(0, len(words), width)]
        self._current = rows[_CURRENT]  # its first word: which row of counts is current, 0 or 1
        self._counts = rows[_COUNTS], rows[_COUNTS + 1]  # steps, inserts, updates
        self._base = rows[_BASE]  # the same
        self._reservations = [row[:held] for row in rows[_ACTORS:]]  # steps, inserts
        # the same by column, over all actors
        self._held = [words[_ACTORS * width + column :: width] for column in range(held)]
        self._states = words[_ACTORS * width + held :: width]

    @staticmethod
    def table_shape(n_policies: int, n_actors: int) -> tuple[int, int]:
        """Shape of the int64 table."""
        return _ACTORS + n_actors, 1 + 2 * n_policies

    def set_base(self, steps: int, inserts: Sequence[int], updates: Sequence[int]) -> None:
        """Counts of earlier sessions; by the creator of a resumed run, before anybody starts.

        They are part of every total, ticket and of ``total_steps``; the rules do not look at them,
        but at what the present replay has seen.
        """
        self._check(inserts)
        self._check(updates)
        with self._lock.write():
            _store(self._base, [steps, *inserts, *updates])

    def set_counts(self, steps: int, inserts: Sequence[int], updates: Sequence[int]) -> None:
        """Counts that a replay taken over has seen already; by the creator, after ``set_base``."""
        self._check(inserts)
        self._check(updates)
        with self._lock.write():
            _store(self._counts[self._current[0]], [steps, *inserts, *updates])

    def counts(self) -> Totals:
        """What the present replay has seen: all counts without those of ``set_base``."""
        with self._lock.read():
            now = self._counts[self._current[0]].tolist()
            reserved_steps = sum(self._held[0])
        steps, *counts = now
        return Totals(steps, tuple(counts[: self._n]), tuple(counts[self._n :]), reserved_steps)

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
            ValueError: more transitions than ``chunk_inserts``, which might never be allowed.
        """
        self._check(inserts)
        for i, rule in enumerate(self.rules):
            if inserts[i] > rule.chunk_inserts:
                raise ValueError(
                    f"actor {actor} asks for {inserts[i]} transitions of policy {i} at once; its "
                    f"band provides for {rule.chunk_inserts}"
                )
        reservation, n = self._reservations[actor], self._n
        with self._lock.write():
            if any(reservation):
                raise RuntimeError(f"actor {actor} has a reservation already: commit or cancel it")
            now = self._counts[self._current[0]].tolist()
            held = [sum(column) for column in self._held]
            base = self._base.tolist()
            step_base = now[0] + base[0]
            if step_base + held[0] >= self.total_steps:
                raise InsertsEnded(f"all {self.total_steps} steps are made or reserved")
            for i, rule in enumerate(self.rules, 1):
                if not rule.may_insert(now[i], held[i], now[i + n], inserts[i - 1]):
                    return None
            self._states[actor] = _ACTIVE
            _store(reservation, [steps, *inserts])
        return Ticket(step_base, tuple(map(int.__add__, now[1 : 1 + n], base[1 : 1 + n])))

    def room(self, inserts: Sequence[int], most: int) -> int:
        """How many of ``most`` actors that ask for such a chunk would not have to wait now.

        All, if there is nothing left to reserve: they would be told so.

        Args:
            inserts: most transitions a chunk can bring, per policy.
        """
        self._check(inserts)
        n = self._n
        with self._lock.read():
            now = self._counts[self._current[0]].tolist()
            held = [sum(column) for column in self._held]
            base_steps = self._base[0]
        if now[0] + base_steps + held[0] >= self.total_steps:
            return most
        return min(
            most,
            *(
                rule.chunks_allowed(now[i], held[i], now[i + n], inserts[i - 1])
                for i, rule in enumerate(self.rules, 1)
            ),
        )

    def commit(self, actor: int, inserts: Sequence[int], steps: int) -> None:
        """Count what a chunk has brought and return the rest of the reservation.

        To be called when the rows can be read: who dies in between leaves one chunk of rows that
        are sampled and not counted, but never a count without its rows.

        Without a reservation it only counts: schedules with rounds bound their actors otherwise.

        Raises:
            ValueError: more than was reserved, or a negative count.
        """
        self._check(inserts)
        reservation, brought = self._reservations[actor], [steps, *inserts]
        with self._lock.write():
            reserved = reservation.tolist()
            if min(brought) < 0 or (any(reserved) and any(map(int.__gt__, brought, reserved))):
                raise ValueError(
                    f"actor {actor} commits {steps} steps and {list(inserts)} transitions, but "
                    f"reserved {reserved[0]} and {reserved[1:]}"
                )
            self._add(brought)
            # Only now: a death in between counts the chunk once and leaves the reservation to
            # be cancelled, never the other way round.
            _clear(reservation)

    def cancel(self, actor: int) -> None:
        """Return an actor's reservation: it died and will have a successor. Harmless if none."""
        with self._lock.write():
            _clear(self._reservations[actor])

    def retire(self, actor: int) -> None:
        """The actor has finished, or died without a successor: its reservation is returned.

        A later ``reserve`` by the same index takes it back in.
        """
        with self._lock.write():
            _clear(self._reservations[actor])
            self._states[actor] = _RETIRED

    def updates_due(self, policy: int) -> int:
        """Updates that the learner of a policy (by index) may make now."""
        with self._lock.read():
            now = self._counts[self._current[0]].tolist()
        return self.rules[policy].updates_due(now[1 + policy], now[1 + self._n + policy])

    def add_updates(self, policy: int, n: int) -> None:
        """Count updates made. Raises ``ValueError`` if ``n`` is negative."""
        if n < 0:
            raise ValueError(f"{n} updates cannot be added")
        with self._lock.write():
            self._add([n], at=1 + self._n + policy)

    def totals(self) -> Totals:
        """All counts at one moment."""
        with self._lock.read():
            now = self._counts[self._current[0]].tolist()
            base, reserved_steps = self._base.tolist(), sum(self._held[0])
        steps, *counts = map(int.__add__, now, base)
        return Totals(steps, tuple(counts[: self._n]), tuple(counts[self._n :]), reserved_steps)

    def ended(self) -> bool:
        """No transition will come any more: all steps are committed, or every actor has retired."""
        with self._lock.read():
            if all(self._states):
                return True
            steps = self._counts[self._current[0]][0] + self._base[0]
            return steps >= self.total_steps and not any(map(any, self._held))

    def _add(self, amounts: Sequence[int], at: int = 0) -> None:
        """Add to the committed counts from column ``at`` on, in one visible step: the store of
        ``current``, an aligned word. The write lock is held."""
        current = self._current[0]
        counts = self._counts[current].tolist()
        for column, amount in enumerate(amounts, at):
            counts[column] += amount
        _store(self._counts[1 - current], counts)
        self._current[0] = 1 - current

    def _check(self, counts: Sequence[int]) -> None:
        if len(counts) != self._n:
            raise ValueError(f"{len(counts)} counts given for {self._n} policies")

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Limiter cannot be pickled: attach its segment in the other process and build "
            "Limiter(table, rules, lock, total_steps, n_actors) there"
        )


def _store(words: memoryview, values: Sequence[int]) -> None:
    for i, value in enumerate(values):
        words[i] = value


def _clear(words: memoryview) -> None:
    for i in range(len(words)):
        words[i] = 0
