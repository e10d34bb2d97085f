"""The writing side of one shard: rows go in whole or not at all.

A shard publishes ``tail`` (oldest readable row) and ``head`` (first row that is not readable).
``begin`` moves the tail past every slot that is about to be overwritten, then rows are copied with
no lock held, then ``commit`` moves the head; both moves are made under the shard's write lock. A
writer that dies in between leaves nothing half-visible. The tail never passes a row that a reader
has pinned. Knows nothing of what is sampled, or of who waits for whom.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tuitrain.replay.audit_trail import AuditTrail
from tuitrain.replay.layout import (
    CUT,
    HEADER_HEAD,
    HEADER_INCARNATION,
    HEADER_TAIL,
    MAX_AGE,
    Columns,
    ReplayDamaged,
    check_header,
)
from tuitrain.replay.lock import RWLock
from tuitrain.replay.seen import tell_lock
from tuitrain.replay.window import Ring

Wait = Callable[[Callable[[], bool], str], None]
"""``wait(predicate, reason)`` returns when ``predicate()`` is true; ``reason`` is for users."""

_REWARD = np.dtype(np.float32)
_BOOL = np.dtype(np.bool_)


class RowRefused(ValueError):
    """What was to be written is not what the spec says; the text shows both."""


class ShardBlocked(RuntimeError):
    """A reader pins rows that are to be overwritten, and the caller gave no way to wait."""


class ShardTaken(RuntimeError):
    """Another writer has been made for the shard: this one was taken for dead."""


class ShardWriter:
    """The one writer of a shard. A row is its observation, its marks, and later its outcome.

    The observation of a row is written before its action is known: the row at ``head`` is
    *pending*. So ``begin(L)`` reserves L + 1 slots, and the last of them stays pending after the
    commit of the L rows before it.

    A writer made for a shard that has rows is the successor of one that died: it goes on at
    ``head`` (what its predecessor had not committed is written over) and must begin with the
    first observations of new episodes: ``put_observation`` for the first row.

    Attributes:
        columns, ring, shard: where the rows lie, for ``window.gather_stack``.
        trail: takes an audit entry of a row, which can be seen when the row can.
        observation_shape, observation_dtype: what one lane's observation must be.
    """

    def __init__(
        self,
        columns: Columns,
        shard: int,
        lock: RWLock,
        *,
        agents: tuple[str, ...] = (),
    ) -> None:
        shards, rows, lanes, *shape = columns.observation.shape
        if not 0 <= shard < shards:
            raise ValueError(f"there is no shard {shard} among {shards}")
        self.columns = columns
        self.shard = shard
        self.ring = Ring(rows, lanes, shards)
        self.observation_shape = tuple(shape)
        self.observation_dtype: np.dtype[Any] = columns.observation.dtype
        self.trail = AuditTrail(columns, shard)
        self._agents = agents
        self._lock = lock
        self._header = columns.header[shard]
        self._pins = columns.pins[shard]
        self._version = columns.version[shard]
        self._stamp = columns.stamp[shard]
        self._observation = columns.observation[shard]
        self._legal = None if columns.legal is None else columns.legal[shard]
        self._action = columns.action[shard]
        self._reward = columns.reward[shard]
        self._terminated = columns.terminated[shard]
        self._truncated = columns.truncated[shard]
        self._age = columns.age[shard]
        self._flags = columns.flags[shard]
        self._rows, self._lanes_shape, self._row_shape = rows, (lanes,), (lanes, *shape)
        with lock.write():
            self._header[HEADER_INCARNATION] += 1
            self._incarnation = int(self._header[HEADER_INCARNATION])
        check_header(shard, self.tail, self.head, rows)
        self._head = self.head
        self._reserved_to = self._head  # last slot that may be written, the pending row's
        # Rows are here already, so another writer made them and is dead. The first row of this
        # one continues no episode of the other's, and is marked whether or not the caller does.
        self._cut_at = self._head if self._head else -1

    @property
    def first(self) -> bool:
        """Whether no writer has been made for the shard before."""
        return self._incarnation == 1

    @property
    def head(self) -> int:
        """First row that is not committed."""
        return int(self._header[HEADER_HEAD])

    @property
    def tail(self) -> int:
        """Oldest row that may be read."""
        return int(self._header[HEADER_TAIL])

    def begin(self, rows: int, wait: Wait | None = None) -> None:
        """Reserve the slots of the next ``rows`` rows and of the pending row after them.

        Rows that lie there now stop being readable first. If a reader has pinned one of them,
        ``wait`` is called with a predicate that turns true when it is released.

        Raises:
            ShardBlocked: a pin is in the way and ``wait`` is None.
            ShardTaken: there is another writer by now.
            ReplayDamaged: the head is not where this writer has left it.
            ValueError: ``rows`` is not positive or does not fit in the ring.
        """
        if not 1 <= rows < self._rows:
            raise ValueError(f"{rows} rows cannot be reserved in a ring of {self._rows}")
        self._refuse_a_second()
        if self.head != self._head:
            raise ReplayDamaged(
                f"the head of shard {self.shard} is row {self.head}, but its writer left it at "
                f"{self._head}: shared memory is damaged"
            )
        last = self._head + rows
        tail = last + 1 - self._rows
        while not self._move_tail(tail):
            reason = (
                f"the reader of shard {self.shard} to release row {self._oldest_pin()}: rows "
                f"before {tail} are to be overwritten"
            )
            if wait is None:
                raise ShardBlocked(f"nobody may wait here for {reason}")
            wait(lambda: self._unpinned(tail), reason)
        self._reserved_to = last

    def observations(self, row: int, rows: int) -> list[npt.NDArray[Any]]:
        """Where the observations of ``rows`` reserved rows from ``row`` on lie, to be filled there.

        Each is [lanes, *observation_shape] in ``observation_dtype``, and its own memory until the
        row after the next ``begin`` is overwritten.

        Raises:
            RowRefused: a row is not reserved.
        """
        self._check(row, rows, self._reserved_to)
        return [self._observation[r % self._rows] for r in range(row, row + rows)]

    def legal(self, row: int, rows: int) -> Sequence[npt.NDArray[np.bool_] | None]:
        """Where it is to be filled in what can be done in ``rows`` reserved rows from ``row`` on.

        Each is [lanes, n_actions], and lives as long as an observation; None, for every row, if
        the policy is not masked.

        Raises:
            RowRefused: a row is not reserved.
        """
        self._check(row, rows, self._reserved_to)
        if self._legal is None:
            return [None] * rows
        return [self._legal[r % self._rows] for r in range(row, row + rows)]

    def put_legal(self, row: int, legal: npt.NDArray[np.bool_]) -> None:
        """Write which actions are legal in a reserved row of a masked policy.

        Args:
            legal: bool [lanes, n_actions]; in no lane all False.

        Raises:
            RowRefused: another shape or dtype, a row that is not reserved, or no such column.
        """
        if self._legal is None:
            raise RowRefused(
                f"legal actions for shard {self.shard}: the spec says that the policy is not "
                "masked, so its replay has no column for them"
            )
        shape = self._legal.shape[1:]
        if legal.shape != shape or legal.dtype != _BOOL:
            raise self._refused("legal", legal, shape, _BOOL)
        self._check(row, 1, self._reserved_to)
        self._legal[row % self._rows] = legal

    def put_observation(
        self,
        row: int,
        observation: npt.NDArray[Any],
        age: npt.NDArray[np.integer[Any]],
        flags: npt.NDArray[np.uint8] | int,
    ) -> None:
        """Write what is known of a row before its action is chosen.

        Args:
            row: a reserved row, the pending one at ``head`` + rows included.
            observation: [lanes, *observation_shape] in ``observation_dtype``.
            age: integers [lanes], steps since the episode began; saturates.
            flags: uint8 [lanes] or one for all lanes, see ``put_marks``.

        Raises:
            RowRefused: another shape or dtype, or a row that is not reserved.
        """
        if observation.shape != self._row_shape or observation.dtype != self.observation_dtype:
            raise self._refused("observation", observation, self._row_shape, self.observation_dtype)
        if age.shape != self._lanes_shape:
            raise self._refused("age", age, self._lanes_shape, self._age.dtype)
        self._check(row, 1, self._reserved_to)
        self._observation[row % self._rows] = observation
        self.put_marks(row, age, flags)

    def put_marks(
        self,
        row: int,
        age: npt.NDArray[np.integer[Any]],
        flags: npt.NDArray[np.integer[Any]] | int,
    ) -> None:
        """Write what else is known of a row, or of k rows, besides the observation.

        Args:
            row: the (first) reserved row, the pending one at ``head`` + rows included.
            age: integers [lanes] or [k, lanes], steps since the episode began; saturates.
            flags: of the same shape or one for all, see ``layout``. CUT is added to the first row
                of a writer that finds rows in its shard.

        Raises:
            RowRefused: another shape, or a row that is not reserved.
        """
        rows = len(age) if age.ndim == 2 else 1
        if age.shape[-1:] != self._lanes_shape or age.ndim > 2:
            raise self._refused("age", age, self._lanes_shape, self._age.dtype)
        self._check(row, rows, self._reserved_to)
        at = self._slots(row, rows, age.ndim)
        self._age[at] = np.minimum(age, MAX_AGE)
        self._flags[at] = flags
        if row <= self._cut_at < row + rows:
            self._flags[self._cut_at % self._rows] |= CUT

    def add_flags(self, row: int, flags: npt.NDArray[np.uint8]) -> None:
        """Add to the marks of k rows from ``row`` on, which must have been written.

        Args:
            row: the first one, reserved; the pending one at ``head`` + rows may be the last.
            flags: uint8 [k, lanes], see ``layout``.

        Raises:
            RowRefused: another shape or dtype, or a row that is not reserved.
        """
        if flags.shape[1:] != self._lanes_shape or flags.dtype != self._flags.dtype:
            raise self._refused("flags", flags, self._lanes_shape, self._flags.dtype)
        self._check(row, len(flags), self._reserved_to)
        self._flags[self._slots(row, len(flags), flags.ndim)] |= flags

    def put_outcome(
        self,
        row: int,
        action: npt.NDArray[np.integer[Any]],
        reward: npt.NDArray[np.float32],
        terminated: npt.NDArray[np.bool_],
        truncated: npt.NDArray[np.bool_],
        version: int | npt.NDArray[np.int64],
        stamp: int | npt.NDArray[np.int64],
    ) -> None:
        """Write what is known of a row, or of k rows, after the step; observations come first.

        Args:
            row: the (first) reserved row, not the last.
            action: integers [lanes] or [k, lanes], as the next three.
            reward: float32.
            terminated: bool.
            truncated: bool.
            version: weights version the action was chosen with; one or [k].
            stamp: policy-wide count of inserts when the row was made; must not fall. One or [k].

        Raises:
            RowRefused: another shape or dtype, or a row that is not reserved.
        """
        rows = len(action) if action.ndim == 2 else 1
        shape = (rows, *self._lanes_shape) if action.ndim == 2 else self._lanes_shape
        if action.shape != shape or action.dtype.kind not in "iu":
            raise self._refused("action", action, self._lanes_shape, self._action.dtype)
        if reward.shape != shape or reward.dtype != _REWARD:
            raise self._refused("reward", reward, self._lanes_shape, _REWARD)
        if terminated.shape != shape or terminated.dtype != _BOOL:
            raise self._refused("terminated", terminated, self._lanes_shape, _BOOL)
        if truncated.shape != shape or truncated.dtype != _BOOL:
            raise self._refused("truncated", truncated, self._lanes_shape, _BOOL)
        self._check(row, rows, self._reserved_to - 1)
        at = self._slots(row, rows, action.ndim)
        self._action[at] = action
        self._reward[at] = reward
        self._terminated[at] = terminated
        self._truncated[at] = truncated
        self._version[at] = version
        self._stamp[at] = stamp

    def commit(self, head: int) -> None:
        """Make all rows before ``head`` readable.

        Raises:
            RowRefused: ``head`` falls, or is past the rows that were reserved.
            ShardTaken: there is another writer by now; nothing is made readable.
        """
        self._check(head, 1, self._reserved_to)
        with self._lock.write():
            self._refuse_a_second()
            self._header[HEADER_HEAD] = head
            self.trail.show(head)
        self._head = head

    def tell(self) -> None:
        """Show whoever looks on how far this writer is; see ``seen``."""
        self.columns.told[self.shard]["reserved"] = self._reserved_to + 1 - self._head
        tell_lock(self.columns, self.shard, "writer", self._lock)

    def begin_at(self, tail: int, head: int) -> None:
        """The empty shard has been filled with saved rows, which can be read from now on.

        Whoever goes on in the midst of their episodes writes on behind the pending row. Whoever
        does not writes the pending row anew, and it is marked as a cut.
        """
        with self._lock.write():
            self._header[HEADER_TAIL], self._header[HEADER_HEAD] = tail, head
        self._head = self._reserved_to = head
        self._cut_at = head if head else -1

    def _move_tail(self, tail: int) -> bool:
        if tail <= self._header[HEADER_TAIL]:
            return True
        # The pins are read and the tail is moved under one write lock: no reader, who pins under
        # the read lock, can come in between.
        with self._lock.write():
            if not self._unpinned(tail):
                return False
            self._header[HEADER_TAIL] = tail
        return True

    def _refuse_a_second(self) -> None:
        if self._header[HEADER_INCARNATION] != self._incarnation:
            raise ShardTaken(
                f"another writer has taken over shard {self.shard} while this one was still alive; "
                "rows of both may be mixed. A writer must be dead before it has a successor"
            )

    def _unpinned(self, tail: int) -> bool:
        return not any(0 <= pin < tail for pin in self._pins.tolist())

    def _oldest_pin(self) -> int:
        return min((int(pin) for pin in self._pins if pin >= 0), default=-1)

    def _refused(
        self, what: str, given: npt.NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> RowRefused:
        of = f" (lanes of {', '.join(self._agents)})" if self._agents else ""
        return RowRefused(
            f"{what} for shard {self.shard}{of}: got shape {given.shape} of {given.dtype}, the "
            f"spec wants {shape} of {dtype} (first axis: lanes)"
        )

    def _check(self, row: int, rows: int, last: int) -> None:
        """Refuse rows before ``head`` or after ``last``."""
        if not self._head <= row <= last - rows + 1:
            outside = row if not self._head <= row <= last else row + rows - 1
            raise RowRefused(
                f"row {outside} of shard {self.shard} is not reserved: rows {self._head} to {last} "
                "are; call begin() first"
            )

    def _slots(self, row: int, rows: int, axes: int) -> Any:
        """Index of one row's slot, or of those of ``rows`` rows if there is an axis for them."""
        slot = row % self._rows
        if axes == 1:
            return slot
        if slot + rows <= self._rows:
            return slice(slot, slot + rows)
        return np.arange(row, row + rows) % self._rows

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a ShardWriter cannot be pickled: attach the replay in the other process and call "
            "PolicyReplay.writer(actor) there"
        )
