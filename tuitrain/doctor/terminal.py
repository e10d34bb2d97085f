"""Checks of the terminal that the screen opens in. None stops a run: there is always --headless."""

from __future__ import annotations

from tuitrain.doctor.facts import Terminal
from tuitrain.doctor.finding import Finding

COLUMNS, ROWS = 80, 24
"""What the screen is made for, at least."""

ESCAPE_MS = 100
"""tmux waits this long for the rest of a key after Esc; more is felt."""

_UTF8 = ("utf-8", "utf8", "cp65001")


def size(terminal: Terminal) -> Finding:
    """Every panel has room."""
    if not terminal.is_terminal:
        return _no_terminal("size", "size")
    found = f"{terminal.columns} × {terminal.rows}"
    if terminal.columns >= COLUMNS and terminal.rows >= ROWS:
        return Finding("size", "size", "ok", found)
    advice = f"Below {COLUMNS} × {ROWS} panels are cut off: enlarge the window."
    return Finding("size", "size", "warn", found, advice)


def colours(terminal: Terminal) -> Finding:
    """Curves can be told apart."""
    if not terminal.is_terminal:
        return _no_terminal("colours", "colours")
    if terminal.term in ("", "dumb", "unknown"):
        shown = terminal.term or "not set"
        return Finding(
            "colours",
            "colours",
            "warn",
            f"TERM is {shown}: no screen can be drawn",
            "Name your terminal, or launch with --headless:",
            ("export TERM=xterm-256color",),
        )
    if terminal.no_color:
        return Finding("colours", "colours", "ok", "off, since NO_COLOR is set")
    if terminal.colorterm in ("truecolor", "24bit"):
        return Finding("colours", "colours", "ok", "all (truecolor)")
    if "256color" in terminal.term or "direct" in terminal.term:
        return Finding("colours", "colours", "ok", f"256 (TERM={terminal.term})")
    return Finding(
        "colours",
        "colours",
        "warn",
        f"16 or fewer (TERM={terminal.term})",
        "Curves look alike. Nearly every terminal can do more:",
        ("export TERM=xterm-256color COLORTERM=truecolor",),
    )


def unicode(terminal: Terminal) -> Finding:
    """Lines and dots arrive as such."""
    if not terminal.is_terminal:
        return _no_terminal("unicode", "unicode")
    if terminal.ascii_wanted:
        return Finding("unicode", "unicode", "ok", "not used, since TUITRAIN_ASCII is set")
    if terminal.encoding.lower() in _UTF8:
        return Finding("unicode", "unicode", "ok", terminal.encoding.upper())
    return Finding(
        "unicode",
        "unicode",
        "warn",
        f"the locale's encoding is {terminal.encoding}",
        "Charts would be garbled. Take a UTF-8 locale, or have them drawn in ASCII:",
        ("export LC_ALL=C.UTF-8", "export TUITRAIN_ASCII=1"),
    )


def tmux(terminal: Terminal) -> Finding:
    """Keys arrive at once."""
    wait_ms = terminal.tmux_escape_ms
    if wait_ms is None:
        return Finding("tmux", "tmux", "n/a", "not inside tmux")
    found = f"waits {wait_ms} ms after Esc"
    if wait_ms <= ESCAPE_MS:
        return Finding("tmux", "tmux", "ok", found)
    advice = "Esc feels stuck. In ~/.tmux.conf:"
    return Finding("tmux", "tmux", "warn", found, advice, ("set -sg escape-time 10",))


def _no_terminal(id_: str, name: str) -> Finding:
    return Finding(id_, name, "n/a", "no terminal: launch would print plain lines")
