"""A disk that is full costs lines, and the run goes on to its end and says so."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.unit.supervisor.running import Run, running


def fill(run: Run) -> None:
    """From now on nothing more goes into metrics.jsonl and the event file."""
    full = os.open("/dev/full", os.O_WRONLY)
    for sink in run.supervisor.journal._record_sinks:
        assert sink._fd is not None
        os.dup2(full, sink._fd)
    os.close(full)


async def test_training_goes_on_without_its_measurements(tmp_path: Path) -> None:
    workers = {"learner": {"do": "finish"}, "a0": {"do": "work"}}
    async with running(tmp_path, workers) as run:
        while not hasattr(run.supervisor, "journal"):
            await run.event("starts")
        fill(run)
        await run.up()
        assert "training goes on" in (await run.event("cannot write")).text
        status = await run.ask("status")
        assert status.result["snapshot"]["lost_lines"] >= 1
        (check,) = [c for c in status.result["snapshot"]["checks"] if c["id"] == "lost_lines"]
        assert check["state"] == "warn"
        assert await run.end() == 0
        assert run.summary["state"] == "finished"
        assert run.summary["lost_lines"] >= 1
        assert sum("cannot write" in event["text"] for event in run.events) == 1


async def test_a_worker_that_prints_goes_on(tmp_path: Path) -> None:
    workers = {"learner": {"do": "work"}, "a0": {"do": "print on a full disk"}}
    async with running(tmp_path, workers) as run:
        await run.up()
        await run.event("it has printed")
        told = [event for event in run.events if "cannot write its log" in event["text"]]
        assert [(event["source"], event["level"]) for event in told] == [("a0", "warning")] * 2
        assert (await run.ask("stop")).ok
        assert await run.end() == 0
        assert run.summary["state"] == "stopped"


@pytest.mark.parametrize("in_its_place", ["nothing", "a file"])
async def test_a_worker_starts_again_though_the_logs_were_removed(
    tmp_path: Path, in_its_place: str
) -> None:
    workers = {"learner": {"do": "work"}, "a0": {"do": "work"}}
    async with running(tmp_path, workers, max_restarts=1) as run:
        await run.up()
        shutil.rmtree(run.folder.logs)
        if in_its_place == "a file":
            run.folder.logs.write_text("")
        pid = run.supervisor.crew.workers["a0"].process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await run.event("is back")
        lost = [event for event in run.events if "what it prints is lost" in event["text"]]
        assert bool(lost) == (in_its_place == "a file")
        assert run.folder.logs.is_dir() == (in_its_place == "nothing")
        assert (await run.ask("stop")).ok
        assert await run.end() == 0


@pytest.mark.parametrize("name", ["config.toml", "runtime.json", "summary.json"])
async def test_a_file_of_the_run_that_cannot_be_written_ends_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told what is needed and free, and what was there before stays."""
    workers = {"learner": {"do": "finish"}, "a0": {"do": "work"}}
    really = os.replace

    def replace(source: str, target: str | Path) -> None:
        if Path(target).name == name and Path(source).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(source, target)

    async with running(tmp_path, workers) as run:
        before = run.folder.config_toml.read_text()
        monkeypatch.setattr(os, "replace", replace)
        await run.up()
        assert await run.end() == 0
        monkeypatch.undo()
        (text,) = [e["text"] for e in run.events if "No space left" in e["text"]]
        assert "free in" in text
        assert str(run.folder.path / name) in text
        assert run.folder.summary_json.exists() == (name != "summary.json")
        assert name != "config.toml" or run.folder.config_toml.read_text() == before
        assert not list(run.folder.path.glob(".*"))


async def test_when_there_is_room_again_lines_are_written_and_the_gap_is_told(
    tmp_path: Path,
) -> None:
    workers = {"learner": {"do": "work"}, "a0": {"do": "work"}}
    async with running(tmp_path, workers) as run:
        await run.up()
        sink = run.supervisor.journal._metrics_sink
        assert sink._fd is not None
        kept = os.dup(sink._fd)
        fill(run)
        for _ in range(3):
            run.supervisor.watch.record_system()
        lost = sink.failures
        assert lost >= 3
        os.dup2(kept, sink._fd)
        os.close(kept)
        run.supervisor.watch.record_system()
        event = await run.event("is written again")
        assert f"{lost} lines are missing" in event.text
        assert (await run.ask("stop")).ok
        assert await run.end() == 0
