"""Enough open files for a run: raised where that is allowed, else refused with numbers."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_plan import FakePlan
from tests.unit.supervisor.running import running
from tuitrain.supervisor.house import open_files
from tuitrain.supervisor.house.open_files import TooFewFiles, allow_files, files_needed


class Limits:
    """Stands for the kernel's, which a process cannot raise again once it has lowered them."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = soft, hard

    def getrlimit(self, which: int) -> tuple[int, int]:
        return self.now if which == resource.RLIMIT_NOFILE else (resource.RLIM_INFINITY,) * 2

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        assert limits[0] <= limits[1] or limits[1] == resource.RLIM_INFINITY
        self.now = limits


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Limits]:
    limits = Limits(64, 4096)
    monkeypatch.setattr(open_files.resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(open_files.resource, "setrlimit", limits.setrlimit)
    return limits


def test_more_workers_and_policies_need_more() -> None:
    assert files_needed(3, 1) < files_needed(9, 1) < files_needed(9, 8)
    assert files_needed(3, 1) >= 57  # measured while it started them


@pytest.mark.parametrize("hard", [300, resource.RLIM_INFINITY])
def test_the_soft_limit_is_raised_as_far_as_needed(limits: Limits, hard: int) -> None:
    limits.now = 64, hard
    assert allow_files(300).startswith("the limit of open files was 64 and is now 300")
    assert limits.now == (300, hard)
    assert allow_files(300) == ""


def test_what_is_enough_is_left_alone(limits: Limits) -> None:
    for now in ((300, 300), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)):
        limits.now = now
        assert allow_files(300) == ""
        assert limits.now == now


def test_a_hard_limit_is_refused_with_numbers_and_the_fix(limits: Limits) -> None:
    limits.now = 64, 299
    with pytest.raises(TooFewFiles, match=r"about 300 open files .* 299 are .*ulimit -n 1024"):
        allow_files(300)
    assert limits.now == (64, 299)


async def test_a_run_that_cannot_have_them_does_not_start(tmp_path: Path, limits: Limits) -> None:
    limits.now = 64, 80
    workers = {"learner": {"do": "work"}} | {f"a{n}": {"do": "work"} for n in range(8)}
    async with running(tmp_path, workers, FakePlan()) as run:
        assert await run.end() == 3
        assert "ulimit -n 1024" in run.summary["reason"]
        assert "80 are allowed" in (run.told.problem or "")
