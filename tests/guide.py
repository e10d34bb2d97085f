"""The code of docs/guide, taken out of it to be run."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "guide"


def write_files(page: str, folder: Path) -> list[str]:
    """Write every block of a page that begins with a file's name as that file; their names."""
    text = (FOLDER / page).read_text()
    blocks = re.findall(r"```\w+\n# (\S+)\n(.*?)```", text, re.DOTALL)
    for name, content in blocks:
        (folder / name).write_text(content)
    return [name for name, _ in blocks]
