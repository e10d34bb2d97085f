"""The `tuitrain` script, and `python -m tuitrain` where that is not on the path.

Imports nothing before it can say that it was interrupted: the command line takes a moment to load.
"""

import sys


def main() -> None:
    """Run the command line. Ctrl-C, however early, is one line and exit code 130."""
    try:
        from tuitrain.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("tuitrain: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
