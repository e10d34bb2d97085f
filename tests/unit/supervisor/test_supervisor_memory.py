"""Memory that runs out, and what the kernel says about whom it has killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.unit.supervisor.running import running
from tuitrain.supervisor import plan
from tuitrain.supervisor.crew.memory import (
    FRESH_S,
    MIB,
    Kills,
    Left,
    MemoryTooSmall,
    Scarcity,
    check_room,
    left,
)
from tuitrain.supervisor.starting import EXPLAINED
from tuitrain.workers import stores

SIZES = {"learner": 900 * MIB, "a0": 100 * MIB, "a1": 2_000 * MIB, "eval": 50 * MIB}


def test_scarcity_is_told_once_each_time_and_names_the_largest() -> None:
    scarcity = Scarcity()
    assert scarcity.judge(Left(60 * MIB, 1_000 * MIB, "the machine"), SIZES) is None
    told = scarcity.judge(Left(40 * MIB, 1_000 * MIB, "the machine"), SIZES)
    assert told is not None
    assert "the machine has 40 of 1,000 MiB left" in told
    assert "largest: a1 2,000 MiB, learner 900 MiB, a0 100 MiB." in told
    assert "supervisor.worker_memory_limit_mib" in told
    assert scarcity.judge(Left(10 * MIB, 1_000 * MIB, "the machine"), SIZES) is None
    assert scarcity.judge(Left(60 * MIB, 1_000 * MIB, "the machine"), SIZES) is None
    assert scarcity.judge(Left(40 * MIB, 1_000 * MIB, "the machine"), SIZES) is None  # no flutter
    assert scarcity.judge(Left(100 * MIB, 1_000 * MIB, "the machine"), SIZES) is None
    assert scarcity.judge(Left(40 * MIB, 1_000 * MIB, "the machine"), SIZES) is not None


@pytest.mark.parametrize(
    ("limit_mib", "used_mib", "swap_mib", "fits_mib", "whose"),
    [
        (300, 100, 0, 200, "its control group (limit 300 MiB) has 200 MiB"),
        (300, 100, 50, 250, "its control group (limit 300 MiB) has 250 MiB"),
        (300, 400, 0, 0, "its control group (limit 300 MiB) has 0 MiB"),
        (9_000, 100, 0, 1_000, "the machine has 1,000 MiB"),
        (None, 100, 500, 1_500, "the machine has 1,500 MiB"),
    ],
)
def test_what_cannot_fit_is_refused_with_both_numbers(
    tmp_path: Path, limit_mib: int | None, used_mib: int, swap_mib: int, fits_mib: int, whose: str
) -> None:
    (tmp_path / "box").mkdir()
    limit = "max" if limit_mib is None else str(limit_mib * MIB)
    (tmp_path / "box/memory.max").write_text(limit)
    (tmp_path / "box/memory.current").write_text(str(used_mib * MIB))
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(
        f"MemTotal: 1 kB\nMemAvailable: {1_000 * 1024} kB\nSwapFree: {swap_mib * 1024} kB\n"
    )
    check_room(fits_mib * MIB, "0::/box\n", tmp_path, meminfo)
    with pytest.raises(MemoryTooSmall) as refused:
        check_room((fits_mib + 1) * MIB, "0::/box\n", tmp_path, meminfo)
    said = str(refused.value)
    assert f"needs {fits_mib + 1:,} MiB, and {whose} left" in said
    assert "replay.capacity" in said
    assert "--memory" in said


def test_where_nothing_is_known_nothing_is_refused(tmp_path: Path) -> None:
    check_room(2**60, "", tmp_path, tmp_path / "meminfo")


def test_a_run_that_cannot_fit_reserves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(needed: int) -> None:
        raise MemoryTooSmall(f"needs {needed}")

    monkeypatch.setattr(plan, "check_room", refuse)
    monkeypatch.setattr(stores, "needed_bytes", lambda blueprint: 7)
    monkeypatch.setattr(stores, "create", lambda blueprint: pytest.fail("it was reserved"))
    with pytest.raises(MemoryTooSmall, match="needs 7"):
        plan.TrainingPlan().create_stores(None)
    assert MemoryTooSmall in EXPLAINED


def test_this_machine_has_memory() -> None:
    now = left()
    assert 0 <= now.free <= now.total
    assert 0.0 <= now.share <= 1.0


@pytest.mark.parametrize(
    ("membership", "events", "text"),
    [
        ("0::/user.slice/run.scope\n", "user.slice/run.scope/memory.events", "oom {}\noom_kill {}"),
        ("4:memory:/box\n0::/\n", "memory/box/memory.oom_control", "under_oom 0\noom_kill {1}"),
    ],
)
def test_a_kill_in_the_group_is_known_while_it_is_fresh(
    tmp_path: Path, membership: str, events: str, text: str
) -> None:
    file, vmstat = tmp_path / events, tmp_path / "vmstat"
    file.parent.mkdir(parents=True)
    file.write_text(text.format(5, 3))
    vmstat.write_text("pgfault 7\noom_kill 3\n")
    kills = Kills(membership, tmp_path, vmstat)
    assert kills.why() is None
    assert kills.look(0.0) == 0, "what was before is no news"
    assert kills.why() is None
    file.write_text(text.format(6, 4))
    vmstat.write_text("pgfault 9\noom_kill 4\n")
    assert kills.look(1.0) == 1
    assert kills.why() == "out of memory: the kernel has just killed in its control group"
    assert kills.look(1.0 + FRESH_S) == 0
    assert kills.why() is None


def test_a_count_that_cannot_be_read_for_a_moment_is_no_news(tmp_path: Path) -> None:
    events = tmp_path / "box" / "memory.events"
    events.parent.mkdir()
    events.write_text("oom_kill 5\n")
    kills = Kills("0::/box\n", tmp_path, tmp_path / "vmstat")
    assert kills.look(0.0) == 0
    events.rename(tmp_path / "away")
    assert kills.look(1.0) == 0
    (tmp_path / "away").rename(events)
    assert kills.look(2.0) == 0
    assert kills.why() is None
    events.write_text("oom_kill 6\n")
    assert kills.look(3.0) == 1


async def test_who_is_killed_for_want_of_memory_is_said_to_be(tmp_path: Path) -> None:
    group = tmp_path / "box"
    group.mkdir()
    counter = group / "memory.events"
    counter.write_text("oom_kill 0\n")
    crew = {"learner": {"do": "work"}, "a0": {"do": "work"}}
    async with running(tmp_path, crew, max_restarts=3) as run:
        await run.up()
        run.supervisor.crew.judged_by.kills = kills = Kills("0::/box\n", tmp_path, tmp_path / "no")
        kills.look(run.supervisor.clock())
        counter.write_text("oom_kill 1\n")
        os.kill(run.pid("a0"), signal.SIGKILL)
        event = await run.event("a0 (actor) failed")
        assert "killed by SIGKILL (out of memory: the kernel has just killed" in event.text
        await run.event("the kernel has killed 1 of the processes in this control group")
        await run.event("a0 is back")
        await run.ask("stop")
        assert await run.end() == 0
        (death,) = run.summary["deaths"]
        assert "out of memory" in death["how"]


def test_a_kill_elsewhere_on_the_machine_is_likely_to_be_this_one(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("oom_kill 3\n")
    kills = Kills("0::/\n", tmp_path, vmstat)
    kills.look(0.0)
    vmstat.write_text("oom_kill 4\n")
    told = kills.why()
    assert told is not None
    assert told.startswith("most likely out of memory")


def test_where_the_kernel_tells_nothing_nothing_is_said(tmp_path: Path) -> None:
    kills = Kills("", tmp_path, tmp_path / "vmstat")
    kills.look(0.0)
    assert kills.why() is None
