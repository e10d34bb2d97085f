"""The failure catalogue names tests and files that exist, and every check points into it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tuitrain.diagnosis.checks import CHECKS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "catalogue.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if re.match(r"\| [0-9X]", line)
]
IDS = [name for row in ROWS for name in row[0].split(", ")]


@cache
def functions(path: str) -> set[str]:
    """Names of a file's test functions."""
    tree = ast.parse((ROOT / path).read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def unknown(cell: str) -> list[str]:
    """Tests and files that a cell names and that do not exist."""
    named = re.findall(r"`([^`]+)`", cell)
    tests = [name for name in named if "::" in name]
    files = [name for name in named if name.endswith(".py")]
    return [name for name in files if not (ROOT / name).is_file()] + [
        name
        for name in tests
        if not (ROOT / name.partition("::")[0]).is_file()
        or name.partition("::")[2] not in functions(name.partition("::")[0])
    ]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_what_an_entry_names_exists(row: list[str]) -> None:
    _, wrong, ruled_out, proven = row
    assert wrong
    assert ".py`" in ruled_out or "refused" in ruled_out
    assert "::test_" in proven
    assert unknown(ruled_out) == []
    assert unknown(proven) == []


def test_no_failure_is_in_twice() -> None:
    assert len(IDS) == len(set(IDS)) > 30


def test_every_check_points_into_it() -> None:
    """Checks name ids, or ranges of them as in 1.1-1.3."""
    for check in CHECKS:
        for name in re.split(r", |-", check.catalogue_id):
            assert name in IDS, check.id


def test_what_does_not_exist_is_noticed() -> None:
    here = "tests/unit/test_catalogue.py"
    assert unknown(f"`{here}::test_no_failure_is_in_twice`") == []
    assert unknown(f"`{here}::test_nothing`") == [f"{here}::test_nothing"]
    assert unknown("`tuitrain/nothing.py`") == ["tuitrain/nothing.py"]
    assert unknown("`tests/nothing.py::test_nothing`") == ["tests/nothing.py::test_nothing"]
