"""Why a run failed, in full: shown on the Overview of a failed run, where other panels cut it."""

from __future__ import annotations

from rich.text import Text

from tuitrain.tui.text import safe, wrap
from tuitrain.tui.view import View, worst_first

MOST_CHARACTERS = 600


def draw_cause(view: View, width: int, height: int) -> list[Text]:
    """The last line of every failed worker's error, else the last error said; then what to do."""
    snapshot, palette = view.snapshot, view.palette
    if snapshot is None or snapshot.state != "failed":
        return []
    last = {
        p.name: p.error.strip().splitlines()[-1]
        for p in snapshot.processes
        if p.state == "failed" and p.error and p.error.strip()
    }
    causes = [f"{safe(name)} failed: {safe(e, MOST_CHARACTERS)}" for name, e in last.items()]
    errors = [e for e in view.events if e.level == "error"]
    if not causes and errors:
        causes = [safe(errors[-1].text, MOST_CHARACTERS)]
    lines = [line for cause in causes for line in wrap(f"✖ {cause}", width, palette.fail)]
    checks = worst_first(snapshot.checks)
    advice = checks[0].advice if checks and checks[0].state == "fail" else ""
    if advice and not any(error in advice for error in last.values()):
        lines += wrap(safe(advice, MOST_CHARACTERS), width)
    return lines + wrap("! explains; 5 Logs has the rest", width, palette.dim)
