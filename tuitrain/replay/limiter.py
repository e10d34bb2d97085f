"""The counts by which acting and learning are held together, shared by all processes of a run.

Actors *reserve* before they step: with several of them, checking first and committing later would
overshoot. A reservation counts as inserted for the actors and as nothing for the learner, until it
is committed or returned. What counts allow is ``limiter_rule``'s; this neither waits nor knows a
clock: whoever must wait asks again when it is woken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from tuitrain.replay.limiter_rule import LimiterRule
from tuitrain.replay.lock import RWLock


class InsertsEnded(Exception):
    """The steps asked for have been made or reserved: there is nothing left to reserve."""


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


# rows of the table; the committed counts are in _COUNTS or in the row after it, ratios that have
# been changed in the two rows from _RATIOS on or in the two after these
_CURRENT, _COUNTS, _BASE, _RATIOS, _ACTORS = 0, 1, 3, 4, 8
_PER_RATIO = 4  # numerator, denominator, and from which transitions and updates on it holds
_ACTIVE, _RETIRED = 0, 1


class Limiter:
    """The counts of a run, shared by all its processes, and the rules they obey.

    Args:
        table: int64 [*table_shape(n_policies, n_actors)] of shared memory, zeros at first.
        rules: one per policy, in the run's policy order; with the ratios that the session began
            with, equal in all processes.
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
        self._given = self.rules = tuple(rules)
        self._seen = 0  # the change of ratios that `rules` follow
        self.total_steps = total_steps
        self.n_actors = n_actors
        self._lock = lock
        self._n = len(rules)
        # Views of plain integers: numpy takes several times as long for one of them.
        width, held = shape[1], 1 + self._n
        words = table.reshape(-1).data
        rows = [words[at : at + width] for at in range(0, len(words), width)]
        # its first words: which row of counts is current, 0 or 1; how often ratios were changed
        self._current = rows[_CURRENT]
        self._counts = rows[_COUNTS], rows[_COUNTS + 1]  # steps, inserts, updates
        self._base = rows[_BASE]  # the same
        self._ratios = tuple(
            words[row * width : row * width + _PER_RATIO * self._n]
            for row in (_RATIOS, _RATIOS + 2)
        )
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

    def set_ratio(self, policy: int, ratio: Fraction, inserts: int, updates: int) -> None:
        """Updates per transition from given counts on; by the creator, before anybody starts.

        Args:
            policy: by index.
            inserts, updates: what the present replay had seen when it began to hold.
        """
        with self._lock.write():
            rules = list(self._rules())
            rules[policy] = rules[policy].at(ratio, inserts, updates)
            self._store_rules(rules)

    def change_ratio(self, policy: int, ratio: Fraction) -> bool:
        """Updates per transition from now on, for everybody; whether it was another.

        What is owed until now stays owed, no more and no less.
        """
        with self._lock.write():
            rules = list(self._rules())
            if rules[policy].updates_per_insert == ratio:
                return False
            inserts = self._counts[self._current[0]][1 + policy]
            rules[policy] = rules[policy].changed(ratio, inserts)
            self._store_rules(rules)
        return True

    def _rules(self) -> tuple[LimiterRule, ...]:
        """The rules that hold now, per policy. A lock is held, or nobody changes them."""
        number = self._current[1]
        if number != self._seen:
            words = self._ratios[number % 2].tolist()
            fields = [words[at : at + _PER_RATIO] for at in range(0, len(words), _PER_RATIO)]
            self.rules = tuple(
                given.at(Fraction(num, den), starts, before)
                for given, (num, den, starts, before) in zip(self._given, fields, strict=True)
            )
            self._seen = number
        return self.rules

    def ratios(self) -> tuple[tuple[Fraction, int, int], ...]:
        """Per policy its ratio, and from which counts on it holds; see ``set_ratio``."""
        with self._lock.read():
            rules = self._rules()
        return tuple(
            (rule.updates_per_insert, rule.learning_starts, rule.updates_before) for rule in rules
        )

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
        for i, rule in enumerate(self._given):
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
            base, rules = self._base.tolist(), self._rules()
            step_base = now[0] + base[0]
            if step_base + held[0] >= self.total_steps:
                raise InsertsEnded(f"all {self.total_steps} steps are made or reserved")
            for i, rule in enumerate(rules, 1):
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
            base_steps, rules = self._base[0], self._rules()
        if now[0] + base_steps + held[0] >= self.total_steps:
            return most
        return min(
            most,
            *(
                rule.chunks_allowed(now[i], held[i], now[i + n], inserts[i - 1])
                for i, rule in enumerate(rules, 1)
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
            now, rule = self._counts[self._current[0]].tolist(), self._rules()[policy]
        return rule.updates_due(now[1 + policy], now[1 + self._n + policy])

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

    def _store_rules(self, rules: Sequence[LimiterRule]) -> None:
        """Let these ratios hold, in one visible step: the store of their number. The write lock is
        held."""
        number, words = self._current[1] + 1, []
        for rule in rules:
            ratio = rule.updates_per_insert
            words += [ratio.numerator, ratio.denominator, rule.learning_starts, rule.updates_before]
        _store(self._ratios[number % 2], words)
        self._current[1] = number

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
