"""The failure catalogue is whole and true; of its links see ``test_docs_links``."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.diagnosis.injections import INJECTIONS
from tests.unit.test_docs_links import slug
from tuitrain.diagnosis.checks import CHECKS

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs" / "catalogue.md"
PAGES = sorted((ROOT / "docs" / "catalogue").glob("*.md"))

GROUPS = {
    "0": 4, "1": 3, "2": 3, "3": 3, "4": 4, "5": 3, "6": 3, "7": 3, "8": 3, "9": 4,
    "10": 3, "11": 2, "12": 3, "X": 35,
}  # fmt: skip
"""How many failures each group has. Up to X.12 they are the list that this project began with."""
NEVER_GIVEN = "X.16"
IDS = [
    name
    for group, last in GROUPS.items()
    for i in range(1, last + 1)
    if (name := f"{group}.{i}") != NEVER_GIVEN
]

MEASURED = "X.10"
"""How fast it is shows in a table of benchmarks: no test asserts a time."""


def expanded(names: str) -> list[str]:
    """`0.4, 1.1-1.3` written out."""
    found = []
    for name in names.split(", "):
        first, _, last = name.partition("-")
        group, number = first.split(".")
        to = int((last or first).split(".")[1])
        found += [f"{group}.{i}" for i in range(int(number), to + 1)]
    return found


LOOKS_FOR = {check.id: expanded(check.catalogue_id) for check in CHECKS}
"""Ids by check."""


@dataclass(frozen=True)
class Entry:
    """One failure: its heading, and what follows up to the next one."""

    page: Path
    ids: tuple[str, ...]
    title: str
    ruled_out: str
    proof: str
    seen: str

    @property
    def named(self) -> list[str]:
        """Checks that a user sees."""
        return [name for name in code(self.seen) if name in LOOKS_FOR]

    @property
    def faults(self) -> list[str]:
        """Those of ``tests/diagnosis``."""
        lines = re.findall(r"^  - in a real run: (.+)$", self.proof, re.MULTILINE)
        return [name for line in lines for name in code(line)]

    @property
    def line(self) -> str:
        """The entry's line in the index."""
        ids = ", ".join(self.ids)
        anchor = slug(f"{ids} {self.title}")
        told = ", ".join(f"`{name}`" for name in self.named)
        return f"| [{ids}](catalogue/{self.page.name}#{anchor}) | {self.title} | {told or '–'} |"


def code(text: str) -> list[str]:
    """What a text has in backticks."""
    return re.findall(r"`([^`]+)`", text)


def parsed(page: Path) -> list[Entry]:
    """The entries of a page."""
    found = []
    for part in page.read_text().split("\n### ")[1:]:
        heading, _, text = part.partition("\n")
        match = re.fullmatch(r"((?:[\dX]+\.\d+, )*[\dX]+\.\d+) (.+)", heading)
        assert match, heading
        pieces = re.split(r"^- \*\*(?:Ruled out by|Proof|You see)\*\*", text, flags=re.MULTILINE)
        assert len(pieces) == 4, f"{heading}: not ruled out, proof and what you see, in this order"
        found.append(Entry(page, tuple(match[1].split(", ")), match[2], *pieces[1:]))
    return found


ENTRIES = [entry for page in PAGES for entry in parsed(page)]
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.ids[0])


@cache
def functions(path: str) -> set[str]:
    """Names of a file's test functions."""
    tree = ast.parse((ROOT / path).read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def unknown(text: str) -> list[str]:
    """Tests and files that a text names and that do not exist."""
    missing = []
    for name in code(text):
        path, _, test = name.partition("::")
        there = (ROOT / path).is_file() or not path.endswith(".py")
        if not there or (test and test not in functions(path)):
            missing.append(name)
    return missing


def test_every_failure_is_in_once() -> None:
    found = [name for entry in ENTRIES for name in entry.ids]
    assert sorted(found) == sorted(IDS)


@each
def test_an_entry_names_what_exists(entry: Entry) -> None:
    assert ".py`" in entry.ruled_out or "nothing" in entry.ruled_out or entry.ids == (MEASURED,)
    tests = [name for name in code(entry.proof) if "::" in name]
    assert all("::test_" in name for name in tests)
    assert tests or entry.ids == (MEASURED,)
    assert len(tests) == len(set(tests)), "a test is named twice"
    assert unknown(entry.ruled_out + entry.proof + entry.seen) == []


def test_the_index_is_that_of_the_entries() -> None:
    listed = [line for line in INDEX.read_text().splitlines() if re.match(r"\| \[[\dX]", line)]
    order = {name: at for at, name in enumerate(IDS)}
    assert listed == [e.line for e in sorted(ENTRIES, key=lambda entry: order[entry.ids[0]])]


@pytest.mark.parametrize("check", LOOKS_FOR)
def test_what_you_see_of_a_failure_are_the_checks_that_look_for_it(check: str) -> None:
    """And no others; a check that looks for one of an entry's failures may miss the others."""
    for entry in ENTRIES:
        wanted = bool(set(entry.ids) & set(LOOKS_FOR[check]))
        assert entry.named.count(check) == wanted, f"{check} in what you see of {entry.ids}"
    assert set(LOOKS_FOR[check]) <= set(IDS)


RAISES = {case.name: case.check for case in INJECTIONS}
"""Check by fault."""


@each
def test_each_check_that_you_see_is_raised_by_a_fault_in_a_real_run(entry: Entry) -> None:
    assert len(entry.faults) == len(set(entry.faults)), "a fault is named twice"
    assert {RAISES[name] for name in entry.faults} == set(entry.named)


def test_every_fault_is_of_an_entry() -> None:
    named = {name for entry in ENTRIES for name in entry.faults}
    assert named == RAISES.keys()


def test_what_does_not_exist_is_noticed() -> None:
    here = "tests/unit/test_catalogue.py"
    assert unknown(f"`{here}::test_every_failure_is_in_once`") == []
    assert unknown(f"`{here}::test_nothing`") == [f"{here}::test_nothing"]
    assert unknown("`tuitrain/nothing.py`") == ["tuitrain/nothing.py"]
    assert unknown("`tests/nothing.py::test_nothing`") == ["tests/nothing.py::test_nothing"]


def test_ranges_of_ids_are_written_out() -> None:
    assert expanded("0.4, 1.1-1.3, X.27") == ["0.4", "1.1", "1.2", "1.3", "X.27"]
