"""What is wrong with a run that nobody has ended: it was killed, or never begun. Pure."""

from __future__ import annotations

from tuitrain.diagnosis.diagnose import Wrong
from tuitrain.protocol import CheckView

UNFINISHED = {
    "killed": "Its supervisor was killed (SIGKILL, reboot, or no memory), or had no room to write "
    "its summary.",
    "not started": "It was never started: its supervisor has not said anything.",
}
"""States of runs that nobody has ended."""


def unfinished(name: str, state: str) -> Wrong:
    """That it was, as one thing more that is wrong.

    Args:
        name: of the run.
        state: one of ``UNFINISHED``.
    """
    check = CheckView(
        id="supervisor",
        name="supervisor",
        value=state,
        limit="ends with a summary",
        state="fail",
        advice=f"`tuitrain status {name}` says from where it can go on",
        catalogue_id="12.2",
    )
    return Wrong(UNFINISHED[state], check)
