"""A run's socket without a run: says what it is told to say, and notes what it is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tests.tui.fixtures import events, records, snapshot
from tuitrain.protocol import Hello, RecordLine, Reply, Request, Snapshot, decode_request, encode


class FakeRun:
    """A run's socket without a run: streams what it is told to, notes what it is asked.

    Replies are sent by `answer`, so that a test can look at a pending command.
    """

    def __init__(self, socket_path: Path, now: Snapshot | None = None) -> None:
        self.socket_path = socket_path
        self.now = now if now is not None else snapshot()
        self.history: list[BaseModel] = []
        self.requests: asyncio.Queue[Request] = asyncio.Queue()
        self.commands: list[str] = []
        self.subscribed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.on_request: Callable[[Request], Reply | None] = lambda request: None

    async def __aenter__(self) -> FakeRun:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Serve."""
        self._server = await asyncio.start_unix_server(self._client, str(self.socket_path))

    async def stop(self) -> None:
        """Go away, as a supervisor that dies: every connection ends, the socket with it."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self._writers.clear()
        self.subscribed.clear()
        self.socket_path.unlink(missing_ok=True)

    def say(self, line: BaseModel | bytes) -> None:
        """Send a line to every client."""
        for writer in self._writers:
            writer.write(line if isinstance(line, bytes) else encode(line))

    def show(self, now: Snapshot) -> None:
        """Send a snapshot, and to those who come later too."""
        self.now = now
        self.say(now)

    async def asked(self, command: str) -> Request:
        """The next request, which must be this command."""
        async with asyncio.timeout(10):
            request = await self.requests.get()
        assert request.command == command, f"asked for {request.command}, expected {command}"
        return request

    def answer(self, request: Request, message: str, ok: bool = True, **result: Any) -> None:
        """Reply to a request."""
        self.say(Reply(id=request.id, ok=ok, message=message, result=result))

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while raw := await reader.readline():
                request = decode_request(raw)
                if request.command == "subscribe":
                    hello = Hello(run_id=self.now.run_id, run_dir=self.now.run_dir)
                    for line in (hello, *self.history, self.now):
                        writer.write(encode(line))
                    writer.write(encode(Reply(id=request.id, ok=True, message="subscribed")))
                    self.subscribed.set()
                    continue
                self.commands.append(request.command)
                reply = self.on_request(request)
                if reply is not None:
                    writer.write(encode(reply))
                else:
                    self.requests.put_nowait(request)
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def history() -> list[BaseModel]:
    """Events and records as a supervisor sends them to a new client."""
    return [*events(), *(RecordLine(record=r) for r in records())]
