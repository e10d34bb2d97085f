"""The matrix's own instruments: names, draws, triggers, and ledgers with each thing wrong once."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.audit import Audit, Line, Rules, audit, row_sum
from tests.faults.campaign import deal
from tests.faults.cases import Case, cells, draw
from tests.faults.expected import expected
from tests.faults.orders import Order, code_of

RULES = Rules(n_step=2, gamma=0.5, ratio=0.5, slack_updates=1.0, loss_updates=2.0)


def test_every_moment_is_still_there() -> None:
    gone = []
    for place in sorted({place for case in cells() for place in case.places}):
        try:
            code_of(place)
        except (AttributeError, ImportError):
            gone.append(place)
    assert gone == []


def test_a_case_is_found_by_its_name() -> None:
    for case in draw(3, 2_000):
        assert Case.parse(case.name) == case
        assert expected(case).outcomes
    for wrong in ("async/learner/publishing", "async/learner/dreaming:1/SIGKILL", "a/b/c:1/d"):
        with pytest.raises(ValueError, match=wrong):
            Case.parse(wrong)


def test_a_seed_gives_the_same_cases_and_every_cell() -> None:
    every = list(cells())
    assert draw(1, 1_000) == draw(1, 1_000) != draw(2, 1_000)
    assert len(every) <= 1_150, "so many are drawn before a fault has struck in 1,000"
    sites = {case.cell[:3] + case.cell[4:] for case in every}
    assert {case.cell[:3] + case.cell[4:] for case in draw(1, len(every))} == sites


def test_cases_are_dealt_to_runs_of_one_schedule() -> None:
    lots = deal(list(enumerate(draw(1, 500))), per_run=10)
    assert sum(map(len, lots)) == 500
    for lot in lots:
        assert len({case.schedule for _, case in lot}) == 1
        assert len(lot) <= 10


# ---- triggers --------------------------------------------------------------------------------

PROGRAM = """
import os, sys
from pathlib import Path
from tests.faults import triggers
folder = Path(sys.argv[1])
triggers.install(folder, "p")
from tuitrain.checkpoint.files import write_durably
try:
    write_durably(folder / "a" / "b.pt", b"bytes")
except Exception as error:
    print(type(error).__name__, type(error.__cause__).__name__)
triggers.ensure()
print("still here", sys.gettrace() is None)
"""


def strike(folder: Path, **order: Any) -> tuple[int, str, list[dict[str, Any]]]:
    """Exit code, output, and what has fired, of a process that writes a file."""
    place = "tuitrain.checkpoint.files:put_durably"
    Order(**{"id": "1", "worker": "p", "places": (place,), "at": 1, **order}).write(folder)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    fired = (folder / "fired.jsonl").read_text().splitlines()
    return done.returncode, done.stdout + done.stderr, [json.loads(line) for line in fired]


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("SIGKILL", -9, ""),
        ("SIGSEGV", -11, ""),
        ("SIGTERM", -15, ""),
        ("exit 0", 0, ""),
        ("exception", 0, "Injected NoneType\nstill here True\n"),
    ],
)
def test_a_fault_strikes_at_a_line(tmp_path: Path, fault: str, code: int, says: str) -> None:
    got, said, (fired,) = strike(tmp_path, fault=fault, at=4)
    assert (got, said) == (code, says)
    assert fired["where"].startswith("files.py:")


@pytest.mark.parametrize("operation", ["open", "write", "fsync", "rename", "unlink"])
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO", "SIGKILL"])
def test_a_fault_strikes_at_every_system_call(tmp_path: Path, operation: str, fault: str) -> None:
    # what it can do without is not told
    told = "" if operation == "unlink" else "CheckpointError OSError\n"
    for at in range(1, 9):
        folder = tmp_path / str(at)
        code, said, (fired,) = strike(folder, fault=fault, operation=operation, at=at)
        if fired.get("passed"):
            assert (code, said) == (0, "still here True\n")
            assert (folder / "a" / "b.pt").read_bytes() == b"bytes"
            break
        assert fired["where"].startswith(operation)
        assert (code, said) == ((-9, "") if fault == "SIGKILL" else (0, f"{told}still here True\n"))
    assert at > 1


# ---- ledgers ---------------------------------------------------------------------------------


def written(first: int, count: int, *, last: int = 0) -> list[list[Any]]:
    """Rows of one lane in one episode: [crc, action, reward, over, age, flags]."""
    rows = range(first, first + count)
    return [[1, r, [[100 + r, r % 3, float(r), last * (r == rows[-1]), r, 0]]] for r in rows]


def draws(row: int, *, reward: float, discount: float, after: int) -> list[Any]:
    frames = [100 + max(0, row - 1), 100 + row]
    return [0, 0, row, frames, [99 + after, 100 + after], row % 3, reward, discount]


def honest() -> list[Line]:
    """A writer that dies in a commit, its successor, and a learner, none of which is at fault."""
    successor = written(4, 4)
    successor[0][2][0][5] = 2  # the cut
    lines: list[Line] = [
        {"k": "created"},
        {"k": "born", "name": "a0"},
        {"k": "opened", "p": "5", "s": 0, "head": 0, "tail": 0},
        {"k": "publish", "n": 64, "v": 1, "crc": 11},
        {"k": "published", "n": 64, "v": 1},
        {"k": "pull", "n": 64, "r": 0, "v": 1, "crc": 11},
        {"k": "intent", "p": "5", "s": 0, "first": 0, "rows": written(0, 4)},
        {"k": "commit", "p": "5", "s": 0, "head": 4},
        {"k": "inserts", "a": 0, "n": [4]},
        {"k": "sample", "p": "5", "drawn": [draws(1, reward=2.0, discount=0.25, after=3)]},
        {"k": "updates", "p": 0, "n": 2},
        {"k": "publish", "n": 64, "v": 2, "crc": 12},
        {"k": "intent", "p": "5", "s": 0, "first": 4, "rows": written(4, 3)},
        {"k": "born", "name": "a0"},
        {"k": "opened", "p": "5", "s": 0, "head": 4, "tail": 0},
        {"k": "intent", "p": "5", "s": 0, "first": 4, "rows": successor},
        {"k": "commit", "p": "5", "s": 0, "head": 8},
        {"k": "inserts", "a": 0, "n": [4]},
        {"k": "sample", "p": "5", "drawn": [draws(5, reward=8.0, discount=0.25, after=7)]},
        {"k": "updates", "p": 0, "n": 2},
        {"k": "publish", "n": 64, "v": 2, "crc": 13},
        {"k": "published", "n": 64, "v": 2},
        {"k": "pull", "n": 64, "r": 0, "v": 2, "crc": 13},
    ]
    return [{"t": float(t), "of": "a ledger", **line} for t, line in enumerate(lines)]


def audited(change: Callable[[list[Line]], object] = lambda _: None) -> Audit:
    lines = copy.deepcopy(honest())
    change(lines)
    return audit(lines, RULES)


def drawn(lines: list[Line], at: int, value: Any, which: int = 1) -> None:
    samples = [line for line in lines if line["k"] == "sample"]
    samples[which]["drawn"][0][at] = value


def last(lines: list[Line], kind: str) -> Line:
    return [line for line in lines if line["k"] == kind][-1]


def test_an_honest_ledger_is_without_fault() -> None:
    found = audited()
    assert found.faults == []
    assert (found.rows, found.draws, found.versions, found.deaths) == (11, 2, 3, 1)


@pytest.mark.parametrize(
    ("says", "change"),
    [
        ("finds its head at 3", lambda ls: last(ls, "opened").update(head=3)),
        ("row 5 is written", lambda ls: last(ls, "intent").update(first=5)),
        ("no such row", lambda ls: drawn(ls, 2, 9)),
        ("action", lambda ls: drawn(ls, 5, 1)),
        ("return", lambda ls: drawn(ls, 6, 8.5)),
        ("discount", lambda ls: drawn(ls, 7, 0.5)),
        ("state: frame 0", lambda ls: drawn(ls, 3, [104, 99])),
        ("next state: frame 1", lambda ls: drawn(ls, 4, [99, 107])),
        ("cut at row 4", lambda ls: drawn(ls, 2, 3)),
        ("version 1 is published after 2", lambda ls: last(ls, "publish").update(v=1)),
        ("other bytes", lambda ls: last(ls, "pull").update(crc=14)),
        ("is taken after 2", lambda ls: ls.append(last(ls, "pull") | {"v": 1, "crc": 11})),
        ("updates for", lambda ls: last(ls, "updates").update(n=9)),
        ("updates for", lambda ls: last(ls, "inserts").update(n=[20])),
    ],
)
def test_a_ledger_with_one_thing_wrong(says: str, change: Callable[[list[Line]], object]) -> None:
    def change_and_fit(lines: list[Line]) -> None:
        change(lines)
        if says == "cut at row 4":
            drawn(lines, 5, 0)

    assert [text for _, text in audited(change_and_fit).faults if says in text]


def test_rows_out_of_a_checkpoint_are_those_that_were_committed() -> None:
    def resumed(lines: list[Line]) -> list[Line]:
        key = {"p": "5", "s": 0}
        told = [row_sum(row) for row in written(0, 4)]
        return lines + [
            {"t": 100.0, "of": "another life", **line}
            for line in (
                {"k": "created"},
                {"k": "opened", **key, "head": 0, "tail": 0},
                {"k": "restored", **key, "first": 0, "sums": told},
                {"k": "sample", "p": "5", "drawn": [draws(1, reward=2.0, discount=0.25, after=3)]},
                {"k": "intent", **key, "first": 4, "rows": written(4, 2)},
            )
        ]

    assert audit(resumed(honest()), RULES).faults == []
    lines = resumed(honest())
    last(lines, "restored")["sums"][2] += 1
    assert "row 2 is restored as another one" in audit(lines, RULES).faults[0][1]


def test_a_boundary_row_that_was_drawn_is_a_fault() -> None:
    def end(lines: list[Line]) -> None:
        last(lines, "intent")["rows"][1][2][0][5] = 1

    assert "a boundary row" in audited(end).faults[0][1]


def test_a_worker_can_keep_a_ledger(tmp_path: Path) -> None:
    """Whatever it wraps is still there."""
    program = "import sys; from pathlib import Path; from tests.faults.ledger import Ledger, keep; "
    program += "keep(Ledger(Path(sys.argv[1]), 'a0'))"
    command = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True)
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["k"] == "born"
