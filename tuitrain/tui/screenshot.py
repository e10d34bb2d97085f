"""The screen as files: SVG and plain text."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from textual.app import App

_REMOTE_FONT = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def screen_text(app: App[Any]) -> str:
    """The screen as plain text, one line a row, without trailing blanks."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    lines = [strip.crop(0, width).text.rstrip() for strip in strips[:height]]
    return "\n".join(lines).rstrip() + "\n"


def screen_svg(app: App[Any], title: str) -> str:
    """The screen as SVG. It names a local font and fetches nothing: Rich's would ask a CDN."""
    return _REMOTE_FONT.sub("", app.export_screenshot(title=title))


def export_screen(app: App[Any], folder: Path) -> Path:
    """Write `screen-TIME.svg` and `.txt` into ``folder``; returns the SVG's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / time.strftime("screen-%Y%m%d-%H%M%S.svg")
    path.write_text(screen_svg(app, "tuitrain"), encoding="utf-8")
    path.with_suffix(".txt").write_text(screen_text(app), encoding="utf-8")
    return path
