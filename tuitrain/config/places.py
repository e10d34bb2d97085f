"""Where runs lie when nobody says where. Cheap to import, for commands that need no config."""

from __future__ import annotations

import os
from pathlib import Path

RUNS_DIR_VARIABLE = "TUITRAIN_RUNS_DIR"


def runs_dir() -> Path:
    """The folder in which runs are made and looked for where nobody names one."""
    return Path(os.environ.get(RUNS_DIR_VARIABLE) or "runs")
