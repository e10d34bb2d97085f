"""The screen as files: SVG and plain text, and what it shows as JSON."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from textual.app import App

from tuitrain.tui.text import to_ascii
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


def new_path(run_dir: Path) -> Path:
    """Where a run's folder keeps a picture of its screen of now: `screens/screen-TIME.svg`."""
    return run_dir / "screens" / time.strftime("screen-%Y%m%d-%H%M%S.svg")


def export_screen(app: App[Any], view: View, path: Path) -> None:
    """Write ``path``, an SVG, and beside it the same as `.txt` and what it shows as `.json`.

    Raises:
        OSError: A file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    title = to_ascii(f"tuitrain {view.run_dir.name}")
    path.write_text(screen_svg(app, title), encoding="utf-8")
    path.with_suffix(".txt").write_text(screen_text(app), encoding="utf-8")
    path.with_suffix(".json").write_text(screen_json(view), encoding="utf-8")
