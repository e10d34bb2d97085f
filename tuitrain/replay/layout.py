"""Where everything of one policy's replay lies in its segment, and how many rows it needs.

Pure arithmetic on the spec and the sizes: every process computes the same layout and compares its
hash with the segment's, so nobody can read a column at another's offset. Knows nothing of shared
memory, locks or processes; ``columns`` works on any writable buffer.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tuitrain.envs.spec import PolicySpec
from tuitrain.replay import first_seen

BOUNDARY = 1
"""Flag: final observation of an episode, or a row that has moved on to the next while its agent
waited for its turn (``workers/acting/ahead_lanes.py``); its action is ignored, and it is never
sampled."""
CUT = 2
"""Flag: no transition leads into this row: the first one of a new incarnation of the writer, or one
that has moved on from the row before."""
ABSENT = 4
"""Flag: the agent did not take part in this step; never sampled."""

MAX_AGE = 65_535
"""Ages saturate here: the column is uint16 and only min(age, n_frames - 1) is ever used."""

HEADER_TAIL, HEADER_HEAD, HEADER_INCARNATION, HEADER_AUDITS = 0, 1, 2, 3
"""Columns of ``Columns.header``, one line of int64 per shard."""
_HEADER_COLUMNS = 8
TOLD = np.dtype(
    [
        (name, np.float64)
        for name in (
            *("reserved", "writer_waits", "writer_waited_s", "writer_worst_s"),
            *("low", "end", "sampleable", "rejects", "drawn_share", "age_p50", "age_p95"),
            *("priority_mean", "priority_max"),
            *("reader_waits", "reader_waited_s", "reader_worst_s"),
        )
    ]
)
"""One line of ``Columns.told`` per shard; the first four fields are the writer's."""
AUDIT = np.dtype(
    [
        ("row", np.int64),
        ("lane", np.int32),
        ("history", np.int32),
        ("stack", np.uint32),
        ("checksum", np.uint32),
    ]
)
"""An entry of ``Columns.audits``; see ``audit.Entry``."""
AUDITS = 128
"""Entries of a shard that are kept: a reader looks in again long before so many chunks."""
_ALIGNMENT = 64
_LAYOUT_VERSION = 2


class ReplayDamaged(RuntimeError):
    """A shard's header holds numbers that nobody can have written there."""


Any_ = npt.NDArray[Any]


class Columns:
    """Views of the columns of all shards of one policy: A shards, T rows, n lanes.

    Attributes:
        header: int64 [A, 8]; see ``HEADER_*``.
        pins: int64 [A, n_readers]; the oldest row a reader may still read, -1 for none.
        told: ``TOLD`` [A], for whoever looks on; see ``seen``.
        audits: ``AUDIT`` [A, AUDITS], what is noted of a few rows; see ``audit_trail``.
        first_seen: float64 [A, *first_seen.SHAPE], what its episodes began with.
        version: int64 [A, T], weights version the row was acted with.
        stamp: int64 [A, T], policy-wide count of inserts when the row was made; never falls
            from one row of a shard to the next.
        observation: [A, T, n, *shape] in the spec's dtype.
        action: int32 [A, T, n].
        reward: float32 [A, T, n].
        terminated: bool [A, T, n].
        truncated: bool [A, T, n].
        age: uint16 [A, T, n], steps since the episode began, saturating at ``MAX_AGE``.
        flags: uint8 [A, T, n], ``BOUNDARY | CUT | ABSENT``.
        legal: bool [A, T, n, n_actions], what could be done in the row; None unless the policy is
            masked, and then it takes no memory either.

    ``flat_*`` are the same memory with shard, row and lane folded into one axis (see
    ``window.cells``), ``flat_version`` and ``flat_stamp`` with shard and row folded.
    """

    def __init__(self, arrays: Mapping[str, Any_]) -> None:
        self.header: npt.NDArray[np.int64] = arrays["header"]
        self.pins: npt.NDArray[np.int64] = arrays["pins"]
        self.told: Any_ = arrays["told"]
        self.audits: Any_ = arrays["audits"]
        self.first_seen: npt.NDArray[np.float64] = arrays["first_seen"]
        self.version: npt.NDArray[np.int64] = arrays["version"]
        self.stamp: npt.NDArray[np.int64] = arrays["stamp"]
        self.observation: Any_ = arrays["observation"]
        self.action: npt.NDArray[np.int32] = arrays["action"]
        self.reward: npt.NDArray[np.float32] = arrays["reward"]
        self.terminated: npt.NDArray[np.bool_] = arrays["terminated"]
        self.truncated: npt.NDArray[np.bool_] = arrays["truncated"]
        self.age: npt.NDArray[np.uint16] = arrays["age"]
        self.flags: npt.NDArray[np.uint8] = arrays["flags"]
        self.legal: npt.NDArray[np.bool_] | None = arrays.get("legal")
        self.flat_version: npt.NDArray[np.int64] = _flat(self.version, 2)
        self.flat_stamp: npt.NDArray[np.int64] = _flat(self.stamp, 2)
        self.flat_observation: Any_ = _flat(self.observation, 3)
        self.flat_action: npt.NDArray[np.int32] = _flat(self.action, 3)
        self.flat_reward: npt.NDArray[np.float32] = _flat(self.reward, 3)
        self.flat_terminated: npt.NDArray[np.bool_] = _flat(self.terminated, 3)
        self.flat_truncated: npt.NDArray[np.bool_] = _flat(self.truncated, 3)
        self.flat_age: npt.NDArray[np.uint16] = _flat(self.age, 3)
        self.flat_flags: npt.NDArray[np.uint8] = _flat(self.flags, 3)
        self.flat_legal: npt.NDArray[np.bool_] | None = (
            None if self.legal is None else _flat(self.legal, 3)
        )

    def data(self) -> tuple[tuple[str, Any_], ...]:
        """Name and array of every data column there is, in the order in which they are digested."""
        named = ((name, getattr(self, name)) for name in DATA_COLUMNS)
        return tuple((name, array) for name, array in named if array is not None)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "Columns are views of shared memory and cannot be pickled (the copy would be a new, "
            "unconnected buffer): attach the segment in the other process and use "
            "ReplayLayout.columns(segment.buf)"
        )


DATA_COLUMNS = (
    "version",
    "stamp",
    "observation",
    "action",
    "reward",
    "terminated",
    "truncated",
    "age",
    "flags",
    "legal",
)
"""Of every policy, but ``legal``, which only masked ones have."""


def check_header(shard: int, tail: int, head: int, rows: int) -> None:
    """Refuse a ``tail`` and ``head`` that no writer leaves in a ring of ``rows`` rows.

    Raises:
        ReplayDamaged: with both numbers.
    """
    if not 0 <= tail <= head < tail + rows:
        raise ReplayDamaged(
            f"shard {shard} says that rows {tail} to {head} can be read, but its ring has {rows} "
            "rows: shared memory is damaged"
        )


def _flat(array: Any_, axes: int) -> Any_:
    flat = array.reshape(math.prod(array.shape[:axes]), *array.shape[axes:])
    if not np.shares_memory(array, flat):
        raise ValueError(f"a column of shape {array.shape} is not contiguous")
    return flat


@dataclass(frozen=True)
class ReplayLayout:
    """Sizes of one policy's replay. All shards have the same number of rows T (``ring_rows``).

    Attributes:
        policy: name of the policy.
        spec: shapes and agents of the policy.
        n_frames: frames stacked for one network input.
        n_step: steps summed before the bootstrap.
        n_actors: number of shards.
        envs_per_actor: environments of each actor.
        chunk_steps: most vector steps (rows) a writer makes between two commits.
        capacity: sampleable transitions kept, all shards together.
        learning_starts: transitions before the first update.
        max_lead_inserts: transitions by which actors may be ahead of the learner.
        n_readers: pin slots per shard.

    Raises:
        ValueError: a size is not positive (``learning_starts``, ``max_lead_inserts``: negative).
    """

    policy: str
    spec: PolicySpec
    n_frames: int
    n_step: int
    n_actors: int
    envs_per_actor: int
    chunk_steps: int
    capacity: int
    learning_starts: int
    max_lead_inserts: int
    n_readers: int

    def __post_init__(self) -> None:
        for name, least in (
            *((n, 1) for n in ("n_frames", "n_step", "n_actors", "envs_per_actor")),
            *((n, 1) for n in ("chunk_steps", "capacity", "n_readers")),
            *((n, 0) for n in ("learning_starts", "max_lead_inserts")),
        ):
            if getattr(self, name) < least:
                raise ValueError(
                    f"replay of policy {self.policy!r}: {name} is {getattr(self, name)}, "
                    f"it must be at least {least}"
                )
        if not self.spec.agents:
            raise ValueError(f"policy {self.policy!r} has no agents, so its replay has no lanes")

    @property
    def lanes(self) -> int:
        """Lanes of one shard: lane = env * len(agents) + agent_index."""
        return self.envs_per_actor * len(self.spec.agents)

    @cached_property
    def ring_rows(self) -> int:
        """T, rows of each shard's ring.

        The larger of two needs, plus guard rows:

        - a shard's equal share of ``capacity`` and a quarter more for boundary rows (episodes of
          four or more transitions keep the full capacity sampleable; shorter ones keep less);
        - the whole warm-up by one actor alone with every second row a boundary row, as far as
          the limiter lets it go before the first update, so nothing is overwritten unseen.

        The guard: history (``n_frames``), n-step future (``n_step``), the rows the writer has
        reserved and those a window leaves out for its next chunk (``chunk_steps + 1`` each).
        """
        share = math.ceil(self.capacity / (self.n_actors * self.lanes))
        share += math.ceil(share / 4)
        warm_up = math.ceil(2 * (self.learning_starts + self.max_lead_inserts) / self.lanes)
        return max(share, warm_up) + self.n_frames + self.n_step + 2 * (self.chunk_steps + 1)

    @cached_property
    def _arrays(self) -> dict[str, tuple[int, np.dtype[Any], tuple[int, ...]]]:
        """Offset in bytes, dtype and shape of every array."""
        time = (self.n_actors, self.ring_rows)
        cell = (*time, self.lanes)
        wanted: dict[str, tuple[Any, tuple[int, ...]]] = {
            "header": (np.int64, (self.n_actors, _HEADER_COLUMNS)),
            "pins": (np.int64, (self.n_actors, self.n_readers)),
            "told": (TOLD, (self.n_actors,)),
            "audits": (AUDIT, (self.n_actors, AUDITS)),
            "first_seen": (np.float64, (self.n_actors, *first_seen.SHAPE)),
            "version": (np.int64, time),
            "stamp": (np.int64, time),
            "observation": (self.spec.dtype, (*cell, *self.spec.observation_shape)),
            "action": (np.int32, cell),
            "reward": (np.float32, cell),
            "terminated": (np.bool_, cell),
            "truncated": (np.bool_, cell),
            "age": (np.uint16, cell),
            "flags": (np.uint8, cell),
        }
        if self.spec.masked:
            wanted["legal"] = (np.bool_, (*cell, self.spec.n_actions))
        arrays = {}
        offset = 0
        for name, (kind, shape) in wanted.items():
            dtype = np.dtype(kind)
            arrays[name] = (offset, dtype, shape)
            offset += math.ceil(dtype.itemsize * math.prod(shape) / _ALIGNMENT) * _ALIGNMENT
        return arrays

    @cached_property
    def nbytes(self) -> int:
        """Bytes of the whole policy, all shards."""
        offset, dtype, shape = list(self._arrays.values())[-1]
        return math.ceil((offset + dtype.itemsize * math.prod(shape)) / _ALIGNMENT) * _ALIGNMENT

    def layout_hash(self) -> bytes:
        """32 bytes that differ whenever any size, offset, dtype or spec field differs."""
        arrays = {name: (o, d.str, s) for name, (o, d, s) in self._arrays.items()}
        value = {"layout": _LAYOUT_VERSION, "fields": asdict(self), "arrays": arrays}
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()

    def columns(self, buf: memoryview | bytearray) -> Columns:
        """Views of every column in ``buf``, a writable buffer of at least ``nbytes`` bytes."""
        return Columns(
            {
                name: np.frombuffer(buf, dtype, math.prod(shape), offset).reshape(shape)
                for name, (offset, dtype, shape) in self._arrays.items()
            }
        )
