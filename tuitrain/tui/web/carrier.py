"""One screen's process, and what goes between it and a page: packets of textual's web driver.

A packet is a letter, four bytes of length, and so many bytes: ``D`` what a terminal would get or
send, ``M`` JSON (sizes, focus, the end). textual-serve's own ``AppService`` says the same, but
starts a shell, and neither reaps nor ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

DRIVER = "textual.drivers.web_driver:WebDriver"
HELLO = b"__GANGLION__\n"
"""The line before the first packet."""
STOP_S = 5.0
"""So long a screen may take to leave in good order."""
_READ_BYTES = 1 << 16


class Carrier:
    """A screen that runs. Made by ``start``."""

    def __init__(self, process: Process, draw: Callable[[bytes], Awaitable[None]]) -> None:
        self._process = process
        self._draw = draw

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        width: int,
        height: int,
        draw: Callable[[bytes], Awaitable[None]],
    ) -> Carrier:
        """Start a screen of this size in cells, by no shell.

        Args:
            draw: takes what the screen writes to its terminal.
        """
        surroundings = os.environ | {
            "TEXTUAL_DRIVER": DRIVER,
            "TEXTUAL_COLOR_SYSTEM": "truecolor",
            "COLUMNS": str(width),
            "ROWS": str(height),
        }
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=surroundings
        )
        return cls(process, draw)

    async def carry(self) -> None:
        """Hand on what is drawn until the screen ends.

        Raises:
            RuntimeError: it has begun with something else than a screen does.
        """
        out = self._process.stdout
        assert out is not None
        first = await out.readline()
        if not first:
            return  # it could not begin; why is on the error stream
        if first != HELLO:
            raise RuntimeError(f"the screen began with {first[:80]!r} instead of {HELLO!r}")
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                kind = await out.readexactly(1)
                packet = await out.readexactly(int.from_bytes(await out.readexactly(4), "big"))
                if kind == b"D":
                    await self._draw(packet)

    async def type(self, keys: str) -> None:
        """Send keys."""
        await self._send(b"D", keys.encode("utf-8", "replace"))

    async def tell(self, **meta: Any) -> None:
        """Send what is no key: a `type`, and what belongs to it."""
        await self._send(b"M", json.dumps(meta).encode())

    async def end(self) -> None:
        """The process is gone and reaped when this returns; nobody may ``carry`` any more."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self.tell(type="quit")
                    await self._ended()
        finally:
            self.kill()
        await self._ended()

    async def _ended(self) -> None:
        out = self._process.stdout
        assert out is not None
        while await out.read(_READ_BYTES):
            pass  # asyncio waits for the end of its pipes too, and a full one does not come to it
        await self._process.wait()

    def kill(self) -> None:
        """Let it go at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _send(self, kind: bytes, payload: bytes) -> None:
        to = self._process.stdin
        assert to is not None
        with contextlib.suppress(ConnectionError):
            to.write(kind + len(payload).to_bytes(4, "big") + payload)
            await asyncio.wait_for(to.drain(), STOP_S)
