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

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._writer is not None

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
            try:
                line = decode_to_client(raw)
            except ValidationError:
                self.bad_lines += 1
                continue
            if isinstance(line, Reply):
                future = self._pending.get(line.id)
                if future is not None and not future.done():
                    future.set_result(line)
            else:
                self._on_line(line)

    async def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writer = None
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
