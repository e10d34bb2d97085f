"""`python -m tuitrain.tui.export RUN_DIR OUT.svg`: a run's screen as a picture, without a terminal.

Shows a live run if its socket answers, else what it has recorded. The plain text goes beside the
picture with `--text`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from textual.pilot import Pilot

from tuitrain import regular
from tuitrain.tui.app import TuitrainApp
from tuitrain.tui.client import answers
from tuitrain.tui.screenshot import screen_svg, screen_text
from tuitrain.tui.text import to_ascii

WAIT_S = 10.0


async def export(
    run_dir: Path,
    out: Path,
    *,
    size: tuple[int, int] = (120, 40),
    tab: int = 1,
    ascii_only: bool = False,
    socket_path: Path | None = None,
    text: Path | None = None,
) -> None:
    """Write the screen of a run to ``out``.

    Raises:
        OSError: A file cannot be written.
        TimeoutError: The run's socket accepts connections but says nothing.
    """
    if socket_path is not None and not await answers(socket_path):
        socket_path = None
    app = TuitrainApp(run_dir, socket_path, ascii_only=ascii_only)
    async with app.run_test(size=size) as pilot:
        async with asyncio.timeout(WAIT_S):
            await app.loaded.wait()
            while app.store.snapshot is None:
                await asyncio.sleep(0.02)
        await _settle(app, pilot, tab)
        svg = screen_svg(app, to_ascii(f"tuitrain {run_dir.name}"))
        words = screen_text(app)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(svg, encoding="utf-8")
    if text is not None:
        text.write_text(words, encoding="utf-8")


async def _settle(app: TuitrainApp, pilot: Pilot[str], tab: int) -> None:
    app.action_tab(tab)
    await pilot.pause()
    app.redraw()
    await pilot.pause()


def live_socket(run_dir: Path) -> Path | None:
    """The socket that the run's runtime.json names, if any."""
    try:
        found = json.loads(regular.read(run_dir / "runtime.json"))["socket_path"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Path(found) if isinstance(found, str) and found else None


def _size(words: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in words.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{words!r} is not WIDTHxHEIGHT, e.g. 120x40") from None
    if not (1 <= width <= 1000 and 1 <= height <= 1000):
        raise argparse.ArgumentTypeError(f"{words} is not between 1x1 and 1000x1000 cells")
    return width, height


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tuitrain.tui.export", description=__doc__)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument("out", type=Path, metavar="OUT.svg")
    parser.add_argument("--size", type=_size, default=(120, 40), metavar="WIDTHxHEIGHT")
    parser.add_argument("--tab", type=int, choices=range(1, 6), default=1)
    parser.add_argument("--ascii", action="store_true", help="ASCII characters alone")
    parser.add_argument("--text", type=Path, metavar="OUT.txt", help="also write plain text")
    options = parser.parse_args(arguments)
    if not options.run_dir.is_dir():
        print(f"{options.run_dir} is not a run's folder", file=sys.stderr)
        return 2
    asyncio.run(
        export(
            options.run_dir,
            options.out,
            size=options.size,
            tab=options.tab,
            ascii_only=options.ascii,
            socket_path=live_socket(options.run_dir),
            text=options.text,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
