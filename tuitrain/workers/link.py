"""A worker's end of everything that connects it to others: commands, heartbeats, doorbells.

The work loop calls ``tick`` between two units of work and ``wait`` when it can't go on. Both answer
the supervisor's commands and send heartbeats; neither ever blocks on the supervisor: a heartbeat
that does not fit the pipe is skipped and the next one carries newer totals.

A doorbell is a pipe whose bytes mean nothing: whoever changes shared state that another process
may be waiting for rings it, so that waits are woken and not polled.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Literal, NoReturn

from tuitrain.metrics.counters import Counters
from tuitrain.workers import messages
from tuitrain.workers.messages import (
    Ack,
    Finished,
    Heartbeat,
    Notice,
    Pause,
    Ready,
    Record,
    Stop,
    Unpause,
)

_LOGGER = logging.getLogger(__name__)

State = Literal["running", "waiting", "paused", "finished"]

DEFERRED: dict[str, Any] = {}
"""What a handler returns of a command that it will acknowledge, or refuse, later."""

MAX_PENDING = 1000
"""Records and notices kept while the supervisor does not read; older ones are dropped, counted."""


LOOK_S = 0.001
"""How long ``advance`` goes on without a look at the pipes: units may take a tenth of that."""


class StopRequested(Exception):
    """The supervisor asked this worker to end; everything it had to save is saved."""


class PipeClosed(RuntimeError):
    """Something in this process has closed its pipe to the supervisor."""


class Link:
    """One worker's connections.

    Args:
        control: duplex pipe to the supervisor.
        doorbell: read end of this worker's doorbell.
        peers: write ends of the other workers' doorbells, by worker name.
        heartbeat_s: seconds between heartbeats.
    """

    def __init__(
        self,
        control: Connection,
        doorbell: Connection,
        peers: Mapping[str, Connection],
        heartbeat_s: float,
    ) -> None:
        self.counters = Counters()
        self.wakeups = 0
        self.dropped_messages = 0
        self.before_beat: Callable[[], None] = _nothing
        """Brings `counters` up to date; called before each heartbeat."""
        self.before_ready: Callable[[], None] = _nothing
        """Called when everything has been built, environments too."""
        self._control = control
        self._doorbell_fd = doorbell.fileno()
        self._doorbell = doorbell
        self._peers = dict(peers)
        self._heartbeat_s = heartbeat_s
        self._handlers: dict[str, Callable[[Any], dict[str, Any]]] = {}
        self._pending: deque[Record | Notice] = deque()
        self._paused = False
        self._finished = False
        self._beat_due = 0.0
        self._look_due = 0.0
        os.set_blocking(self._doorbell_fd, False)
        for peer in self._peers.values():
            os.set_blocking(peer.fileno(), False)
        self._commands = select.poll()
        self._commands.register(control.fileno(), select.POLLIN)
        self._anything = select.poll()
        self._anything.register(control.fileno(), select.POLLIN)
        self._anything.register(self._doorbell_fd, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(control.fileno(), select.POLLOUT)

    # ---- what the work loop calls ------------------------------------------------------------

    def on(self, kind: str, handler: Callable[[Any], dict[str, Any]]) -> None:
        """Answer commands of `kind` with `handler`; its result goes into the acknowledgement."""
        self._handlers[kind] = handler

    def acknowledge(self, command_id: int, result: dict[str, Any]) -> None:
        """A command whose handler returned ``DEFERRED`` has been carried out.

        What has been recorded until now is told first.
        """
        self._flush()
        self._send(Ack(command_id=command_id, result=result))

    def refuse(self, command_id: int, error: str) -> None:
        """A command whose handler returned ``DEFERRED`` has not been, or cannot be, carried out."""
        self._flush()
        self._send(Ack(command_id=command_id, ok=False, result={"error": error}))

    def hold(self) -> None:
        """Pause at the next ``tick``, as if told to."""
        self._paused = True

    def deliver(self) -> None:
        """Tell what has been recorded now, as far as the pipe has room; not with the next beat."""
        self._flush()

    def ready(self, **fields: Any) -> None:
        """Tell the supervisor that this worker can start."""
        self.before_ready()
        self._flush()
        self._send(Ready(pid=os.getpid(), **fields))

    def tick(self) -> None:
        """Between two units of work: obey commands, beat if due. About 1 µs when idle.

        Raises:
            StopRequested: the supervisor asked to stop.
        """
        if self._commands.poll(0):
            self._obey()
        elif self._paused and not self._finished:
            self._hold()
        now = time.monotonic()
        if now >= self._beat_due:
            self._beat(now, "running", None)

    def advance(self) -> None:
        """A unit of work is done: count it as progress, and ``tick`` every ``LOOK_S``.

        Raises:
            StopRequested: see ``tick``.
        """
        self.counters.progress += 1
        now = time.monotonic()
        if now >= self._look_due:
            self._look_due = now + LOOK_S
            self.tick()

    def wait(self, ready: Callable[[], bool], reason: str) -> None:
        """Return once ``ready()`` holds. Woken by doorbells; otherwise sleeps between heartbeats.

        Args:
            ready: cheap, reads shared state.
            reason: what is waited for, in words; shown to the user.

        Raises:
            StopRequested: the supervisor asked to stop.
        """
        if ready():
            return
        phase = self.counters.phases.enter("wait")
        try:
            while not ready():
                now = time.monotonic()
                if now >= self._beat_due:
                    self._beat(now, "waiting", reason)
                self._sleep()
        finally:
            self.counters.phases.enter(phase)

    def ring(self, names: Iterable[str]) -> None:
        """Wake these workers. A full pipe means that they have not looked yet: nothing is lost."""
        for name in names:
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(self._peers[name].fileno(), b"\0")

    def record(self, record: dict[str, Any]) -> None:
        """Queue a line for metrics.jsonl; it travels with the next heartbeat."""
        self._queue(Record(record=record))

    def notice(
        self, text: str, level: Literal["info", "warning", "error"] = "info", **data: Any
    ) -> None:
        """Queue an event for the user; sent with the next heartbeat."""
        self._queue(Notice(level=level, text=text, data=data))

    def finish(self, **result: Any) -> NoReturn:
        """All work is done: say so, then wait for `Stop` (commands are still answered).

        Raises:
            StopRequested: always, in the end.
        """
        self._finished = True
        self._beat(time.monotonic(), "finished", None)
        while self._pending:
            self._flush()
            self._sleep(0.05)
        self._send(Finished(result=result))
        while True:
            now = time.monotonic()
            if now >= self._beat_due:
                self._beat(now, "finished", None)
            self._sleep()

    # ---- commands ----------------------------------------------------------------------------

    def _obey(self) -> None:
        """Carry out every command that has arrived; a pause is obeyed right here."""
        while self._commands.poll(0):
            try:
                command = messages.decode_to_worker(self._control.recv_bytes())
            except (EOFError, OSError):
                self._check_pipe()
                # The supervisor is gone. The lifeline thread ends this process in a moment;
                # until then there is nobody to work for.
                raise StopRequested("the supervisor is gone") from None
            _LOGGER.debug("told to %s", command.kind)
            handler = self._handlers.get(command.kind)
            result: dict[str, Any] = {}
            ok = True
            if handler is not None:
                try:
                    result = handler(command)
                except Exception as error:  # the command failed, not the worker: say so
                    ok, result = False, {"error": f"{type(error).__name__}: {error}"}
            if isinstance(command, Pause):
                self._paused = True
            elif isinstance(command, Unpause):
                self._paused = False
            if isinstance(command, Pause | Stop):
                # Who is told that this worker holds may look at its counters next.
                self._beat(time.monotonic(), self._state(), None)
            if result is not DEFERRED:
                self._send(Ack(command_id=command.command_id, ok=ok, result=result))
            if isinstance(command, Stop):
                raise StopRequested
        if self._paused and not self._finished:
            self._hold()

    def _state(self) -> State:
        if self._paused:
            return "paused"
        return "finished" if self._finished else "running"

    def _hold(self) -> None:
        """Stay here while paused."""
        phase = self.counters.phases.enter("paused")
        try:
            self._beat(time.monotonic(), "paused", None)
            while self._paused:
                if self._commands.poll(max(0.0, self._beat_due - time.monotonic()) * 1000):
                    self._obey_while_paused()
                if time.monotonic() >= self._beat_due:
                    self._beat(time.monotonic(), "paused", None)
        finally:
            self.counters.phases.enter(phase)

    def _obey_while_paused(self) -> None:
        finished, self._finished = self._finished, True  # keeps _obey from holding again
        try:
            self._obey()
        finally:
            self._finished = finished

    # ---- pipes -------------------------------------------------------------------------------

    def abandon(self) -> None:
        """Close this process's copy of the pipe: it is a fork of the worker, and speaks for nobody.

        If it ever comes back to the work loop it ends there, at its next ``tick``.
        """
        self._control.close()

    def _check_pipe(self) -> None:
        """Raise ``PipeClosed`` if this end of it is not open any more."""
        try:
            os.fstat(self._control.fileno())
        except OSError as error:
            raise PipeClosed(
                "the pipe to the supervisor has been closed in this process: does the environment "
                "close descriptors that it has not opened, or has it forked?"
            ) from error

    def _sleep(self, at_most_s: float | None = None) -> None:
        timeout_s = max(0.0, self._beat_due - time.monotonic())
        if at_most_s is not None:
            timeout_s = min(timeout_s, at_most_s)
        self.wakeups += 1
        for fd, _ in self._anything.poll(timeout_s * 1000 + 1):
            if fd == self._doorbell_fd:
                with suppress(BlockingIOError):
                    if not os.read(self._doorbell_fd, 4096):
                        # Whoever could ring has ended; the end of the pipe would wake for ever.
                        self._anything.unregister(self._doorbell_fd)
            else:
                self._obey()

    def _queue(self, message: Record | Notice) -> None:
        if len(self._pending) >= MAX_PENDING:
            self._pending.popleft()
            self.dropped_messages += 1
        self._pending.append(message)

    def _beat(self, now: float, state: State, wait: str | None) -> None:
        self._beat_due = now + self._heartbeat_s
        self.before_beat()
        self._flush()
        if self._writable.poll(0):
            self._send(
                Heartbeat(
                    state=state,
                    wait=wait,
                    progress=self.counters.progress,
                    counters=self.counters.values,
                    phases_s=self.counters.phases.read(),
                )
            )

    def _flush(self) -> None:
        while self._pending and self._writable.poll(0):
            self._send(self._pending.popleft())

    def _send(self, message: messages.FromWorker) -> None:
        try:
            self._control.send_bytes(messages.encode(message))
        except (BrokenPipeError, ConnectionResetError):
            raise StopRequested("the supervisor is gone") from None


def _nothing() -> None:
    """Called where nobody has anything to do."""
