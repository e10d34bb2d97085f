"""The socket client against a fake run: requests, garbage, losing and finding the run again."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.tui.fake_run import FakeRun
from tests.tui.fixtures import events, snapshot
from tuitrain.protocol import EventLine, Hello, Snapshot
from tuitrain.tui.client import ConnectionLost, RunClient, Stream, answers


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tt") as folder:
        yield Path(folder) / "s"


class Listener:
    """A client that notes what arrives."""

    def __init__(self, path: Path) -> None:
        self.lines: asyncio.Queue[Stream] = asyncio.Queue()
        self.links: asyncio.Queue[bool] = asyncio.Queue()
        self.client = RunClient(path, self.lines.put_nowait, self.links.put_nowait)

    async def next(self) -> Stream:
        async with asyncio.timeout(10):
            return await self.lines.get()

    async def link(self) -> bool:
        async with asyncio.timeout(10):
            return await self.links.get()


@pytest.fixture
async def listener(socket_path: Path) -> AsyncIterator[Listener]:
    listener = Listener(socket_path)
    task = asyncio.create_task(listener.client.run())
    yield listener
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_history_comes_in_order(socket_path: Path, listener: Listener) -> None:
    async with FakeRun(socket_path) as run:
        run.history = [*events()[:2]]
        kinds = [type(await listener.next()) for _ in range(4)]
        assert kinds == [Hello, EventLine, EventLine, Snapshot]


async def test_replies_find_their_requests(socket_path: Path, listener: Listener) -> None:
    async with FakeRun(socket_path) as run:
        assert await listener.link()
        first = asyncio.create_task(listener.client.request("checkpoint"))
        second = asyncio.create_task(listener.client.request("resync"))
        a, b = await run.asked("checkpoint"), await run.asked("resync")
        run.answer(b, "second")
        assert (await second).message == "second"
        assert not first.done()
        run.answer(a, "first", ok=False)
        reply = await first
        assert (reply.ok, reply.message) == (False, "first")


async def test_a_lost_connection_fails_what_is_pending(
    socket_path: Path, listener: Listener
) -> None:
    async with FakeRun(socket_path) as run:
        assert await listener.link()
        asked = asyncio.create_task(listener.client.request("pause"))
        await run.asked("pause")
        await run.stop()
        with pytest.raises(ConnectionLost, match="before it answered"):
            await asked
        assert not await listener.link()
        with pytest.raises(ConnectionLost, match="not connected"):
            await listener.client.request("pause")


async def test_it_comes_back(socket_path: Path, listener: Listener) -> None:
    async with FakeRun(socket_path) as run:
        assert await listener.link()
        assert isinstance(await listener.next(), Hello)
        await run.stop()
        assert not await listener.link()
        await run.start()
        assert await listener.link()
        async with asyncio.timeout(10):
            await run.subscribed.wait()
        asked = asyncio.create_task(listener.client.request("status"))
        run.answer(await run.asked("status"), "here")
        assert (await asked).message == "here"


async def test_garbage_is_counted_and_skipped(socket_path: Path, listener: Listener) -> None:
    async with FakeRun(socket_path) as run:
        assert isinstance(await listener.next(), Hello)
        assert isinstance(await listener.next(), Snapshot)
        run.say(b"\xff\x00 not json\n")
        run.say(b'{"kind": "snapshot"}\n')
        run.say(b'{"kind": "tomorrow", "x": 1}\n')
        run.show(snapshot(seq=7))
        line = await listener.next()
        assert isinstance(line, Snapshot)
        assert line.seq == 7
        assert listener.client.bad_lines == 3


async def test_a_line_that_is_too_long_is_skipped(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuitrain.tui.client.MAX_LINE_BYTES", 64 * 1024)
    listener = Listener(socket_path)
    async with FakeRun(socket_path) as run:
        task = asyncio.create_task(listener.client.run())
        assert isinstance(await listener.next(), Hello)
        assert isinstance(await listener.next(), Snapshot)
        run.say(b"x" * 200_000 + b"\n")
        run.show(snapshot(seq=8))
        line = await listener.next()
        assert isinstance(line, Snapshot)
        assert listener.client.bad_lines > 0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_answers(socket_path: Path) -> None:
    assert not await answers(socket_path)
    async with FakeRun(socket_path):
        assert await answers(socket_path)
    assert not await answers(socket_path)


async def test_a_client_that_rests_takes_the_newest_snapshot_alone_and_every_event(
    socket_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuitrain.tui.client.GLANCE_S", 0.05)
    async with FakeRun(socket_path) as run:
        while not isinstance(await listener.next(), Snapshot):
            pass
        listener.client.rest(True)
        for i in range(5):
            run.say(snapshot().model_copy(update={"seq": 100 + i}))
            run.say(events()[0].model_copy(update={"seq": 200 + i}))
        told = [await listener.next() for _ in range(6)]
        assert [line.seq for line in told if isinstance(line, EventLine)] == [*range(200, 205)]
        assert [line.seq for line in told if isinstance(line, Snapshot)] == [104]


async def test_a_client_that_rests_hears_its_answer_and_all_that_waits_once_it_is_awake(
    socket_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuitrain.tui.client.GLANCE_S", 1e9)
    monkeypatch.setattr("tuitrain.tui.client._LOOK_S", 0.0)
    async with FakeRun(socket_path) as run:
        while not isinstance(await listener.next(), Snapshot):
            pass
        listener.client.rest(True)
        for _ in range(5):
            await asyncio.sleep(0)  # it looks away
        asked = asyncio.create_task(listener.client.request("pause"))
        run.answer(await run.asked("pause"), "paused")
        async with asyncio.timeout(10):
            assert (await asked).message == "paused"
        listener.client.rest(False)
        run.say(events()[0])
        assert isinstance(await listener.next(), EventLine)


async def test_the_last_snapshot_before_the_end_is_told_to_who_rests(
    socket_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuitrain.tui.client.GLANCE_S", 1e9)
    monkeypatch.setattr("tuitrain.tui.client._LOOK_S", 1e9)
    async with FakeRun(socket_path) as run:
        while not isinstance(await listener.next(), Snapshot):
            pass
        listener.client.rest(True)
        run.say(snapshot().model_copy(update={"state": "finished"}))
    line = await listener.next()
    assert isinstance(line, Snapshot)
    assert line.state == "finished"
