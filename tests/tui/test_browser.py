"""The screen in a real browser, headless: what a person would see."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("textual_serve", reason="the extra `serve` is not installed")

from aiohttp import ClientSession, ClientWebSocketResponse
from PIL import Image

from tests.tui.test_web import WAIT_S, served
from tuitrain.tui.text import DARK

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
SIZE = (1200, 700)
MANY_COLOURS = 20
"""Of letters and their edges; of nothing but grounds there are fewer."""

pytestmark = pytest.mark.skipif(
    not BROWSER, reason="no chromium here (Debian: apt-get install chromium)"
)


class Tab:
    """A tab, by the browser's debugging protocol."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._id = 0
        self.said: list[dict[str, Any]] = []

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        self._id += 1
        await self._socket.send_json({"id": self._id, "method": method, "params": params})
        while True:
            answer: dict[str, Any] = await self._socket.receive_json()
            if answer.get("id") == self._id:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.said.append(answer)

    async def hears(self, method: str) -> None:
        """Wait until it says this."""
        async with asyncio.timeout(WAIT_S):
            while all(line["method"] != method for line in self.said):
                self.said.append(await self._socket.receive_json())

    async def press(self, key: str) -> None:
        """A key of a keyboard, for whatever has the focus."""
        await self.do("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self.do("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def picture(self) -> np.ndarray[Any, Any]:
        """What it shows: uint8 [height, width, 3]."""
        data = (await self.do("Page.captureScreenshot", format="png"))["data"]
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            return np.asarray(image.convert("RGB"))


@contextlib.asynccontextmanager
async def browsing(folder: Path, address: str) -> AsyncIterator[Tab]:
    """A browser with this page open; it and its files are gone afterwards."""
    width, height = SIZE
    process = await asyncio.create_subprocess_exec(
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--remote-debugging-port=0", f"--window-size={width},{height}",
        f"--user-data-dir={folder / 'browser'}", "about:blank",
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        told = ""
        while not (found := re.search(r"ws://([^/\s]+)/", told)):
            line = await asyncio.wait_for(process.stderr.readline(), WAIT_S)
            assert line, f"the browser does not start: {told}"
            told += line.decode()
        async with ClientSession() as session:
            async with session.get(f"http://{found[1]}/json/list") as answer:
                tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
            async with session.ws_connect(
                tabs[0]["webSocketDebuggerUrl"], max_msg_size=0
            ) as socket:
                tab = Tab(socket)
                await tab.do("Log.enable")
                await tab.do("Page.enable")
                await tab.do("Page.navigate", url=address)
                await tab.hears("Page.loadEventFired")
                yield tab
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def test_the_page_shows_the_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Lines of text from top to bottom, in the colour of headings; nothing is loaded from afar.

    A key reaches the run before anything has been clicked on, and a larger window is filled.
    """
    folder = tmp_path_factory.mktemp("w")
    accent = np.array([int(DARK.accent[-6:][i : i + 2], 16) for i in (0, 2, 4)])
    async with served(folder) as there, browsing(folder, there.path()) as tab:
        async with asyncio.timeout(WAIT_S):
            while True:
                picture = await tab.picture()
                near = (np.abs(picture.astype(int) - accent) < 30).all(2)
                if near.any(0).sum() > SIZE[0] / 5 and near.any(1).sum() > 20:
                    break
        Image.fromarray(picture).save(folder / "page.png")  # to be looked at
        await tab.do("Page.bringToFront")
        await tab.press("p")
        there.run.answer(await there.run.asked("pause"), "paused: 10 of 10 workers hold")
        width, height = 2 * SIZE[0], SIZE[1] + 200
        await tab.do(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        async with asyncio.timeout(WAIT_S):
            while True:
                picture = await tab.picture()
                corner = picture[SIZE[1] :, SIZE[0] + 100 :].reshape(-1, 3)
                if len(corner) and len(np.unique(corner, axis=0)) > MANY_COLOURS:
                    break
        assert picture.shape == (height, width, 3)
        errors = [line for line in tab.said if line["method"] == "Log.entryAdded"]
        assert not [e for e in errors if e["params"]["entry"]["level"] == "error"], errors
