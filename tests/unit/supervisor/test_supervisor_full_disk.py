"""A disk that is full costs lines, and the run goes on to its end and says so."""

from __future__ import annotations

import os
from pathlib import Path

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
