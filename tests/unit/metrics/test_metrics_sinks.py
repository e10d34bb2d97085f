"""JSON lines that survive crashes, full disks and numbers that are none."""

from __future__ import annotations

import errno
import io
import itertools
import json
import math
import os
from pathlib import Path

import pandas as pd
import pytest

from tuitrain.metrics import sinks
from tuitrain.metrics.records import COMMON_FIELDS, FIELDS, stamped
from tuitrain.metrics.sinks import JsonlSink, RecordHistory, last_steps, read_jsonl, to_json
from tuitrain.metrics.tensorboard import TensorBoardSink


def test_lines_are_readable_as_soon_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    sink = JsonlSink(path)
    assert sink.write({"a": 1})
    assert list(read_jsonl(path)) == [{"a": 1}]
    sink.close()
    sink.close()


def test_numbers_that_are_not_finite_become_null_everywhere() -> None:
    text = to_json({"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf}})
    assert json.loads(text) == {"a": None, "b": [None, 1.5], "c": {"d": None}}


def test_pandas_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    sink = JsonlSink(path)
    sink.write({"kind": "learner", "loss": 0.5})
    sink.write({"kind": "learner", "loss": math.nan})
    sink.close()
    frame = pd.read_json(io.StringIO(path.read_text()), lines=True)
    assert frame["loss"].isna().tolist() == [False, True]


def test_a_torn_last_line_is_closed_off_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2, "b')  # the writer was killed here
    sink = JsonlSink(path)
    sink.write({"a": 3})
    sink.write({"a": 4})
    sink.close()
    assert list(read_jsonl(path)) == [{"a": 1}, {"a": 3}, {"a": 4}]


def test_what_cannot_be_read_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"[" * 100_000 + b'\n\xff\x00\n{"a": 1}\n')
    assert list(read_jsonl(path)) == [{"a": 1}]
    assert list(read_jsonl(tmp_path)) == []


def test_a_full_disk_is_told_once_and_never_raised(tmp_path: Path) -> None:
    told: list[str] = []
    sink = JsonlSink(tmp_path / "m.jsonl", told.append)
    assert sink._fd is not None
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, sink._fd)
    os.close(full)
    for _ in range(5):
        assert not sink.write({"a": 1})
    assert sink.failures == 5
    assert len(told) == 1
    assert "No space left on device (8 B needed, " in told[0]
    assert told[0].endswith("; training goes on")
    sink.close()


def test_a_line_that_makes_no_sense_is_a_lost_one(tmp_path: Path) -> None:
    class Fails:
        def __str__(self) -> str:
            raise ZeroDivisionError("whatever it is")

    told: list[str] = []
    sink = JsonlSink(tmp_path / "m.jsonl", told.append)
    assert not sink.write({"a": Fails()})
    assert sink.write({"a": 2})
    assert (sink.failures, list(read_jsonl(sink.path))) == (1, [{"a": 2}])
    assert "ZeroDivisionError('whatever it is'); training goes on" in told[0]
    sink.close()


@pytest.mark.parametrize("kind", ["json lines", "event file"])
def test_what_is_told_only_at_the_close_is_survived(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network file systems tell there that they are full."""
    sink = (
        JsonlSink(tmp_path / "m.jsonl") if kind == "json lines" else TensorBoardSink(tmp_path, 0.0)
    )
    really_close = os.close

    def close(fd: int) -> None:
        really_close(fd)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "close", close)
    sink.close()
    sink.close()


def test_a_file_that_cannot_be_opened_is_told_and_survived(tmp_path: Path) -> None:
    told: list[str] = []
    sink = JsonlSink(tmp_path / "missing" / "m.jsonl", told.append)
    assert not sink.write({"a": 1})
    assert len(told) == 1


def test_a_file_that_is_replaced_is_begun_anew_and_that_is_told(tmp_path: Path) -> None:
    path, told = tmp_path / "m.jsonl", list[str]()
    sink = JsonlSink(path, told.append)
    sink.write({"a": 1})
    path.rename(tmp_path / "before")
    assert sink.write({"a": 2})
    assert list(read_jsonl(path)) == [{"a": 2}]
    assert list(read_jsonl(tmp_path / "before")) == [{"a": 1}]
    path.unlink()
    path.write_text('{"b": 1}')  # an editor's
    assert sink.write({"a": 3})
    assert list(read_jsonl(path)) == [{"b": 1}, {"a": 3}]
    assert len(told) == 2
    assert "moved or replaced by another program" in told[0]
    sink.close()


def test_a_folder_in_its_place_costs_lines_until_it_is_gone(tmp_path: Path) -> None:
    path, told, over = tmp_path / "m.jsonl", list[str](), list[str]()
    sink = JsonlSink(path, told.append, over.append)
    sink.write({"a": 1})
    path.unlink()
    path.mkdir()
    assert not sink.write({"a": 2})
    assert not sink.write({"a": 3})
    assert len(told) == 1
    assert "Is a directory" in told[0]
    path.rmdir()
    assert sink.write({"a": 4})
    assert list(read_jsonl(path)) == [{"a": 4}]
    assert len(over) == 1
    assert "2 lines are missing" in over[0]
    sink.close()


def test_a_folder_that_is_moved_takes_its_files_along(tmp_path: Path) -> None:
    run, told = tmp_path / "run", list[str]()
    run.mkdir()
    sink = JsonlSink(run / "m.jsonl", told.append)
    run.rename(tmp_path / "moved")
    run.mkdir()  # another one's
    assert sink.write({"a": 1})
    assert list(read_jsonl(tmp_path / "moved" / "m.jsonl")) == [{"a": 1}]
    assert list(run.iterdir()) == []
    assert not told
    sink.close()


def test_reading_the_last_lines_and_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("".join(f'{{"a": {i}}}\n' for i in range(10)) + "[1]\nnull\n")
    assert [line["a"] for line in read_jsonl(path, last=3)] == [7, 8, 9]
    assert list(read_jsonl(tmp_path / "none.jsonl")) == []


def test_history_is_bounded_spread_over_the_run_and_keeps_the_newest() -> None:
    history = RecordHistory(limit=64)
    for i in range(100_001):
        history.add({"kind": "learner", "policy": "p", "time_s": float(i)})
    kept = [r["time_s"] for r in history.all()]
    assert 32 <= len(kept) <= 65
    assert kept == sorted(kept)
    assert kept[0] == 0.0
    assert kept[-1] == 100_000.0
    gaps = [b - a for a, b in itertools.pairwise(kept)]
    assert max(gaps) <= 100_000 / 16


def test_history_keeps_series_apart_in_the_order_of_time() -> None:
    history = RecordHistory(limit=8)
    history.add({"kind": "eval", "policy": "p", "time_s": 1.0})
    for i in range(1000):
        history.add({"kind": "train", "policy": "p", "actor": i % 2, "time_s": 2.0 + i})
    kept = history.all()
    assert kept[0]["kind"] == "eval"
    assert {r.get("actor") for r in kept[1:]} == {0, 1}


def test_stamping_adds_the_clock_and_leaves_the_record_alone() -> None:
    record = {"kind": "eval", "steps": 5}
    assert stamped(record, 1000.0, 2.5) == {**record, "time_s": 1000.0, "wall_s": 2.5}
    assert record == {"kind": "eval", "steps": 5}


def test_every_kind_is_documented() -> None:
    assert set(FIELDS) == {"train", "rows", "learner", "eval", "env", "system", "rewind"}
    for fields in (*FIELDS.values(), COMMON_FIELDS):
        assert all(fields.values())


def test_the_newest_steps_are_a_number_and_found_without_reading_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.jsonl"
    assert last_steps(path) is None
    path.write_text('{"steps": 7}\n{"steps": NaN}\n{"steps": true}\n{"a": 1}\n{"steps": 9')
    assert last_steps(path) == 7
    monkeypatch.setattr(sinks, "_TAIL_BYTES", 20)
    assert last_steps(path) is None
