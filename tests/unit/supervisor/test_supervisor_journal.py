"""Events and records: written, numbered, remembered; and printed without escape bytes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tuitrain.protocol import EventLine, RecordLine, Snapshot
from tuitrain.supervisor.clients.console import Console, duration, summary_lines
from tuitrain.supervisor.ending import KILLED
from tuitrain.supervisor.journal import Journal


def journal(path: Path) -> Journal:
    return Journal(path / "events.jsonl", path / "metrics.jsonl", unix_time=lambda: 1000.0)


def test_what_happens_is_written_numbered_and_passed_on(tmp_path: Path) -> None:
    book = journal(tmp_path)
    events: list[EventLine] = []
    records: list[RecordLine] = []
    book.on_event.append(events.append)
    book.on_record.append(records.append)
    book.event("one")
    book.event("two", level="error", source="a0", data={"x": 1})
    book.record({"kind": "eval", "return_mean": 1.0})
    book.close()
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(line["seq"], line["text"]) for line in lines] == [(1, "one"), (2, "two")]
    assert [e.seq for e in events] == [1, 2]
    assert records[0].record == {
        "kind": "eval",
        "return_mean": 1.0,
        "time_s": 1000.0,
        "wall_s": 0.0,
    }


def test_a_resumed_run_goes_on_where_its_files_end(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.event("one")
    first.record({"kind": "eval", "policy": "default", "return_mean": 1.0})
    first.close()
    second = journal(tmp_path)
    assert second.event("two").seq == 2
    assert [e.text for e in second.events] == ["one", "two"]
    assert [r["return_mean"] for r in second.earlier_records] == [1.0]
    assert len(second.history.all()) == 1
    second.close()


def test_a_full_disk_becomes_an_event_and_nothing_else(tmp_path: Path) -> None:
    book = journal(tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    metrics = book._metrics_sink._fd
    assert metrics is not None
    os.dup2(full, metrics)
    os.close(full)
    for _ in range(3):
        book.record({"kind": "train"})
    assert [e.level for e in book.events] == ["error"]
    assert book.lost_lines == 3
    book.close()


def printed(as_json: bool, what: Any) -> bytes:
    read_fd, write_fd = os.pipe()
    console = Console(as_json=as_json, fd=write_fd)
    what(console)
    console.close()
    os.close(write_fd)
    with open(read_fd, "rb") as file:
        return file.read()


HOSTILE = EventLine(
    seq=1,
    time_s=0.0,
    level="error",
    source="a0",
    text="\x1b[2J\x07failed\r",
    data={"traceback": "Traceback\n  \x1b[31mline\x1b[0m", "log": ["\x9bm"]},
)


@pytest.mark.parametrize("as_json", [False, True])
def test_no_escape_byte_reaches_the_terminal(as_json: bool) -> None:
    out = printed(as_json, lambda console: console.event(HOSTILE))
    assert b"failed" in out
    assert b"line" in out
    assert not set(out) & ({*range(0x20), 0x7F} - {0x0A})
    out.decode()  # and no lone C1 byte either
    assert "\x9b" not in out.decode()


def test_a_traceback_is_printed_once() -> None:
    """A worker that is started again five times raises the same six times."""
    line = EventLine(
        seq=1,
        time_s=0.0,
        level="warning",
        source="a0",
        text="a0 (actor) failed",
        data={"traceback": "Traceback\n  my_env.py\nValueError"},
    )
    other = line.model_copy(update={"data": {"traceback": "Traceback\nKeyError"}})

    def what(console: Console) -> None:
        for event in (line, line, other, line):
            console.event(event)

    out = printed(False, what).decode()
    assert out.count("WARNING a0 (actor) failed") == 4, "and the source is not said twice"
    assert (out.count("my_env.py"), out.count("KeyError")) == (1, 1)
    assert out.count("the same as before") == 2


def test_json_lines_are_json() -> None:
    def what(console: Console) -> None:
        console.event(HOSTILE)
        console.progress(
            Snapshot(
                seq=1,
                time_s=0.0,
                run_id="0123abcd",
                run_dir="/r",
                name="n",
                schedule="async",
                state="running",
                elapsed_s=float("inf"),
                supervisor_pid=1,
            )
        )

    lines = [json.loads(line) for line in printed(True, what).splitlines()]
    assert [line["kind"] for line in lines] == ["event", "snapshot"]
    assert lines[1]["elapsed_s"] is None


def test_a_console_nobody_reads_blocks_nobody() -> None:
    read_fd, write_fd = os.pipe()
    console = Console(as_json=False, fd=write_fd)
    for _ in range(5_000):
        console.event(HOSTILE)  # far more than the pipe and the queue hold
    os.close(read_fd)  # then the reader goes away
    console.close()
    os.close(write_fd)


def test_the_end_names_the_best_weights_and_what_checks_warn_of() -> None:
    check = {"id": "lag", "name": "policy lag", "value": "9", "limit": "8", "advice": "Fewer."}
    summary = {
        "state": "failed",
        "reason": "a0 was killed",
        "steps": 1500,
        "total_steps": 2000,
        "base_steps": 0,
        "wall_s": 19.0,
        "policies": {},
        "checks": [check | {"state": "warn"}, check | {"state": "ok", "name": "another"}],
        "last_checkpoint": "/r/ckpt-1.pt",
        "best": {"path": "/r/best.pt", "score": 7.25, "steps": 1200, "policy": None},
        "run_dir": "/r",
    }
    lines = summary_lines(summary)
    assert "  last checkpoint /r/ckpt-1.pt" in lines
    assert "  best weights /r/best.pt: mean return 7.25 at 1,200 steps" in lines
    assert "  check warns: policy lag 9: Fewer." in lines
    assert not any("another" in line for line in lines)
    assert "  checkpoint /r/ckpt-1.pt" in summary_lines(summary | {"state": "stopped"})


def test_the_end_says_what_to_type_next() -> None:
    summary: dict[str, Any] = {
        "state": "finished", "reason": "", "steps": 1, "total_steps": 1, "base_steps": 0,
        "wall_s": 1.0, "policies": {}, "checks": [], "last_checkpoint": "/x/r-1/ckpt-1.pt",
        "run_dir": "/x/r-1",
    }  # fmt: skip
    check = {"id": "lag", "name": "policy lag", "value": "9", "limit": "8", "advice": "Fewer."}
    resume, diagnose = "  to go on: tuitrain resume r-1", "  next: tuitrain diagnose r-1"

    def told(**keys: Any) -> set[str]:
        return {resume, diagnose} & set(summary_lines(summary | keys))

    assert told() == told(checks=[check | {"state": "ok"}]) == set()
    for state in ("warn", "fail"):
        assert told(checks=[check | {"state": state}]) == {diagnose}
    assert told(state="stopped") == {resume}
    assert told(state="interrupted") == {resume}
    assert told(state="stopped", last_checkpoint=None) == set()
    last = summary_lines(summary | {"state": "stopped", "last_checkpoint": None})[-1]
    assert last.endswith("; to begin anew: tuitrain launch /x/r-1/config.toml")


def test_the_checkpoint_of_a_run_that_was_killed_is_an_earlier_one() -> None:
    summary = {
        "state": "stopped", "reason": KILLED, "steps": 9, "total_steps": 10, "base_steps": 0,
        "wall_s": 1.0, "policies": {}, "checks": [], "last_checkpoint": "c.pt", "run_dir": "/r",
    }  # fmt: skip
    assert "  last checkpoint c.pt" in summary_lines(summary)
    assert "  checkpoint c.pt" in summary_lines(summary | {"reason": "stopped by its user"})


def test_the_end_says_who_was_started_again_and_at_what_cost() -> None:
    summary: dict[str, object] = {
        "state": "finished",
        "reason": "",
        "steps": 2000,
        "total_steps": 2000,
        "base_steps": 0,
        "wall_s": 19.0,
        "policies": {},
        "checks": [],
        "last_checkpoint": None,
        "run_dir": "/r",
    }
    last = {"worker": "a0", "how": "exit code 1", "error_type": "KeyError", "message": "'x'"}
    died = {
        "restarts": {"a0": 2, "learner": 1},
        "lost_updates": {"a": 1000, "b": 34},
        "deaths": [{"worker": "learner", "how": "killed by SIGSEGV"}, last | {"where": "e.py:3"}],
    }
    lines = summary_lines(summary | died | {"reproducible": False})
    assert "  started again after a death: a0 2×, learner 1×; 1,034 updates were lost" in lines
    assert "    the last, of a0: exit code 1: KeyError: 'x' (e.py:3)" in lines
    assert any(line.startswith("  not reproducible") for line in lines)
    quiet = summary_lines(summary | {"restarts": {}, "lost_updates": {}, "reproducible": True})
    assert quiet == summary_lines(summary), "nor of a summary of before there were restarts"


def test_durations() -> None:
    assert [duration(s) for s in (0, 61, 3600 * 25 + 1)] == ["0:00:00", "0:01:01", "25:00:01"]


def test_a_resumed_run_says_what_was_done_in_its_time() -> None:
    summary = {
        "state": "stopped",
        "reason": "stopped by its user",
        "steps": 1500,
        "total_steps": 2000,
        "base_steps": 1200,
        "wall_s": 19.0,
        "policies": {},
        "checks": [],
        "last_checkpoint": None,
        "run_dir": "/runs/x-0001",
    }
    wanted = "  1,500 of 2,000 environment steps, 300 of them since it was resumed, in 0:00:19"
    assert summary_lines(summary)[1] == wanted
    assert summary_lines(summary | {"base_steps": 0})[1] == (
        "  1,500 of 2,000 environment steps in 0:00:19"
    )
