"""docs/config.md from the schema: ``python -m tuitrain.config.reference > docs/config.md``."""

from __future__ import annotations

import sys

from tuitrain.config.describe import KeyInfo, TableInfo, tables

_HEAD = """\
# Configuration

<!-- Made by `python -m tuitrain.config.reference > docs/config.md` from config/schema.py. -->

A config is a TOML file. Every key has a default, so a file says only what differs. Any key can be
given on the command line as well, and wins over the file:

    tuitrain launch configs/cartpole.toml --set learner.lr=1e-3 --set run.name=fast

Values are typed: text is not read as a number, and `1` is not `true`. A whole number may be
written `1e6`, text on the command line may go without quotes. Unknown keys are errors. Everything
that is wrong is reported at once, and nothing is created.

A run stores its config in its folder with every choice made: `auto` as a number,
`file.py:factory` with an absolute path. Files named `file.py:factory` are looked for relative to
the folder in which the run is launched.

"Left out" means that a key without a value has a meaning of its own, which its description says.
"""


def reference() -> str:
    """The whole page, as Markdown."""
    parts = [_HEAD]
    for table in tables():
        parts.append(_table(table))
    return "\n".join(parts)


def _table(table: TableInfo) -> str:
    title = f"## `[{table.name}]`" if table.name else "## Outside any table"
    # A docstring begins with the table's name, which is the title here already.
    text = table.description.split(": ", 1)[-1] if table.name else ""
    text = text[:1].upper() + text[1:]
    rows = ["| key | allowed (unit) | default | meaning |", "|---|---|---|---|"]
    rows += [_row(info) for info in table.keys]
    return "\n".join([title, "", *([text, ""] if text else []), *rows, ""])


def _row(info: KeyInfo) -> str:
    default = f"`{info.default}`" if info.default else "left out"
    cells = (f"`{info.key}`", info.allowed, default, info.description)
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
