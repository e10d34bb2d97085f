"""Event files that TensorBoard reads, also after full disks and torn writes."""

from __future__ import annotations

import math
import os
import resource
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tuitrain.metrics.tensorboard import TensorBoardSink, crc32c, scalars_of
from tuitrain.supervisor.journal import Journal


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a protocol buffer's fields."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        match key & 7:
            case 0:
                yield key >> 3, varint()
            case 1:
                yield key >> 3, struct.unpack_from("<d", data, at)[0]
                at += 8
            case 2:
                length = varint()
                yield key >> 3, data[at : at + length]
                at += length
            case 5:
                yield key >> 3, struct.unpack_from("<f", data, at)[0]
                at += 4
            case other:
                raise AssertionError(f"wire type {other}")


def unmasked(data: bytes) -> int:
    value = (struct.unpack("<I", data)[0] - 0xA282EAD8) & 0xFFFFFFFF
    return (value >> 17 | value << 15) & 0xFFFFFFFF


def events(path: Path) -> list[dict[int, Any]]:
    """Every event of a file, which must be whole; summaries as (tag, value) pairs."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert unmasked(data[8:12]) == crc32c(data[:8])
        body, data = data[12 : 12 + length], data[12 + length :]
        assert unmasked(data[:4]) == crc32c(body)
        data = data[4:]
        event = dict(fields(body))
        if 5 in event:
            pairs = [dict(fields(value)) for _, value in fields(event[5])]
            event[5] = [(pair[1].decode(), pair[2]) for pair in pairs]
        found.append(event)
    return found


RECORD = {"kind": "learner", "policy": "p", "steps": 300, "time_s": 1000.5, "wall_s": 1.0}


def test_the_checksum_is_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_a_file_begins_with_its_version_and_holds_one_event_a_record(tmp_path: Path) -> None:
    sink = TensorBoardSink(tmp_path / "tb", 999.0)
    assert sink.write(RECORD | {"loss": 0.25, "lr": 1e-3})
    assert sink.write(RECORD | {"steps": 2**40, "loss": math.nan, "q_mean": -1e300})
    assert sink.write({"kind": "system", "steps": 5, "updates_per_s": {"p": 2.0, "q": None}})
    sink.close()
    sink.close()
    (path,) = (tmp_path / "tb").iterdir()
    assert ".tfevents." in path.name
    version, first, second, third = events(path)
    assert version == {1: 999.0, 3: b"brain.Event:2"}
    lr = struct.unpack("<f", struct.pack("<f", 1e-3))[0]
    assert first == {1: 1000.5, 2: 300, 5: [("learner/p/loss", 0.25), ("learner/p/lr", lr)]}
    assert second[2] == 2**40
    assert math.isnan(second[5][0][1])
    assert second[5][1] == ("learner/p/q_mean", -math.inf)
    assert third[5] == [("system/updates_per_s/p", 2.0)]


def test_what_is_no_number_has_no_curve() -> None:
    record = {"kind": "env", "policy": "p", "steps": 1, "actor": 3, "wall_s": 1.0, "time_s": 2.0}
    told = {"metrics.coverage": 0.5, "updates": 4, "flag": True, "text": "x", "none": None}
    assert dict(scalars_of(record | told)) == {"env/p/coverage": 0.5, "env/p/updates": 4.0}


def test_a_session_of_the_same_second_goes_on_in_the_file(tmp_path: Path) -> None:
    for _ in range(2):
        sink = TensorBoardSink(tmp_path, 999.0)
        sink.write(RECORD | {"loss": 1.0})
        sink.close()
    (path,) = tmp_path.iterdir()
    assert [set(event) for event in events(path)] == [{1, 3}, {1, 2, 5}, {1, 2, 5}]


def test_a_write_that_is_cut_off_is_taken_back(tmp_path: Path) -> None:
    told: list[str] = []
    sink = TensorBoardSink(tmp_path, 999.0, told.append)
    sink.write(RECORD | {"loss": 1.0})
    size = sink.path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))  # a disk with 10 bytes left
    try:
        lost = [sink.write(RECORD | {"loss": 2.0}) for _ in range(3)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert lost == [False, False, False]
    assert sink.path.stat().st_size == size
    assert sink.failures == 3
    assert len(told) == 1
    assert "training goes on" in told[0]
    assert sink.write(RECORD | {"loss": 3.0})
    assert [event[5][0][1] for event in events(sink.path)[1:]] == [1.0, 3.0]
    sink.close()


def test_a_tail_that_could_not_be_taken_back_is_taken_back_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = TensorBoardSink(tmp_path, 999.0)
    sink.write(RECORD | {"loss": 1.0})
    write, truncate = os.write, os.ftruncate

    def refuse(fd: int, size: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
    monkeypatch.setattr(os, "ftruncate", refuse)
    assert not sink.write(RECORD | {"loss": 2.0})
    monkeypatch.setattr(os, "write", write)
    assert not sink.write(RECORD | {"loss": 3.0}), "behind a torn record nobody would read it"
    monkeypatch.setattr(os, "ftruncate", truncate)
    assert sink.write(RECORD | {"loss": 4.0})
    assert [event[5][0][1] for event in events(sink.path)[1:]] == [1.0, 4.0]
    assert sink.failures == 2
    sink.close()


def test_a_record_that_makes_no_sense_is_a_lost_one(tmp_path: Path) -> None:
    told: list[str] = []
    sink = TensorBoardSink(tmp_path, 999.0, told.append)
    assert not sink.write(RECORD | {"steps": "many", "loss": 1.0})
    assert sink.write(RECORD | {"loss": 1.0})
    assert (sink.failures, len(events(sink.path))) == (1, 2)
    assert "ValueError" in told[0]
    sink.close()


def test_what_cannot_be_opened_is_told_and_survived(tmp_path: Path) -> None:
    (tmp_path / "tb").write_text("a file")
    told: list[str] = []
    sink = TensorBoardSink(tmp_path / "tb", 999.0, told.append)
    assert not sink.write(RECORD | {"loss": 1.0})
    assert (sink.failures, len(told)) == (1, 1)


def test_the_journal_counts_what_both_of_its_files_lose(tmp_path: Path) -> None:
    book = Journal(tmp_path / "e", tmp_path / "m", tmp_path / "tb", unix_time=lambda: 1000.0)
    board = book._record_sinks[1]
    assert board._fd is not None
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, board._fd)
    os.close(full)
    for _ in range(3):
        book.record(RECORD | {"loss": 1.0})
    assert [event.level for event in book.events] == ["error"]
    assert "tfevents" in book.events[0].text
    assert book.lost_lines == 3
    assert len((tmp_path / "m").read_text().splitlines()) == 3, "the other file has them"
    book.close()


def test_tensorboard_itself_reads_it(tmp_path: Path) -> None:
    module = "tensorboard.backend.event_processing.event_file_loader"
    loader = pytest.importorskip(module)
    sink = TensorBoardSink(tmp_path, 999.0)
    for step in range(3):
        sink.write(RECORD | {"steps": step, "loss": float(step)})
    sink.close()
    found = list(loader.LegacyEventFileLoader(str(sink.path)).Load())
    values = [(e.step, e.summary.value[0].tag, e.summary.value[0].simple_value) for e in found[1:]]
    assert values == [(step, "learner/p/loss", float(step)) for step in range(3)]


def test_a_run_that_goes_back_makes_tensorboard_forget(tmp_path: Path) -> None:
    """A `SessionLog` that starts (field 7, status 1) purges points at its step and after."""
    sink = TensorBoardSink(tmp_path, 5.0)
    assert sink.write({"kind": "rewind", "steps": 60, "updates": {"p": 6}, "time_s": 9.0})
    sink.close()
    version, restart = events(sink.path)
    assert version[3] == b"brain.Event:2"
    assert restart == {1: 9.0, 2: 61, 7: b"\x08\x01"}
