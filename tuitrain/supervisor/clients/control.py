"""The run's unix socket: requests in; snapshots, events, records and replies out, as JSON lines.

▣ A client can never hold up the supervisor or make it grow. Each has one bounded queue, emptied by
a task of its own: of snapshots only the newest waits; when events and records pile up because the
client does not read, they are dropped and the client is told how many once it reads again; a client
whose replies pile up is disconnected. Knows nothing of workers: it is given a handler.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from tuitrain.protocol import EventLine, Hello, Reply, Request, Snapshot, decode_request, encode

MAX_QUEUE_BYTES = 4 << 20
"""Events and records waiting for one client; beyond it they are dropped."""

MAX_REPLIES = 1_000
MAX_CLIENTS = 32
MAX_UNDER_WAY = 16
"""Requests of one client that are carried out at a time; the next ones are read later."""

WRITE_BYTES = 1 << 16

Handler = Callable[[Request], Awaitable[Reply]]


class ControlServer:
    """The socket server of one run.

    Args:
        hello: first line to every client.
        handle: carries out a request and returns its reply; called once per request.
        history: lines a new subscriber gets first.
    """

    def __init__(
        self, hello: Hello, handle: Handler, history: Callable[[], Iterable[BaseModel]]
    ) -> None:
        self._hello = hello
        self._handle = handle
        self._history = history
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None
        self._newest: bytes | None = None

    async def start(self, path: Path) -> None:
        """Listen on `path`, mode 0600, instead of where it has listened; clients stay."""
        if self._server is not None:
            self._server.close()
        self._server = await asyncio.start_unix_server(self._serve, str(path))
        os.chmod(path, 0o600)

    @property
    def subscribers(self) -> int:
        """Clients that get the stream."""
        return sum(client.subscribed for client in self._clients)

    def publish_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the snapshot that waits for each subscriber."""
        if not self.subscribers:
            self._newest = None
            return
        self._newest = encode(snapshot)
        for client in self._clients:
            if client.subscribed:
                client.put_snapshot(self._newest)

    def publish(self, line: BaseModel) -> None:
        """Queue an event or record for every subscriber."""
        if not self.subscribers:
            return
        data = encode(line)
        for client in self._clients:
            if client.subscribed:
                client.put_stream(data)

    async def close(self, flush_s: float = 1.0) -> None:
        """Stop listening, let clients read what is queued for at most `flush_s`, disconnect."""
        if self._server is not None:
            self._server.close()
        if self._clients:
            flushes = [asyncio.ensure_future(c.flushed()) for c in self._clients]
            _, late = await asyncio.wait(flushes, timeout=flush_s)
            for task in late:
                task.cancel()
        for client in list(self._clients):
            client.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            text = f"this run has {MAX_CLIENTS} clients already; close one of them first"
            writer.write(encode(Reply(id=-1, ok=False, message=text)))
            writer.close()
            return
        client = _Client(writer)
        self._clients.add(client)
        client.put_reply(encode(self._hello))
        tasks: set[asyncio.Task[None]] = set()
        try:
            while not client.closed:
                if len(tasks) >= MAX_UNDER_WAY:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    continue
                line = await reader.readline()
                if not line:
                    break
                try:
                    request = decode_request(line)
                except ValidationError as error:
                    text = f"not a request: {error.error_count()} problems in {line[:200]!r}"
                    client.put_reply(encode(Reply(id=-1, ok=False, message=text)))
                    continue
                if request.command == "subscribe":
                    self._subscribe(client, request)
                    continue
                # In a task of its own: `stop` must get through while `pause` still waits.
                task = asyncio.ensure_future(self._answer(client, request))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except (ConnectionError, ValueError, asyncio.LimitOverrunError):
            pass  # gone, or a line longer than any request
        finally:
            self._clients.discard(client)
            client.close()

    def _subscribe(self, client: _Client, request: Request) -> None:
        history = b"".join(encode(line) for line in self._history())
        if history:
            client.put_reply(history)
        client.subscribed = True
        client.put_reply(encode(Reply(id=request.id, ok=True, message="subscribed")))
        if self._newest is not None:
            client.put_snapshot(self._newest)

    async def _answer(self, client: _Client, request: Request) -> None:
        try:
            reply = await self._handle(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a client must get an answer, and the run must go on
            text = f"the supervisor failed on this: {type(error).__name__}: {error}"
            reply = Reply(id=request.id, ok=False, message=text)
        client.put_reply(encode(reply))


class _Client:
    """What waits to be written to one client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.subscribed = False
        self.closed = False
        self._writer = writer
        self._replies: deque[bytes] = deque()
        self._stream: deque[bytes] = deque()
        self._stream_bytes = 0
        self._dropped = 0
        self._snapshot: bytes | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._task = asyncio.ensure_future(self._write())

    def put_snapshot(self, data: bytes) -> None:
        self._snapshot = data
        self._woken()

    def put_stream(self, data: bytes) -> None:
        if self._stream_bytes + len(data) > MAX_QUEUE_BYTES:
            self._dropped += len(self._stream) + 1
            self._stream.clear()
            self._stream_bytes = 0
        else:
            self._stream.append(data)
            self._stream_bytes += len(data)
        self._woken()

    def put_reply(self, data: bytes) -> None:
        if len(self._replies) >= MAX_REPLIES:
            self.close()
            self._writer.transport.abort()  # it reads nothing, so closing alone would never end
            return
        self._replies.append(data)
        self._woken()

    async def flushed(self) -> None:
        await self._idle.wait()

    def close(self) -> None:
        self.subscribed = False
        self.closed = True
        self._task.cancel()
        self._writer.close()

    def _woken(self) -> None:
        self._idle.clear()
        self._wake.set()

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await self._wake.wait()
                self._wake.clear()
                while (data := self._next()) is not None:
                    self._writer.write(data)
                    await self._writer.drain()
                self._idle.set()
        self._idle.set()
        self.subscribed = False

    def _next(self) -> bytes | None:
        """The next bytes to write: replies (and history), events and records, then a snapshot."""
        if self._replies:
            return self._replies.popleft()
        if self._dropped:
            line = EventLine(
                seq=0,
                time_s=time.time(),
                level="warning",
                source="supervisor",
                text=f"{self._dropped} lines were dropped: this client did not read",
            )
            self._dropped = 0
            return encode(line)
        if self._stream:
            parts: list[bytes] = []
            size = 0
            while self._stream and size < WRITE_BYTES:
                part = self._stream.popleft()
                parts.append(part)
                size += len(part)
            self._stream_bytes -= size
            return b"".join(parts)
        data, self._snapshot = self._snapshot, None
        return data
