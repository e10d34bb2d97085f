"""The tails of the workers' logs, read from disk now: of one, of all actors, of everybody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from tuitrain import regular
from tuitrain.tui.text import Part, clip, fit, part, safe, size, wrap
from tuitrain.tui.view import View, nothing_matches

TAIL_BYTES = 64 * 1024
"""So much is read, of all files that are shown together."""
MOST_LINE = 1000
"""Characters of a line that are shown."""
_ACTOR = re.compile(r"a\d+")


@dataclass(frozen=True)
class Source:
    """Whose lines are shown together, and their files."""

    name: str
    files: tuple[Path, ...]


def sources(run_dir: Path) -> list[Source]:
    """`all`, the supervisor, learners, `a*` (all actors), and every other file by its name.

    In `all`, the supervisor's lines come last: they tell the story.
    """
    try:
        files = sorted((run_dir / "logs").glob("*.log"), key=_order)
    except OSError:
        files = []
    found = [Source(path.stem, (path,)) for path in files]
    if len(files) < 2:
        return found
    actors = tuple(path for path in files if _ACTOR.fullmatch(path.stem))
    if len(actors) > 1:
        first = next(i for i, source in enumerate(found) if source.files[0] == actors[0])
        found.insert(first, Source("a*", actors))
    supervisor = [path for path in files if path.stem == "supervisor"]
    others = [path for path in files if path not in supervisor]
    return [Source("all", (*others, *supervisor)), *found]


def _order(path: Path) -> tuple[int, int, str]:
    role = 0 if path.stem == "supervisor" else 1 if path.stem.startswith("learner") else 2
    return role, len(path.stem), path.name


def chosen(found: list[Source], name: str) -> Source:
    """The source of this name; the first where there is none."""
    return next((source for source in found if source.name == name), found[0])


def after(found: list[Source], name: str, by: int) -> str:
    """Name of the source `by` places after this one, in a circle."""
    return found[(found.index(chosen(found, name)) + by) % len(found)].name if found else ""


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


def read(source: Source) -> tuple[list[str], str]:
    """The newest lines of a source, safe to print, and what is to be said of the rest, or "".

    Of several files every line says whose it is.
    """
    lines: list[str] = []
    share = TAIL_BYTES // len(source.files)
    notes = []
    for path in source.files:
        whose = f"{safe(path.stem)}: " if len(source.files) > 1 else ""
        try:
            found, total = tail(path, share)
        except OSError as error:
            lines.append(f"{whose}✖ {safe(error)}")
            continue
        if found and not found[-1]:
            found.pop()
        if total > share:
            notes.append(f"the last {size(share)} of {size(total)} of {safe(path)}")
        lines += [f"{whose}{safe(line, MOST_LINE)}" for line in found]
    return lines, f"… {'; '.join(notes)}" if notes else ""


def draw_log(view: View, width: int, height: int) -> list[Text]:
    """Which logs there are, then the newest lines of the chosen one that match the filter."""
    palette = view.palette
    found = sources(view.run_dir)
    if not found:
        words = f"no logs in {safe(str(view.run_dir / 'logs'))}"
        return [clip(Text(words, palette.dim, end=""), width)]
    source = chosen(found, view.log)
    lines, note = read(source)
    kept = [line for line in lines if view.matches(line)]
    body = [row for line in kept for row in wrap(line, width)]
    if lines and not kept:
        body = [nothing_matches(view, len(lines), "lines", width)]
    if note:
        body.insert(0, clip(Text(note, palette.dim, end=""), width))
    head = _names(view, found, source, width)
    return [head, *(body or [Text("(empty)", palette.dim, end="")])]


def _names(view: View, found: list[Source], mine: Source, width: int) -> Text:
    palette = view.palette
    parts: list[Part] = [part("[ ] chooses:", palette.dim, 1)]
    for source in found:
        name = safe(source.name)
        if source == mine:
            parts.append(part(f"▸{name}", "bold reverse"))
        else:
            parts.append(part(name, palette.dim, 1))
    if view.following is not None:
        word, style = ("↓ follow", palette.dim) if view.following else ("■ held", palette.warn)
        parts.append(part(word, style))
    return fit(parts, width, " ")
