"""The screen in a browser: only for who has the token, and nothing of a request in a shell."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.tui.fake_run import FakeRun, history

pytest.importorskip("textual_serve", reason="the extra `serve` is not installed")

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from tuitrain.tui.web import carrier, server
from tuitrain.tui.web.server import Pages, serve

WAIT_S = 60.0


@dataclass
class Served:
    """A fake run that is served, and somebody who asks for it."""

    run: FakeRun
    pages: Pages
    base: str
    session: ClientSession
    before: set[int]

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

    async def no_screens(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while screens := self.screens():
                await asyncio.to_thread(psutil.wait_procs, screens, 1.0)


@contextlib.asynccontextmanager
async def served(folder: Path, *more: str) -> AsyncIterator[Served]:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    up: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()
    async with FakeRun(folder / "s") as run:
        run.history = history()
        screen = [sys.executable, "-m", "tuitrain.tui.web.screen", str(folder)]
        pages = Pages("a <run>", lambda: [*screen, "--socket", str(run.socket_path), *more])
        task = asyncio.ensure_future(serve(pages, "127.0.0.1", 0, up.set_result, over))
        port = await up
        try:
            async with ClientSession() as session:
                yield Served(run, pages, f"http://127.0.0.1:{port}", session, before)
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
        for path in ("static/", "static/../server.py", "static/%2e%2e/server.py", "other"):
            async with there.session.get(there.path(path)) as file:
                assert file.status in (403, 404)


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
            await there.shows(socket, "▲ WARN")
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
            with pytest.raises(WSServerHandshakeError, match="503"):
                await there.session.ws_connect(there.path("ws"))
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
