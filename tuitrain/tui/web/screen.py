"""The program behind one page: the screen of a run, drawn for textual's web driver.

Started by the server with that driver in its environment; its standard streams are the page's.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

from tuitrain.tui.terminal import show_run

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Show a run until its page is closed, or the server is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--ascii", action="store_true")
    parser.add_argument("--compare", type=Path)
    parser.add_argument("--server", type=int, default=os.getppid(), help="its process")
    asked = parser.parse_args()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != asked.server:
        return 1  # it has died before it could take this one along
    return show_run(
        asked.run_dir,
        asked.socket,
        ascii_only=asked.ascii,
        read_only=asked.read_only,
        compare=asked.compare,
    )


if __name__ == "__main__":
    sys.exit(main())
