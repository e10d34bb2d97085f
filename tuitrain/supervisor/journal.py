"""What happened and what was measured: numbered events and stamped records, kept and passed on.

Both go to the run folder's JSON lines first, then to whoever listens (clients, the console).
History for clients that come later is bounded: the newest events, and records thinned over the
whole run. A resumed run goes on where its files end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from tuitrain.metrics.records import stamped
from tuitrain.metrics.rewind import Rewind, newest_steps, surviving
from tuitrain.metrics.sinks import JsonLines, JsonlSink, RecordHistory, read_jsonl
from tuitrain.metrics.tensorboard import TensorBoardSink
from tuitrain.protocol import EventLine, RecordLine

Level = Literal["info", "warning", "error"]

MAX_EVENTS = 500


class Journal:
    """Events and records of one run.

    Args:
        events_path, metrics_path: appended to, and read for history first.
        tensorboard: folder for event files with the same measurements; None for none.
        unix_time: injected clock.
    """

    def __init__(
        self,
        events_path: Path,
        metrics_path: Path,
        tensorboard: Path | None = None,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._unix_time = unix_time
        self._started_s = unix_time()
        self.events: deque[EventLine] = deque(maxlen=MAX_EVENTS)
        self.history = RecordHistory()
        self.earlier_records: list[dict[str, Any]] = []
        """`eval` records of earlier sessions, for the verdict."""
        self.on_event: list[Callable[[EventLine], None]] = []
        self.on_record: list[Callable[[RecordLine], None]] = []
        self.on_rewind: list[Callable[[Rewind], None]] = []
        for line in read_jsonl(events_path, last=MAX_EVENTS):
            line.pop("schema_version", None)
            try:
                self.events.append(EventLine.model_validate(line))
            except ValueError:
                continue
        for record in surviving(JsonLines(metrics_path)):
            self.history.add(record)
            if record.get("kind") == "eval":
                self.earlier_records.append(record)
        self._seq = self.events[-1].seq if self.events else 0
        # A sink's failure is itself an event; while it is told, it may fail again, silently.
        self._events_sink = JsonlSink(events_path, self._sink_failed, self._sink_recovered)
        self._metrics_sink = JsonlSink(metrics_path, self._sink_failed, self._sink_recovered)
        self._record_sinks: list[JsonlSink | TensorBoardSink] = [self._metrics_sink]
        if tensorboard is not None:
            self._record_sinks.append(
                TensorBoardSink(
                    tensorboard, self._started_s, self._sink_failed, self._sink_recovered
                )
            )

    def event(
        self,
        text: str,
        *,
        level: Level = "info",
        source: str = "supervisor",
        data: Mapping[str, Any] | None = None,
    ) -> EventLine:
        """Write down that something happened."""
        self._seq += 1
        line = EventLine(
            seq=self._seq,
            time_s=round(self._unix_time(), 3),
            level=level,
            source=source,
            text=text,
            data=dict(data or {}),
        )
        self.events.append(line)
        self._events_sink.write(line.model_dump(exclude={"kind"}))
        for listen in self.on_event:
            listen(line)
        return line

    def record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Write down a measurement; returns it with its time stamps."""
        now = self._unix_time()
        full = stamped(record, now, now - self._started_s)
        for sink in self._record_sinks:
            sink.write(full)
        self.history.add(full)
        if self.on_record:
            line = RecordLine(record=full)
            for listen in self.on_record:
                listen(line)
        return full

    def rewind(
        self, steps: int, updates: Mapping[str, int], why: str, session: int = 0
    ) -> Rewind | None:
        """Training goes on from these counts: what was measured after them does not count any more.

        Args:
            steps: environment steps.
            updates: per policy.
            why: for whoever reads metrics.jsonl.
            session: number of the session that goes on.

        Returns:
            What was written down; None if nothing lies after these counts, and nothing was.
        """
        rewind = Rewind(steps, dict(updates))
        if not any(rewind.voids(r) or rewind.loses(r) for r in self.history.all()):
            return None
        self.record(rewind.record(session, why))
        self.earlier_records = [r for r in self.earlier_records if not rewind.voids(r)]
        for listen in self.on_rewind:
            listen(rewind)
        return rewind

    def rewind_updates(self, updates: Mapping[str, int], why: str, session: int = 0) -> None:
        """Some learner alone goes on from these counts, while all others go on where they are."""
        self.rewind(newest_steps(self.history.all()), updates, why, session)

    @property
    def lost_lines(self) -> int:
        """Lines and records that could not be written."""
        return self._events_sink.failures + sum(sink.failures for sink in self._record_sinks)

    def close(self) -> None:
        """Close the files."""
        self._events_sink.close()
        for sink in self._record_sinks:
            sink.close()

    def _sink_recovered(self, text: str) -> None:
        self.event(text)

    def _sink_failed(self, text: str) -> None:
        if hasattr(self, "_metrics_sink"):
            self.event(text, level="error")
        else:  # a file could not be opened while this object was being made
            self._seq += 1
            self.events.append(
                EventLine(
                    seq=self._seq,
                    time_s=self._unix_time(),
                    level="error",
                    source="supervisor",
                    text=text,
                )
            )
