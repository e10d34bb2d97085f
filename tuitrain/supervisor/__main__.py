"""`python -m tuitrain.supervisor RUN_DIR`: supervise one run folder in the foreground.

Kept light and guarded: spawned workers of some platforms import the main module again.
"""

from __future__ import annotations

import argparse
import sys

from tuitrain.supervisor.stop_signals import hold_back


def main(argv: list[str] | None = None) -> int:
    """Parse arguments and run. Exit codes are documented in `ending.py`."""
    hold_back()  # until there are handlers: the imports below take their time
    parser = argparse.ArgumentParser(
        prog="python -m tuitrain.supervisor",
        description="Supervise the run of an existing run folder until it ends.",
    )
    parser.add_argument("run_dir")
    parser.add_argument("--headless", action="store_true", help="print events and progress")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of text")
    parser.add_argument("--ready-fd", type=int, help="descriptor to report readiness on")
    parser.add_argument("--folder-fd", type=int, help="descriptor by which the folder is held")
    arguments = parser.parse_args(argv)

    from tuitrain.supervisor.entry import supervise

    return supervise(
        arguments.run_dir,
        headless=arguments.headless or arguments.json,
        as_json=arguments.json,
        ready_fd=arguments.ready_fd,
        folder_fd=arguments.folder_fd,
    )


if __name__ == "__main__":
    sys.exit(main())
