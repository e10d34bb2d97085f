"""What workers did, line by line, in files that outlive them: the truth that shards are held to.

Public methods of the stores are wrapped in every worker of a fault run. A line is one write, made
before the act it tells of (`about to commit these rows`) or after it (`committed`), so whatever
kills a worker in between leaves two possibilities at most, and the next writer of the shard says
which it was. ``audit`` reads the lines of all workers together.
"""

from __future__ import annotations

import functools
import json
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults import orders, triggers
from tests.faults.audit import row_sum
from tuitrain.learning.weights import WeightStore
from tuitrain.replay.limiter import Limiter
from tuitrain.replay.reader import ReplayReader
from tuitrain.replay.shard import ShardWriter


class Ledger:
    """The file of one process. Every line has a kind (`k`) and a time (`t`, monotonic seconds)."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.{os.getpid()}.jsonl"
        self._fd = orders.real_open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.write("born", name=name)

    def write(self, kind: str, **fields: Any) -> None:
        """Append a line; also the moment to see that faults can still strike."""
        line = {"k": kind, "t": time.monotonic(), **fields}
        orders.real_write(self._fd, json.dumps(line, separators=(",", ":")).encode() + b"\n")
        triggers.ensure()


def crc(array: np.ndarray[Any, Any]) -> int:
    """Checksum of an array's bytes."""
    return zlib.crc32(np.ascontiguousarray(array).data)


def policy_of(columns: Any) -> str:
    """Policies of the worlds here differ in the shape of what they see."""
    return "x".join(map(str, columns.observation.shape[3:]))


def keep(ledger: Ledger) -> None:
    """Wrap the stores of this process."""
    _keep_commits(ledger)
    _keep_samples(ledger)
    _keep_weights(ledger)
    _keep_counts(ledger)


def _wrap(owner: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    honest = getattr(owner, name)
    setattr(owner, name, functools.wraps(honest)(make(honest)))


def _keep_commits(ledger: Ledger) -> None:
    def opened(honest: Callable[..., Any]) -> Callable[..., Any]:
        def init(self: ShardWriter, columns: Any, shard: int, *args: Any, **kwargs: Any) -> None:
            honest(self, columns, shard, *args, **kwargs)
            ledger.write("opened", p=policy_of(columns), s=shard, head=self.head, tail=self.tail)

        return init

    def committed(honest: Callable[..., Any]) -> Callable[..., Any]:
        def commit(self: ShardWriter, head: int) -> None:
            key = {"p": policy_of(self.columns), "s": self.shard}
            first = self.head
            ledger.write("intent", **key, first=first, rows=rows_of(self, first, head))
            honest(self, head)
            ledger.write("commit", **key, head=head)

        return commit

    def restored(honest: Callable[..., Any]) -> Callable[..., Any]:
        def begin_at(self: ShardWriter, *args: Any, **kwargs: Any) -> None:
            honest(self, *args, **kwargs)
            key = {"p": policy_of(self.columns), "s": self.shard}
            sums = [row_sum(row) for row in rows_of(self, self.tail, self.head)]
            ledger.write("restored", **key, first=self.tail, sums=sums)

        return begin_at

    _wrap(ShardWriter, "__init__", opened)
    _wrap(ShardWriter, "begin_at", restored)
    _wrap(ShardWriter, "commit", committed)


def rows_of(writer: ShardWriter, first: int, head: int) -> list[list[Any]]:
    """Per row: version, stamp, and per lane [crc, action, reward, over, age, flags].

    `over` is 1 if the episode terminated, 2 if it was truncated, 3 for both.
    """
    columns, shard = writer.columns, writer.shard
    out = []
    for row in range(first, head):
        at = row % writer.ring.rows
        over = columns.terminated[shard, at] + 2 * columns.truncated[shard, at].astype(np.int8)
        lanes = [
            [crc(seen), int(action), float(reward), int(end), int(age), int(flags)]
            for seen, action, reward, end, age, flags in zip(
                columns.observation[shard, at],
                columns.action[shard, at],
                columns.reward[shard, at],
                over,
                columns.age[shard, at],
                columns.flags[shard, at],
                strict=True,
            )
        ]
        out.append([int(columns.version[shard, at]), int(columns.stamp[shard, at]), lanes])
    return out


def _keep_samples(ledger: Ledger) -> None:
    def sampled(honest: Callable[..., Any]) -> Callable[..., Any]:
        def sample(self: ReplayReader, *args: Any, **kwargs: Any) -> Any:
            batch = honest(self, *args, **kwargs)
            origin = self.origin(batch)
            drawn = [
                [
                    int(origin.shard[i]),
                    int(origin.lane[i]),
                    int(batch.rows[i]),
                    [crc(frame) for frame in batch.state[i]],
                    [crc(frame) for frame in batch.next_state[i]],
                    int(batch.action[i]),
                    float(batch.returns[i]),
                    float(batch.discount[i]),
                ]
                for i in range(len(batch.rows))
            ]
            ledger.write("sample", p=policy_of(self._columns), drawn=drawn)
            return batch

        return sample

    _wrap(ReplayReader, "sample", sampled)


def _keep_weights(ledger: Ledger) -> None:
    def published(honest: Callable[..., Any]) -> Callable[..., Any]:
        def publish(self: WeightStore, flat: Any, updates: int, steps: int = 0) -> int:
            # the number it will have, since no other publishes
            ledger.write("publish", n=self.layout.nbytes, v=self.version() + 1, crc=crc(flat))
            version: int = honest(self, flat, updates, steps)
            ledger.write("published", n=self.layout.nbytes, v=version)
            return version

        return publish

    def pulled(honest: Callable[..., Any]) -> Callable[..., Any]:
        def pull(self: WeightStore, reader: int, out: Any) -> Any:
            held = honest(self, reader, out)
            ledger.write("pull", n=self.layout.nbytes, r=reader, v=held.version, crc=crc(out))
            return held

        return pull

    _wrap(WeightStore, "publish", published)
    _wrap(WeightStore, "pull", pulled)


def _keep_counts(ledger: Ledger) -> None:
    def counted(honest: Callable[..., Any]) -> Callable[..., Any]:
        def add_updates(self: Limiter, policy: int, n: int) -> None:
            honest(self, policy, n)
            ledger.write("updates", p=policy, n=n)

        return add_updates

    def inserted(honest: Callable[..., Any]) -> Callable[..., Any]:
        def commit(self: Limiter, actor: int, inserts: Any, steps: int) -> None:
            honest(self, actor, inserts, steps)
            ledger.write("inserts", a=actor, n=list(map(int, inserts)))

        return commit

    _wrap(Limiter, "add_updates", counted)
    _wrap(Limiter, "commit", inserted)
