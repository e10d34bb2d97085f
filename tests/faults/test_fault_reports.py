"""What is left is found, a leak is told from noise, and results become tables."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.faults.arena import Arena, Result
from tests.faults.report import tables, write_section
from tests.faults.steady import Finding, Sample, judge, slope_per_h, table
from tests.sites import MARK


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    arena = Arena("async", tmp_path / "arena")
    yield arena
    arena.kill()
    arena.clear()
    shutil.rmtree(arena.runtime, ignore_errors=True)  # what a test has left in it is not waited for


def test_whatever_is_left_is_found(arena: Arena) -> None:
    assert arena.left() == []
    (arena.folder.path / "runtime.json").write_text('{"run_id": "0123abcd"}')
    segment = Path("/dev/shm/tuitrain-0123abcd-control")
    segment.touch()
    (arena.runtime / "tuitrain").mkdir()
    (arena.runtime / "tuitrain" / "sock").touch()
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        env={MARK: str(arena.root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert sleeper.stdout is not None
        sleeper.stdout.readline()
        process, shared, file = arena.left()
        assert process.startswith(f"process {sleeper.pid}: ")
        assert shared == "segment tuitrain-0123abcd-control"
        assert file.endswith("sock")
    finally:
        sleeper.communicate(b"")
        segment.unlink()


# ---- the soak --------------------------------------------------------------------------------


def samples(**changes: Any) -> list[Sample]:
    """Half an hour of a run in which nothing grows but noise; `changes` are functions of time."""
    rng = random.Random(1)
    out = []
    for step in range(360):
        at = 5.0 * step
        memory = changes.get("memory", lambda _: 0.0)(at) + rng.gauss(100.0, 2.0)
        out.append(
            Sample(
                at_s=at,
                memory_mib={"learner": memory},
                descriptors={"learner": 20 + int(changes.get("files", lambda _: 0)(at))},
                segments=3,
                shm_mib=changes.get("shm", lambda _: 2.0)(at),
                steps=1_000 * step,
                version=step + int(changes.get("version", lambda _: 0)(at)),
                ratio=changes.get("ratio", 0.1),
                ratio_asked=0.1,
                checkpoints=3,
            )
        )
    return out


CURVE = [(1_000 * n, 400.0 + n % 7) for n in range(360)]


def wrong(attacked: list[Sample], curve: list[tuple[int, float]] = CURVE) -> list[str]:
    return [f.what for f in judge(attacked, samples(), curve, CURVE) if not f.ok]


def test_a_run_that_stays_as_it_is_is_steady() -> None:
    assert wrong(samples()) == []


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("memory of learner", {"memory": lambda at: 40.0 * at / 3600}),
        ("descriptors of learner", {"files": lambda at: at // 300}),
        ("shared memory", {"shm": lambda at: 2.0 + (at > 900)}),
        ("weights versions", {"version": lambda at: -9 if at == 900.0 else 0}),
        ("updates per transition", {"ratio": 0.102}),
    ],
)
def test_one_thing_that_grows_is_found(what: str, changes: dict[str, Any]) -> None:
    assert wrong(samples(**changes)) == [what]


def test_a_file_that_is_being_written_is_no_leak() -> None:
    assert wrong(samples(files=lambda at: at == 1_500.0)) == []


def test_a_worker_is_as_big_as_it_becomes() -> None:
    young = random.Random(2)

    def killed_now_and_then(grows_per_h: float) -> list[Sample]:
        size = {5.0 * n: young.choice([0.0, -40.0]) for n in range(360)}
        return samples(memory=lambda at: size[at] + grows_per_h * at / 3600)

    assert wrong(killed_now_and_then(0.0)) == []
    assert wrong(killed_now_and_then(40.0)) == ["memory of learner"]


def test_a_curve_that_stays_behind_is_found() -> None:
    (what,) = wrong(samples(), [(steps, value - 40.0) for steps, value in CURVE])
    assert what.startswith("return over steps")


def test_growth_is_told_with_its_interval() -> None:
    slope, half = slope_per_h([0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 5.0, 7.0])
    assert (slope, half) == (pytest.approx(7200.0), pytest.approx(0.0))


# ---- tables ----------------------------------------------------------------------------------


def line(number: int, name: str, outcome: str, **fields: Any) -> dict[str, Any]:
    result = Result(name, outcome, **fields)
    return {"number": number, "seed": 1, "commit": "abc1234", **asdict(result)}


def test_results_become_tables(tmp_path: Path) -> None:
    lines = [
        line(0, "async/actor/committing:5/SIGKILL", "goes on", detected_s=0.2, recovered_s=2.0),
        line(1, "async/actor/committing:6/SIGKILL", "goes on", detected_s=0.4, recovered_s=4.0),
        line(2, "async/actor/paused:1/SIGKILL", "ends", problems=["ends, must be: goes on"]),
        line(3, "async/learner/checkpointing:open 1/EIO", "goes on"),
        line(4, "async/learner/checkpointing:open 2/EIO", "passed"),
    ]
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- faults -->\nWHAT STOOD HERE\n<!-- /faults -->\nafter\n")
    write_section(
        page,
        "faults",
        tables([lines[2] | {"problems": []}, *lines[:4], lines[4] | {"commit": "abc1234+"}]),
    )
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "STOOD" not in text
    assert "| 1 | 5 | 4 | 4 | 1 |" in text  # a case that was run again counts as it ran last
    assert (
        "| actor | SIGKILL | 3 | 2 | 2 | 1 | 0 | 0 | 0.3 (most 0.4) | 3.0 (most 4.0) | – |" in text
    )
    assert "| learner | failed system call | 2 | 2 | 1 | 0 | 0 | 1 |" in text
    assert "| learner | checkpointing | open | each of 1 | yes |" in text
    assert "`abc1234` (4), `abc1234+` (1)" in text
    with pytest.raises(ValueError, match="no section"):
        write_section(page, "soak", "")


def test_a_finding_that_is_not_as_it_must_be_stands_out() -> None:
    text = table([Finding("memory", "10 MiB", "flat", False)], 30.0, 140, {"a0": 70, "a1": 70})
    assert "140 actors killed; the run counted 140 restarts" in text
    assert "**no**" in text
