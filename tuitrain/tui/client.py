"""A client of a run's unix socket, on asyncio: subscribes, asks, reconnects.

Losing the connection is normal (a supervisor ends, a machine sleeps): pending requests fail with
`ConnectionLost`, and the client tries again until it is closed. It never starts or stops
anything by itself. Knows the protocol and nothing of the screen.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tuitrain.protocol import (
    Command,
    EventLine,
    Hello,
    RecordLine,
    Reply,
    Request,
    Snapshot,
    decode_to_client,
    encode,
)

MAX_LINE_BYTES = 16 * 2**20
GLANCE_S = 2.0
"""Between two looks at what has come, while nobody watches; a screen is stale after 3 s."""
_LOOK_S = 0.02
_SNAPSHOT = b'{"kind":"snapshot"'
RETRY_S = (0.2, 0.5, 1.0, 2.0)

Stream = Snapshot | EventLine | RecordLine | Hello


class ConnectionLost(ConnectionError):
    """The run did not answer because the connection ended first; it may have carried it out."""


class RunClient:
    """One connection to a run, renewed when it breaks.

    Args:
        socket_path: The run's unix socket.
        on_line: Called with every line of the stream, in order, in the event loop.
        on_connection: Called with True on connecting and False on losing the connection.
    """

    def __init__(
        self,
        socket_path: Path,
        on_line: Callable[[Stream], None],
        on_connection: Callable[[bool], None] = lambda up: None,
    ) -> None:
        self.socket_path = socket_path
        self.bad_lines = 0
        """Lines that were not of this protocol; they are skipped."""
        self._on_line = on_line
        self._on_connection = on_connection
        self._writer: asyncio.StreamWriter | None = None
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._resting = False
        self._next: asyncio.TimerHandle | None = None
        self._newest: bytes | None = None
        """The last snapshot since the last glance, not read yet."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._writer is not None

    def rest(self, on: bool) -> None:
        """Take in what comes every ``GLANCE_S`` alone, for a screen that nobody looks at.

        Most of a screen without the focus is to be woken for single lines; they wait in the socket
        meanwhile. Of the snapshots that have come the newest counts. Answers are not waited for.
        """
        self._resting = on
        self._look()

    def _look(self) -> None:
        if self._next is not None:
            self._next.cancel()
        self._next = None
        if self._writer is None:
            return
        _incoming(self._writer).resume_reading()
        if self._resting:
            self._next = asyncio.get_running_loop().call_later(_LOOK_S, self._look_away)
        else:
            self._tell_newest()

    def _look_away(self) -> None:
        self._tell_newest()
        if self._writer is not None:
            if not self._pending:
                _incoming(self._writer).pause_reading()
            self._next = asyncio.get_running_loop().call_later(GLANCE_S, self._look)

    def _tell_newest(self) -> None:
        raw, self._newest = self._newest, None
        if raw is not None:
            self._take(raw)

    async def run(self) -> None:
        """Connect, subscribe, read, reconnect; until cancelled."""
        failures = 0
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(
                    str(self.socket_path), limit=MAX_LINE_BYTES
                )
            except OSError:
                await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
                continue
            failures = 0
            self._writer = writer
            self._on_connection(True)
            self._look()
            try:
                await self._write("subscribe", next(self._ids), {})
                await self._read(reader)
            except OSError:
                pass
            finally:
                await self._drop(writer)
            await asyncio.sleep(RETRY_S[0])

    async def request(self, command: Command, **args: Any) -> Reply:
        """Ask the run to do something; returns its reply once it has been carried out.

        Raises:
            ConnectionLost: There is no connection, or it ended before the reply came.
        """
        if self._writer is None:
            raise ConnectionLost("not connected to the run")
        number = next(self._ids)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        self._look()
        try:
            await self._write(command, number, args)
            return await future
        except ConnectionLost:
            raise
        except OSError as error:
            raise ConnectionLost(f"the connection to the run broke: {error}") from error
        finally:
            self._pending.pop(number, None)

    async def _write(self, command: Command, number: int, args: dict[str, Any]) -> None:
        if self._writer is None:
            raise ConnectionLost("not connected to the run")
        self._writer.write(encode(Request(id=number, command=command, args=args)))
        await self._writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                raw = await reader.readline()
            except ValueError:  # longer than MAX_LINE_BYTES; the reader has skipped it
                self.bad_lines += 1
                continue
            if not raw.endswith(b"\n"):
                return
            if self._resting and raw.startswith(_SNAPSHOT):
                self._newest = raw
            else:
                self._take(raw)

    def _take(self, raw: bytes) -> None:
        try:
            line = decode_to_client(raw)
        except ValidationError:
            self.bad_lines += 1
            return
        if isinstance(line, Reply):
            future = self._pending.get(line.id)
            if future is not None and not future.done():
                future.set_result(line)
        else:
            self._on_line(line)

    async def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writer = None
        if self._next is not None:
            self._next.cancel()
        self._tell_newest()
        writer.close()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(
                    ConnectionLost("the connection to the run was lost before it answered")
                )
        self._pending.clear()
        self._on_connection(False)
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _incoming(writer: asyncio.StreamWriter) -> asyncio.ReadTransport:
    """What the connection is read from; a socket's transport is both ways in one."""
    transport = writer.transport
    assert isinstance(transport, asyncio.ReadTransport)
    return transport


async def answers(socket_path: Path, timeout_s: float = 2.0) -> bool:
    """Whether something accepts connections on the socket."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_unix_connection(str(socket_path))
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
