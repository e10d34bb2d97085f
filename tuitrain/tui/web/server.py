"""Pages for browsers: behind each is a process with a screen; the terminal is textual-serve's.

Whoever has no token is refused everything, scripts and styles too. Of what a browser sends, two
numbers, the size in cells, reach the start of a process, in its environment; keys reach the screen
alone. Knows nothing of runs.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import html
import json
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from string import Template

import textual_serve
from aiohttp import WSCloseCode, WSMsgType, web

from tuitrain.tui.web.carrier import Carrier

STATIC = Path(textual_serve.__file__).parent / "static"
MOST_SCREENS = 8
"""Pages at once: each is a process of up to 80 MB."""
MOST_CELLS = 500
MOST_BYTES = 1 << 16
"""Of one message of a browser."""
STOP_S = 10.0
CLOSE_S = 1.0
"""So long a browser may take to say that it has seen the end of its page."""
MOST_REASON = 120
"""Bytes of why a socket is closed; the protocol has room for 123."""
SCRIPT = (
    "new MutationObserver(() => document.querySelector('.xterm-helper-textarea')?.focus())"
    ".observe(document.body, {attributeFilter: ['class']});"
)
"""Gives the terminal the keys from its first picture on (textual-serve's script then marks the
page); else they would reach it only once it has been clicked on."""
_SCRIPT_SHA256 = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    f"script-src 'self' 'sha256-{_SCRIPT_SHA256}'; "
    "img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
REFUSED = (
    "403: open the whole address that `tuitrain serve` has printed; its last part is a token.\n"
)
FULL = "503: {most} pages are open already; close one, then load this again.\n"
PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/css/xterm.css">
<script src="static/js/textual.js"></script>
<style>
html, body { margin: 0; height: 100%; overflow: hidden; background: #0c181f; color: #dde; }
.textual-terminal { width: 100vw; height: 100vh; }
#closed { display: none; position: fixed; inset: 0; padding: 2em; background: #0c181fe0;
          font: 14px monospace; }
body.-closed #closed { display: block; }
</style>
</head>
<body>
<div id="terminal" class="textual-terminal"
     data-session-websocket-url="$socket" data-font-size="14"></div>
<div id="closed">The screen is closed; training goes on. Reload the page to open it again;
if that does not help, the terminal of <code>tuitrain serve</code> says why.</div>
<script>$script</script>
</body>
</html>
""")


class Pages:
    """An application that serves one screen to those who have the token.

    Args:
        title: of the page.
        screen: the command that shows the screen, asked anew for every page.
        token: must be the first part of every path; by default a random one.
    """

    def __init__(
        self, title: str, screen: Callable[[], Sequence[str]], token: str | None = None
    ) -> None:
        self.token = token or secrets.token_hex(24)
        self._title = title
        self._screen = screen
        self._open: set[web.WebSocketResponse] = set()
        self._running: set[Carrier] = set()
        self._over = False

    def application(self) -> web.Application:
        """For aiohttp to run."""
        application = web.Application(middlewares=[self._guard])
        home = f"/{self.token}"
        application.add_routes(
            [
                web.get(f"{home}/", self._page),
                web.get(f"{home}/ws", self._websocket),
                web.static(f"{home}/static", STATIC),
            ]
        )
        application.on_response_prepare.append(_dress)
        application.on_shutdown.append(self._close)
        return application

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], object]
    ) -> web.StreamResponse:
        # `OPTIONS *` has no slash, and a path may be no UTF-8
        first = request.path.partition("/")[2].partition("/")[0].encode("utf-8", "replace")
        if not secrets.compare_digest(first, self.token.encode()):
            raise web.HTTPForbidden(text=REFUSED)
        response = await handler(request)  # type: ignore[misc]
        assert isinstance(response, web.StreamResponse)
        return response

    async def _page(self, request: web.Request) -> web.Response:
        if self._full:
            raise web.HTTPServiceUnavailable(text=FULL.format(most=MOST_SCREENS))
        scheme = "wss" if request.secure else "ws"
        page = PAGE.substitute(
            title=html.escape(self._title),
            script=SCRIPT,
            socket=html.escape(f"{scheme}://{request.host}/{self.token}/ws"),
        )
        return web.Response(text=page, content_type="text/html")

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=CLOSE_S, heartbeat=15, max_msg_size=MOST_BYTES)
        await socket.prepare(request)
        if self._over or self._full:
            await _close(socket, "" if self._over else FULL.format(most=MOST_SCREENS))
            return socket
        self._open.add(socket)
        try:
            size = (_cells(request.query.get("width"), 80), _cells(request.query.get("height"), 24))
            await _close(socket, await self._show(socket, *size))
        finally:
            self._open.discard(socket)
        return socket

    async def _show(self, socket: web.WebSocketResponse, width: int, height: int) -> str:
        """A screen from its start to its end; why it failed, or nothing."""

        async def draw(data: bytes) -> None:
            with contextlib.suppress(ConnectionError):  # the rest is read all the same, to its end
                await socket.send_bytes(data)

        async def listen(screen: Carrier) -> None:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await _pass_on(message.data, screen, socket)

        try:
            command = await asyncio.to_thread(self._screen)  # reads files, asks processes
            if socket.closed:
                return ""
            screen = await Carrier.start(command, width, height, draw)
        except Exception as error:  # whatever it is, the other pages go on
            return _say(error)
        self._running.add(screen)
        carried = asyncio.ensure_future(screen.carry())
        heard = asyncio.ensure_future(listen(screen))
        try:
            await asyncio.wait({carried, heard}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (carried, heard):
                task.cancel()  # it may wait for a browser that does not read
            ends = await asyncio.gather(carried, heard, return_exceptions=True)
            await screen.end()
            self._running.discard(screen)
        why = ""
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, ConnectionError):
                why = _say(end)
        return why

    @property
    def _full(self) -> bool:
        return len(self._open) >= MOST_SCREENS

    def kill(self) -> None:
        """End every screen at once, for who does not want to wait until they have left."""
        for screen in self._running:
            screen.kill()

    async def _close(self, _: web.Application) -> None:
        self._over = True
        await asyncio.gather(*(_close(socket) for socket in self._open))


async def serve(
    pages: Pages, host: str, port: int, ready: Callable[[int], None], over: asyncio.Event
) -> None:
    """Serve until ``over`` is set, then close every page.

    Args:
        port: 0 for any that is free.
        ready: told the port once pages can be asked for.

    Raises:
        OSError: it cannot listen there.
    """
    runner = web.AppRunner(pages.application(), access_log=None, shutdown_timeout=STOP_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        ready(int(runner.addresses[0][1]))
        await over.wait()
    finally:
        await runner.cleanup()


async def _close(socket: web.WebSocketResponse, why: str = "") -> None:
    """Close a socket without a wait for what its browser has not read."""
    code = WSCloseCode.TRY_AGAIN_LATER if why else WSCloseCode.OK
    reason = why.strip().encode()[:MOST_REASON].decode(errors="ignore").encode()
    await socket.close(code=code, message=reason, drain=False)


def _say(error: Exception) -> str:
    """Tell who has started the server; returns what a page may be told."""
    why = f"{type(error).__name__}: {error}"
    print(f"tuitrain serve: the screen of a page: {why}", file=sys.stderr)
    return why


async def _dress(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


async def _pass_on(data: str, screen: Carrier, socket: web.WebSocketResponse) -> None:
    """What a browser says, if it makes sense: keys, sizes, whether it is looked at."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return
    match said:
        case ["stdin", str(keys)]:
            await screen.type(keys)
        case ["resize", {"width": int(width), "height": int(height)}]:
            await screen.tell(type="resize", width=_cells(width, 80), height=_cells(height, 24))
        case ["ping", str() | int() | float() as nonce]:
            await socket.send_json(["pong", nonce])
        case ["focus" | "blur" as kind, *_]:
            await screen.tell(type=kind)


def _cells(asked: str | int | None, usual: int) -> int:
    """A size that a screen can have."""
    try:
        return max(1, min(MOST_CELLS, int(asked if asked is not None else usual)))
    except ValueError:
        return usual
