"""The screen as files: SVG and plain text."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from textual.app import App


def screen_text(app: App[Any]) -> str:
    """The screen as plain text, one line a row, without trailing blanks."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    lines = [strip.crop(0, width).text.rstrip() for strip in strips[:height]]
    return "\n".join(lines).rstrip() + "\n"


def export_screen(app: App[Any], folder: Path) -> Path:
    """Write `screen-TIME.svg` and `.txt` into ``folder``; returns the SVG's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / time.strftime("screen-%Y%m%d-%H%M%S.svg")
    path.write_text(app.export_screenshot(title="tuitrain"), encoding="utf-8")
    path.with_suffix(".txt").write_text(screen_text(app), encoding="utf-8")
    return path
