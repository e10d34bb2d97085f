"""A run with test doubles says so; one that cannot be put in place ends it before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.supervisor.running import CREW, running
from tuitrain.parts import VARIABLE


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A function that replaces nothing."""
    file = tmp_path / "double.py"
    file.write_text("def double(parts):\n    print('put in place')\n")
    monkeypatch.setenv(VARIABLE, f"{file}:double")
    return f"{file}:double"


async def test_it_warns_who_starts_it_and_in_its_events(tmp_path: Path, double: str) -> None:
    async with running(tmp_path, CREW) as run:
        await run.up()
        event = await run.event("test doubles")
        assert event.level == "warning"
        assert double in event.text
        assert event.text in run.told.warnings
        await run.ask("stop")
        assert await run.end() == 0
    for worker in CREW:
        assert "put in place" in (run.folder.logs / f"{worker}.log").read_text()


async def test_a_run_without_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    async with running(tmp_path, CREW) as run:
        await run.up()
        await run.ask("stop")
        assert await run.end() == 0
    assert not any("double" in text for text in run.told.warnings)


async def test_one_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"{tmp_path / 'missing.py'}:double")
    async with running(tmp_path, CREW) as run:
        assert await run.end() == 3
    assert "there is no file" in run.summary["reason"]
