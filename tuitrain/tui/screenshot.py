"""The screen as files: SVG and plain text, and what it shows as JSON."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from textual.app import App

from tuitrain.tui.view import View

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


def screen_json(view: View) -> str:
    """The newest snapshot and the events, as the protocol has them; what is not finite is null."""
    snapshot = view.snapshot
    said = {
        "snapshot": None if snapshot is None else snapshot.model_dump(mode="json"),
        "events": [event.model_dump(mode="json") for event in view.events],
    }
    return to_json(said, inf_nan_mode="null", indent=1).decode() + "\n"


def export_screen(app: App[Any], view: View, folder: Path) -> Path:
    """Write `screen-TIME.svg`, `.txt` and `.json` into ``folder``; returns the SVG's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / time.strftime("screen-%Y%m%d-%H%M%S.svg")
    path.write_text(screen_svg(app, "tuitrain"), encoding="utf-8")
    path.with_suffix(".txt").write_text(screen_text(app), encoding="utf-8")
    path.with_suffix(".json").write_text(screen_json(view), encoding="utf-8")
    return path
