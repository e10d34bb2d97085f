"""Holds shards, samples and weights to the ledgers of all workers. Pure: lines in, faults out.

What is proven, line by line in the order of time:

- a row is readable whole or not at all, and what was committed stays: a new writer finds the head
  where the last commit left it, or where the commit that its predecessor died in would have;
- everything drawn is what was committed: every frame of both stacks, action, n-step return and
  discount, of one episode, and nothing crosses a cut;
- versions of weights only grow, and who takes them gets the very bytes that were published;
- updates and transitions keep to the ratio, but for what a killed worker could not count.

A line ``created`` (of a supervisor) begins a new life of the shared memory: heads, versions and
counts may go back then, to what a checkpoint holds.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

BOUNDARY, CUT = 1, 2
VERSION, STAMP, LANES = 0, 1, 2
CRC, ACTION, REWARD, OVER, AGE, FLAGS = range(6)
Line = dict[str, Any]
Key = tuple[str, int]


@dataclass(frozen=True)
class Rules:
    """What the config says.

    Attributes:
        n_step, gamma: of returns.
        ratio: updates per transition.
        slack_updates: by how many updates the two may be apart.
        loss_updates: how many more for each worker that was killed.
    """

    n_step: int
    gamma: float
    ratio: float
    slack_updates: float
    loss_updates: float


@dataclass
class Audit:
    """What was found.

    Attributes:
        faults: (monotonic time, what is wrong).
        rows, draws, versions: how much was looked at.
    """

    faults: list[tuple[float, str]] = field(default_factory=list)
    rows: int = 0
    draws: int = 0
    versions: int = 0
    deaths: int = 0


def row_sum(row: list[Any]) -> int:
    """Checksum of a row of a ledger, as in its line ``restored``."""
    return zlib.crc32(json.dumps(row).encode())


@dataclass
class _Shard:
    head: int | None = 0  # None: whatever the next writer finds
    end: int | None = None  # of a commit that is under way
    rows: dict[int, list[Any]] = field(default_factory=dict)
    earlier: dict[int, list[Any]] = field(default_factory=dict)  # of the life before


def read(folder: Path) -> list[Line]:
    """All lines of a folder of ledgers in the order of time; a torn last line is left out."""
    lines = []
    for path in sorted(folder.glob("*.jsonl")):
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text) | {"of": path.stem})
            except ValueError:
                continue
    return sorted(lines, key=lambda line: float(line["t"]))


def audit(lines: Iterable[Line], rules: Rules) -> Audit:
    """Look at every line."""
    return _Auditor(rules).run(lines)


class _Auditor:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.out = Audit()
        self.shards: dict[Key, _Shard] = defaultdict(_Shard)
        self.version: dict[int, int] = {}
        self.certain: dict[int, bool] = {}
        self.bytes: dict[tuple[int, int], set[int]] = defaultdict(set)
        self.held: dict[tuple[int, int], int] = {}
        self.updates = self.inserts = 0
        self.life_deaths = 0
        self.born: set[str] = set()

    def run(self, lines: Iterable[Line]) -> Audit:
        last = 0.0
        for line in lines:
            last = float(line["t"])
            getattr(self, f"_{line['k']}")(line)
        self._ratio(last)
        return self.out

    def _fault(self, line: Line, text: str) -> None:
        self.out.faults.append((float(line["t"]), f"{text} ({line['of']})"))

    # ---- lives -------------------------------------------------------------------------------

    def _created(self, line: Line) -> None:
        self._ratio(float(line["t"]))
        for shard in self.shards.values():
            shard.head = shard.end = None
        self.version, self.held, self.certain = {}, {}, {}
        self.bytes.clear()
        self.born.clear()

    def _born(self, line: Line) -> None:
        if line["name"] in self.born:  # so another one is dead
            self.life_deaths += 1
            self.out.deaths += 1
        self.born.add(line["name"])

    # ---- shards ------------------------------------------------------------------------------

    def _opened(self, line: Line) -> None:
        shard = self.shards[line["p"], line["s"]]
        head = line["head"]
        if shard.head is not None and head not in (shard.head, shard.end):
            self._fault(
                line,
                f"shard {line['s']}: a new writer finds its head at {head}, but {shard.head} rows "
                f"were committed" + (f", or {shard.end}" if shard.end is not None else ""),
            )
        if shard.head is None:
            shard.earlier = dict(shard.rows)
        for row in [row for row in shard.rows if row >= head]:
            del shard.rows[row]
        shard.head, shard.end = head, None

    def _restored(self, line: Line) -> None:
        """Rows come out of a checkpoint: they must be those that were committed."""
        shard = self.shards[line["p"], line["s"]]
        first, sums = line["first"], line["sums"]
        shard.rows = {r: shard.earlier[r] for r in range(first + len(sums)) if r in shard.earlier}
        shard.head = first + len(sums)
        for row, told in enumerate(sums, first):
            if row not in shard.rows or row_sum(shard.rows[row]) != told:
                self._fault(line, f"shard {line['s']}: row {row} is restored as another one")
                break

    def _intent(self, line: Line) -> None:
        shard = self.shards[line["p"], line["s"]]
        first = line["first"]
        if shard.head != first or shard.end is not None:
            self._fault(
                line, f"shard {line['s']}: row {first} is written, its head is {shard.head}"
            )
        shard.head, shard.end = first, first + len(line["rows"])
        shard.rows.update(enumerate(line["rows"], first))
        self.out.rows += len(line["rows"])

    def _commit(self, line: Line) -> None:
        shard = self.shards[line["p"], line["s"]]
        shard.head, shard.end = line["head"], None

    def _sample(self, line: Line) -> None:
        for drawn in line["drawn"]:
            self.out.draws += 1
            wrong = self._differs(self.shards[line["p"], drawn[0]].rows, drawn)
            if wrong:
                self._fault(line, f"drawn from shard {drawn[0]}, row {drawn[2]}: {wrong}")

    def _differs(self, rows: dict[int, list[Any]], drawn: list[Any]) -> str:
        """What of one transition is not what was committed; "" if all is."""
        _, lane, row, state, next_state, action, returns, discount = drawn
        if row not in rows:
            return "no such row was committed"
        here = rows[row][LANES][lane]
        if here[FLAGS] & BOUNDARY:
            return "a boundary row"
        if here[ACTION] != action:
            return f"action {action}, committed was {here[ACTION]}"
        total, factor, steps, ended = 0.0, 1.0, 0, 0
        while steps < self.rules.n_step and not ended:
            if row + steps not in rows:
                return f"its row {row + steps} was not committed"
            step = rows[row + steps][LANES][lane]
            if steps and step[FLAGS] & CUT:
                return f"its return crosses the cut at row {row + steps}"
            total += factor * step[REWARD]
            factor *= self.rules.gamma
            steps, ended = steps + 1, step[OVER]
        after = rows.get(row + steps)
        if after is None:
            return f"its next row {row + steps} was not committed"
        if after[LANES][lane][FLAGS] & CUT:
            return f"it leads across the cut at row {row + steps}"
        if np.float32(total) != np.float32(returns):
            return f"return {returns}, committed rewards make {total}"
        if np.float32(0.0 if ended & 1 else factor) != np.float32(discount):
            return f"discount {discount} after {steps} steps"
        for name, frames, at in (("state", state, row), ("next state", next_state, row + steps)):
            age = rows[at][LANES][lane][AGE]
            for back, seen in enumerate(reversed(frames)):
                before = at - min(back, age)
                if before not in rows or rows[before][LANES][lane][CRC] != seen:
                    return f"{name}: frame {back} back is not that of row {before}"
        return ""

    # ---- weights -----------------------------------------------------------------------------

    def _publish(self, line: Line) -> None:
        store, version = line["n"], line["v"]
        last = self.version.get(store)
        if last is not None and version < last + self.certain[store]:
            self._fault(line, f"weights version {version} is published after {last}")
        self.version[store], self.certain[store] = version, False
        self.bytes[store, version].add(line["crc"])
        self.out.versions += 1

    def _published(self, line: Line) -> None:
        self.certain[line["n"]] = True

    def _pull(self, line: Line) -> None:
        key, version = (line["n"], line["r"]), line["v"]
        if version < self.held.get(key, 0):
            self._fault(line, f"weights version {version} is taken after {self.held[key]}")
        self.held[key] = version
        if line["crc"] not in self.bytes[line["n"], version]:
            self._fault(line, f"weights version {version} is taken, but with other bytes")

    # ---- ratio -------------------------------------------------------------------------------

    def _updates(self, line: Line) -> None:
        if line["p"] == 0:
            if not self.updates:
                self.inserts = 0  # until now it has warmed up
            self.updates += line["n"]

    def _inserts(self, line: Line) -> None:
        self.inserts += line["n"][0]

    def _ratio(self, t: float) -> None:
        rules = self.rules
        asked = rules.ratio * self.inserts
        slack = rules.slack_updates + rules.loss_updates * self.life_deaths
        if self.updates and abs(self.updates - asked) > slack:
            self.out.faults.append(
                (t, f"{self.updates} updates for {self.inserts} transitions: {asked:.0f} were due")
            )
        self.updates = self.inserts = self.life_deaths = 0
