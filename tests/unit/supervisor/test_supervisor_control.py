"""The socket: every request answered, no client able to hold anything up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tuitrain.cli.client import BlockingClient
from tuitrain.cli.errors import Refused
from tuitrain.protocol import (
    EventLine,
    Hello,
    RecordLine,
    Reply,
    Request,
    Snapshot,
    decode_to_client,
    encode,
)
from tuitrain.supervisor.clients import control
from tuitrain.supervisor.clients.control import ControlServer


def event(seq: int, text: str = "something") -> EventLine:
    return EventLine(seq=seq, time_s=1.0, level="info", source="supervisor", text=text)


def snapshot(seq: int) -> Snapshot:
    return Snapshot(
        seq=seq,
        time_s=1.0,
        run_id="0123abcd",
        run_dir="/r",
        name="n",
        schedule="async",
        state="running",
        elapsed_s=1.0,
        supervisor_pid=1,
    )


async def answer(request: Request) -> Reply:
    if request.command == "pause":
        await asyncio.Event().wait()
    if request.command == "resync":
        raise RuntimeError("a bug")
    return Reply(id=request.id, ok=True, message=request.command)


@asynccontextmanager
async def serving(path: Path, history: Iterable[BaseModel] = ()) -> AsyncIterator[ControlServer]:
    server = ControlServer(Hello(run_id="0123abcd", run_dir="/r"), answer, lambda: history)
    await server.start(path / "sock")
    try:
        yield server
    finally:
        await server.close(flush_s=0.1)


class Peer:
    """A client that reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, path: Path) -> Peer:
        peer = cls(*await asyncio.open_unix_connection(str(path / "sock"), limit=1 << 24))
        assert isinstance(await peer.read(), Hello)
        return peer

    def ask(self, number: int, command: Any) -> None:
        self.writer.write(encode(Request(id=number, command=command)))

    async def read(self) -> BaseModel:
        return decode_to_client(await asyncio.wait_for(self.reader.readline(), 10.0))


async def test_the_socket_is_private(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert stat.S_IMODE(os.stat(tmp_path / "sock").st_mode) == 0o600


async def test_a_request_gets_its_reply_while_another_still_waits(tmp_path: Path) -> None:
    async with serving(tmp_path):
        peer = await Peer.connect(tmp_path)
        peer.ask(1, "pause")
        peer.ask(2, "stop")
        assert await peer.read() == Reply(id=2, ok=True, message="stop")
        peer.writer.close()


async def test_garbage_and_failing_handlers_are_answered(tmp_path: Path) -> None:
    async with serving(tmp_path):
        peer = await Peer.connect(tmp_path)
        peer.writer.write(b'{"kind": "request", "id": 1, "command": "dance"}\n')
        reply = await peer.read()
        assert isinstance(reply, Reply)
        assert not reply.ok
        peer.ask(2, "resync")
        reply = await peer.read()
        assert isinstance(reply, Reply)
        assert "RuntimeError: a bug" in reply.message
        peer.writer.close()


async def test_a_line_without_end_disconnects_its_sender_only(tmp_path: Path) -> None:
    async with serving(tmp_path):
        bad, good = await Peer.connect(tmp_path), await Peer.connect(tmp_path)
        bad.writer.write(b"x" * 1_000_000)
        with contextlib.suppress(ConnectionResetError):  # what it wrote was not read
            assert await asyncio.wait_for(bad.reader.read(), 10.0) == b""
        good.ask(1, "status")
        assert isinstance(await good.read(), Reply)
        good.writer.close()


async def test_history_comes_before_what_happens_after_subscribing(tmp_path: Path) -> None:
    async with serving(tmp_path, [event(1), RecordLine(record={"kind": "eval"})]) as server:
        peer = await Peer.connect(tmp_path)
        peer.ask(5, "subscribe")
        got = [await peer.read() for _ in range(3)]
        server.publish(event(2))
        server.publish_snapshot(snapshot(9))
        got += [await peer.read() for _ in range(2)]
        assert [line.kind for line in got] == [
            "event",
            "record",
            "reply",
            "event",
            "snapshot",
        ]
        peer.writer.close()


async def test_a_client_that_never_reads_costs_bounded_memory_and_holds_up_nobody(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as server:
        stopped = socket.socket(socket.AF_UNIX)
        stopped.connect(str(tmp_path / "sock"))
        stopped.sendall(encode(Request(id=1, command="subscribe")))
        reader = await Peer.connect(tmp_path)
        reader.ask(1, "subscribe")
        assert isinstance(await reader.read(), Reply)
        while server.subscribers < 2:
            await asyncio.sleep(0)
        text = "x" * 10_000
        for seq in range(2_000):  # 20 MB, far more than may wait
            server.publish(event(seq, text))
            server.publish_snapshot(snapshot(seq))
            line = await reader.read()
            while not isinstance(line, EventLine):
                line = await reader.read()
            assert line.seq == seq
        held = [client._stream_bytes + sum(map(len, client._replies)) for client in server._clients]
        assert max(held) <= control.MAX_QUEUE_BYTES
        assert len(held) == 2

        # When it reads at last, it is told what it missed and gets the newest snapshot only.
        stopped.setblocking(False)
        late = asyncio.StreamReader(limit=1 << 24)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: asyncio.StreamReaderProtocol(late), stopped
        )
        seen: list[BaseModel] = []
        while not (seen and isinstance(seen[-1], Snapshot) and seen[-1].seq == 1_999):
            seen.append(decode_to_client(await asyncio.wait_for(late.readline(), 10.0)))
        told = [x for x in seen if isinstance(x, EventLine) and "lines were dropped" in x.text]
        assert told
        # Those that the kernel took before its buffer was full, and then the newest alone.
        numbers = [x.seq for x in seen if isinstance(x, Snapshot)]
        assert len(numbers) < 200
        assert numbers[-2] < 200
        transport.close()
        reader.writer.close()


async def test_a_client_that_only_asks_is_disconnected(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        greedy = socket.socket(socket.AF_UNIX)
        greedy.connect(str(tmp_path / "sock"))
        greedy.setblocking(False)
        loop = asyncio.get_running_loop()

        async def ask_on() -> None:
            data = encode(Request(id=1, command="status")) * 1000
            while True:
                await loop.sock_sendall(greedy, data)

        asking = asyncio.ensure_future(ask_on())
        done, _ = await asyncio.wait({asking}, timeout=30.0)
        assert done, "it was never cut off"
        assert isinstance(asking.exception(), OSError)
        assert not server._clients
        greedy.close()


async def test_the_requests_of_one_client_are_carried_out_a_few_at_a_time(tmp_path: Path) -> None:
    async with serving(tmp_path):
        peer = await Peer.connect(tmp_path)
        before = len(asyncio.all_tasks())
        peer.writer.write(encode(Request(id=1, command="pause")) * 1_000)  # never answered here
        other = await Peer.connect(tmp_path)
        for number in range(100):
            other.ask(number, "stop")
            assert await other.read() == Reply(id=number, ok=True, message="stop")
        assert len(asyncio.all_tasks()) - before < 2 * control.MAX_UNDER_WAY
        peer.writer.close()
        other.writer.close()


async def test_one_client_too_many_is_told_so(tmp_path: Path) -> None:
    async with serving(tmp_path):
        peers = [await Peer.connect(tmp_path) for _ in range(control.MAX_CLIENTS)]

        def ask() -> Reply:
            with BlockingClient(tmp_path / "sock", 10.0) as client:
                return client.ask("status")

        with pytest.raises(Refused, match="32 clients already"):
            await asyncio.to_thread(ask)
        for peer in peers:
            peer.writer.close()
