"""What happened: the run's events, the notice line, and the tails of the workers' logs."""

from __future__ import annotations

import time
from pathlib import Path

from rich.text import Text

from tuitrain import regular
from tuitrain.tui.text import Palette, age, clip, fit, part, safe, size, wrap
from tuitrain.tui.view import View

TAIL_BYTES = 64 * 1024
MAX_SHOWN = 500
_LEVEL_GLYPH = {"info": "·", "warning": "▲", "error": "✖"}


def draw_events(view: View, width: int, height: int) -> list[Text]:
    """One event a line, oldest first, bounded by the store."""
    palette = view.palette
    if not view.events:
        return [clip(Text("no events", palette.dim, end=""), width)]
    shown = view.events[-MAX_SHOWN:]
    wide = max((len(safe(e.source, 12)) for e in shown), default=0)
    lines = []
    for event in shown:
        line = Text(end="")
        if width >= 40:
            line.append(time.strftime("%H:%M:%S ", time.localtime(event.time_s)), palette.dim)
        style = {"warning": palette.warn, "error": palette.fail}.get(event.level, palette.dim)
        line.append(_LEVEL_GLYPH[event.level], style)
        line.append(f" {safe(event.source, 12):<{wide}} ", palette.dim)
        line.append(safe(event.text), "" if event.level == "info" else style)
        lines.append(clip(line, width))
    return lines


def draw_notice(view: View, width: int, height: int) -> list[Text]:
    """What became of the last command; the freeze banner; else the last checkpoint."""
    palette = view.palette
    if view.frozen_s is not None:
        goes_on = "training goes on, " if view.link == "live" else ""
        words = f" ▲ VIEW FROZEN {age(view.frozen_s)} ago: {goes_on}space shows it again "
        return [clip(Text(words.center(width), "reverse bold", end=""), width)]
    notice = view.notice
    if notice is not None:
        glyph, style = {
            "pending": ("◌", palette.warn),
            "ok": ("✓", palette.ok),
            "fail": ("✖", palette.fail),
            "info": ("●", palette.accent),
        }[notice.state]
        text = safe(notice.text)
        tail = f" … pending {age(notice.age_s)}" if notice.state == "pending" else ""
        return [clip(Text(f"{glyph} {text}{tail}", style, end=""), width)]
    snapshot = view.snapshot
    parts = []
    if snapshot is not None and snapshot.last_checkpoint:
        when = age(snapshot.last_checkpoint_age_s)
        ago = f" {when} ago" if snapshot.last_checkpoint_age_s is not None else ""
        name = safe(Path(snapshot.last_checkpoint).name)
        parts.append(part(f"last checkpoint {name}{ago}", palette.dim, 1))
    elif snapshot is not None:
        parts.append(part("no checkpoint yet in this session", palette.dim, 1))
    if view.bad_lines:
        parts.append(part(f"{view.bad_lines} lines not understood", palette.warn, 1))
    parts.append(part(safe(str(view.run_dir)), palette.dim, 2))
    return [fit(parts, width)]


def log_files(run_dir: Path) -> list[Path]:
    """The run's log files: the supervisor's, which tells the story, then the others by name."""
    try:
        files = (run_dir / "logs").glob("*.log")
        return sorted(files, key=lambda path: (path.stem != "supervisor", path.name))
    except OSError:
        return []


def tail(path: Path, most_bytes: int = TAIL_BYTES) -> tuple[list[str], int]:
    """The last whole lines of a file and the file's size in bytes; reads at most ``most_bytes``."""
    with open(path, "rb", opener=regular.opener) as file:
        end = file.seek(0, 2)
        start = max(0, end - most_bytes)
        file.seek(start)
        raw = file.read(most_bytes)
    if start:
        raw = raw.partition(b"\n")[2]
    return raw.decode("utf-8", "replace").split("\n"), end


def draw_log(view: View, width: int, height: int) -> list[Text]:
    """The tail of one worker's log, read from disk now; which files there are comes first."""
    palette = view.palette
    files = log_files(view.run_dir)
    if not files:
        words = f"no logs in {safe(str(view.run_dir / 'logs'))}"
        return [clip(Text(words, palette.dim, end=""), width)]
    chosen = files[view.log_index % len(files)]
    try:
        lines, total = tail(chosen)
    except OSError as error:
        return [_names(files, chosen, width, palette), Text(safe(error), palette.fail, end="")]
    if lines and not lines[-1]:
        lines.pop()
    head = _names(files, chosen, width, palette)
    body = [row for line in lines for row in wrap(safe(line, 1000), width)]
    if total > TAIL_BYTES:
        note = f"… the last {size(TAIL_BYTES)} of {size(total)}; the rest is in {safe(chosen)}"
        body.insert(0, clip(Text(note, palette.dim, end=""), width))
    return [head, *(body or [Text("(empty)", palette.dim, end="")])]


def _names(files: list[Path], chosen: Path, width: int, palette: Palette) -> Text:
    parts = [part("[ ]", palette.dim, 1)]
    for path in files:
        mine = path == chosen
        name = safe(path.stem)
        parts.append(part(f"▸{name}" if mine else name, "bold reverse" if mine else palette.dim,
                          0 if mine else 1))  # fmt: skip
    return fit(parts, width, " ")
