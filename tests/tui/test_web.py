"""The screen in a browser: only for who has the token, and nothing of a request in a shell."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.tui.fake_run import FakeRun, history

pytest.importorskip("textual_serve", reason="the extra `serve` is not installed")

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web

from tuitrain.cli import serve as command
from tuitrain.cli.errors import Refused
from tuitrain.tui.web import carrier, server
from tuitrain.tui.web.server import Pages, serve

WAIT_S = 60.0
BEGINS = "import sys, time; out = sys.stdout.buffer; out.write(b'__GANGLION__\\n'); out.flush(); "


def program(code: str) -> Callable[[], list[str]]:
    """What stands for a screen."""
    return lambda: [sys.executable, "-S", "-c", code]


@dataclass
class Served:
    """A fake run that is served, and somebody who asks for it."""

    run: FakeRun
    pages: Pages
    port: int
    session: ClientSession
    before: set[int]
    over: asyncio.Event
    ended: asyncio.Future[None]

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def status(self, first: bytes) -> int:
        """What is answered to this first line of a request, as it is: clients mend their paths."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(first + b" HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), WAIT_S)
        writer.close()
        await writer.wait_closed()
        return int(answer.split()[1])

    async def closed(self, socket: ClientWebSocketResponse) -> str:
        """Why a page has been closed, when it has been."""
        async with asyncio.timeout(WAIT_S):
            while (message := await socket.receive()).type is WSMsgType.BINARY:
                pass
        assert message.type is WSMsgType.CLOSE
        return message.extra or ""

    def path(self, rest: str = "") -> str:
        return f"{self.base}/{self.pages.token}/{rest}"

    def screens(self) -> list[psutil.Process]:
        """Processes that have been started for pages."""
        children = psutil.Process().children(recursive=True)
        return [child for child in children if child.pid not in self.before]

    async def shows(self, socket: ClientWebSocketResponse, words: str) -> str:
        """Read what is drawn until these words are."""
        drawn = ""
        async with asyncio.timeout(WAIT_S):
            while words not in drawn:
                message = await socket.receive()
                assert message.type is WSMsgType.BINARY, (message, drawn)
                drawn += message.data.decode("utf-8", "replace")
        return drawn

    async def end(self) -> None:
        """End the server, while its pages are still looked at."""
        self.over.set()
        await asyncio.wait_for(asyncio.shield(self.ended), WAIT_S)

    async def no_screens(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while screens := self.screens():
                await asyncio.to_thread(psutil.wait_procs, screens, 1.0)


@contextlib.asynccontextmanager
async def served(
    folder: Path, *more: str, instead: Callable[[], Sequence[str]] | None = None
) -> AsyncIterator[Served]:
    """A run that is served, or what is `instead` of its screen."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    up: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()
    async with FakeRun(folder / "s") as run:
        run.history = history()
        screen = [sys.executable, "-m", "tuitrain.tui.web.screen", str(folder)]
        usual = [*screen, "--socket", str(run.socket_path), *more]
        pages = Pages("a <run>", instead or (lambda: usual))
        task = asyncio.ensure_future(serve(pages, "127.0.0.1", 0, up.set_result, over))
        port = await up
        try:
            async with ClientSession() as session:
                yield Served(run, pages, port, session, before, over, task)
        finally:
            over.set()
            await asyncio.wait_for(task, WAIT_S)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("w")  # short: a socket lies in it


async def test_without_the_token_everything_is_refused(folder: Path) -> None:
    async with served(folder) as there:
        token, ask = there.pages.token, there.session.get
        for path in (
            "/", "/ws", "/static/js/textual.js", "/wrong/", f"/{token}x/", f"/{token[:-1]}/",
            f"/x/{token}/", f"/?token={token}", f"//{token}/", f"/{token.upper()}/", "/%ff%00/",
        ):  # fmt: skip
            async with ask(there.base + path, allow_redirects=False) as answer:
                assert answer.status == 403, path
                assert token not in await answer.text()
        with pytest.raises(WSServerHandshakeError, match="403"):
            await there.session.ws_connect(f"{there.base}/wrong/ws")
        assert there.screens() == []


async def test_what_is_no_path_is_refused_too(folder: Path) -> None:
    async with served(folder) as there:
        for first in (b"OPTIONS *", b"GET /caf\xe9/", b"GET /%e9/", b"GET x"):
            assert await there.status(first) in (400, 403), first


async def test_with_the_token_there_is_a_page_that_needs_no_other_host(folder: Path) -> None:
    async with served(folder) as there, there.session.get(there.path()) as answer:
        page = await answer.text()
        assert answer.status == 200
        assert "a &lt;run&gt;" in page
        assert page.count("://") == 1, "the socket's own address"
        assert there.path("ws").replace("http", "ws") in page
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        for path in ("static/js/textual.js", "static/css/xterm.css"):
            async with there.session.get(there.path(path)) as file:
                assert file.status == 200
        outside = ("../server.py", "%2e%2e/server.py", "..%2fserver.py", "%2e%2e%2fserver.py")
        for path in ("static/", "other", *(f"static/{path}" for path in outside)):
            status = await there.status(f"GET /{there.pages.token}/{path}".encode())
            assert status in (403, 404), path


async def test_the_socket_shows_the_run_and_its_keys_reach_it(folder: Path) -> None:
    async with served(folder) as there:
        async with there.session.ws_connect(there.path("ws?width=120&height=40")) as socket:
            await there.shows(socket, "RUNNING")
            (screen,) = there.screens()
            assert screen.cmdline()[1:3] == ["-m", "tuitrain.tui.web.screen"], "no shell between"
            await socket.send_json(["stdin", "p"])
            asked = await there.run.asked("pause")
            there.run.answer(asked, "paused: 10 of 10 workers hold")
            await there.shows(socket, "10 of 10 workers")
            await socket.send_json(["resize", {"width": 38, "height": 5}])
            await there.shows(socket, "▲ 1 WARN")
        await there.no_screens()


async def test_a_screen_that_is_left_closes_its_page(folder: Path) -> None:
    async with served(folder) as there:
        async with there.session.ws_connect(there.path("ws")) as socket:
            await there.shows(socket, "HEALTH")
            await socket.send_json(["stdin", "d"])
            async with asyncio.timeout(WAIT_S):
                while (await socket.receive()).type is WSMsgType.BINARY:
                    pass
            assert socket.closed
        await there.no_screens()


async def test_read_only_asks_nothing(folder: Path) -> None:
    async with (
        served(folder, "--read-only") as there,
        there.session.ws_connect(there.path("ws?width=120&height=40")) as socket,
    ):
        await there.shows(socket, "READ-ONLY")
        await socket.send_json(["stdin", "p"])
        await there.shows(socket, "read-only")
        assert there.run.commands == []


async def test_what_makes_no_sense_reaches_nothing(folder: Path) -> None:
    """Sizes are numbers within bounds or the usual ones, whatever else is sent."""
    bad = folder / "made by a shell"
    query = f"width=$(touch {bad});touch {bad}&height=99999999999999999999"
    async with served(folder) as there:
        async with there.session.ws_connect(there.path(f"ws?{query}")) as socket:
            for words in (
                "", "{", "[" * 9000, "[]", "7", '["resize", {"width": "9;touch"}]',
                json.dumps(["resize", {"width": -5, "height": 10**30}]), '["stdin", {}]',
                json.dumps(["ping", {"a": 1}]), '["open_url", "file:///"]', "[null]",
            ):  # fmt: skip
                await socket.send_str(words)
            await there.shows(socket, "HEALTH")
            (screen,) = there.screens()
            size = screen.environ()
            assert (size["COLUMNS"], size["ROWS"]) == ("80", str(server.MOST_CELLS))
        await there.no_screens()
    assert not bad.exists()


async def test_pages_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_SCREENS", 1)
    async with served(folder) as there:
        async with there.session.ws_connect(there.path("ws")) as socket:
            await there.shows(socket, "HEALTH")
            async with there.session.get(there.path()) as answer:
                assert answer.status == 503
                assert "503: 1 pages are open" in await answer.text()
            async with there.session.ws_connect(there.path("ws")) as another:
                assert "pages are open already" in await there.closed(another)
            assert len(there.screens()) == 1
        async with asyncio.timeout(WAIT_S):
            while there.pages._open:
                await asyncio.sleep(0)
        async with there.session.ws_connect(there.path("ws")) as socket:
            await there.shows(socket, "HEALTH")


async def test_the_end_of_the_server_is_the_end_of_its_screens(folder: Path) -> None:
    async with served(folder) as there:
        socket = await there.session.ws_connect(there.path("ws"))
        await there.shows(socket, "HEALTH")
    assert there.screens() == []


async def test_a_screen_that_hangs_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier, "STOP_S", 0.1)
    async with served(folder) as there:
        async with there.session.ws_connect(there.path("ws")) as socket:
            await there.shows(socket, "HEALTH")
            (screen,) = there.screens()
            screen.suspend()
        await there.no_screens()


async def test_a_screen_that_cannot_begin_closes_its_page(folder: Path) -> None:
    async with served(folder, "--nonsense") as there:
        async with there.session.ws_connect(there.path("ws")) as socket:
            assert (await socket.receive()).type is WSMsgType.CLOSE
        await there.no_screens()


async def test_a_run_that_is_gone_closes_the_page_with_the_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked_in = []

    def gone() -> list[str]:
        asked_in.append(threading.current_thread())
        raise Refused("no such run: é" + "é" * 99)

    async with (
        served(folder, instead=gone) as there,
        there.session.ws_connect(there.path("ws")) as socket,
    ):
        assert "no such run: é" in await there.closed(socket)
    assert "no such run: é" in capsys.readouterr().err
    assert threading.main_thread() not in asked_in, "other pages wait meanwhile"


async def test_what_is_no_screen_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with (
        served(folder, instead=program("print('hello')")) as there,
        there.session.ws_connect(there.path("ws")) as socket,
    ):
        assert "began with b'hello" in await there.closed(socket)
    assert "began with b'hello" in capsys.readouterr().err


async def test_an_error_between_a_page_and_its_screen_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("a key too many")

    monkeypatch.setattr(server, "_pass_on", broken)
    async with (
        served(folder, instead=program(BEGINS + "sys.stdin.read(1)")) as there,
        there.session.ws_connect(there.path("ws")) as socket,
    ):
        await socket.send_str("x")
        assert "a key too many" in await there.closed(socket)
    assert "a key too many" in capsys.readouterr().err


async def test_a_page_that_is_just_being_opened_at_the_end_is_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled, release, dress = asyncio.Event(), asyncio.Event(), server._dress

    async def slowly(request: web.Request, response: web.StreamResponse) -> None:
        stalled.set()
        await release.wait()
        await dress(request, response)

    monkeypatch.setattr(server, "_dress", slowly)
    async with served(folder) as there:
        opening = asyncio.ensure_future(there.session.ws_connect(there.path("ws")))
        await asyncio.wait_for(stalled.wait(), WAIT_S)
        await there.pages._close(web.Application())
        release.set()
        async with await opening as socket:
            await there.closed(socket)
        assert there.screens() == []


async def test_a_browser_that_does_not_read_does_not_hold_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is waited for that only its reading would bring: neither drawing nor closing."""
    monkeypatch.setattr(carrier, "STOP_S", 0.1)
    monkeypatch.setattr(server, "STOP_S", 10 * WAIT_S)  # no handler is cut off by aiohttp
    floods = program(
        BEGINS + "packet = b'D\\0\\1\\0\\0' + bytes(65536)\nwhile True: out.write(packet)"
    )
    async with served(folder, instead=floods) as there:
        unread = await there.session.ws_connect(there.path("ws"))
        async with asyncio.timeout(WAIT_S):
            while not any(s._req.protocol.writing_paused for s in there.pages._open if s._req):
                await asyncio.sleep(0)
        await there.end()
        assert not unread.closed
        assert there.screens() == []


async def test_who_asks_twice_for_the_end_waits_for_no_screen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (carrier, server):
        monkeypatch.setattr(module, "STOP_S", 10 * WAIT_S)
    pages = Pages("a run", program(BEGINS + "time.sleep(9999)"))
    up: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(command._serve(pages, "127.0.0.1", 0, up.set_result))
    async with ClientSession() as session:
        socket = await session.ws_connect(f"http://127.0.0.1:{await up}/{pages.token}/ws")
        async with asyncio.timeout(WAIT_S):
            while not pages._running:
                await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGTERM)
            assert (await socket.receive()).type is WSMsgType.CLOSE
            os.kill(os.getpid(), signal.SIGTERM)
            await task
    assert pages._running == set()


def test_a_server_that_is_killed_takes_its_screens_along(folder: Path) -> None:
    """Linux only: elsewhere a screen learns of it with its next word to the page."""
    program = (
        "import asyncio, os, signal, sys\n"
        "from tuitrain.tui.web.carrier import Carrier\n"
        "async def main():\n"
        "    async def draw(data):\n"
        "        print(carrier._process.pid, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    command = [sys.executable, '-m', 'tuitrain.tui.web.screen', sys.argv[1]]\n"
        "    carrier = await Carrier.start(command, 80, 24, draw)\n"
        "    await carrier.carry()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout.split()[0])).wait(WAIT_S)


def test_a_screen_whose_server_died_before_it_began_ends(folder: Path) -> None:
    command = [sys.executable, "-m", "tuitrain.tui.web.screen", str(folder), "--server", "1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=WAIT_S)
    assert (done.returncode, done.stdout) == (1, b"")
