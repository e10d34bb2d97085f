"""What a worker prints reaches its log, and nobody who prints learns that the disk is full."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tuitrain.workers.log import LogFile, text_stream


@pytest.fixture
def fd(tmp_path: Path):
    opened = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    yield opened
    os.close(opened)


def test_lines_are_there_at_once_and_anything_can_be_printed(fd: int, tmp_path: Path) -> None:
    stream, _ = text_stream(fd)
    print("a line with \udcff", file=stream)
    assert (tmp_path / "log").read_bytes() == b"a line with \\udcff\n"
    stream.close()
    os.fstat(fd)  # is open still


def test_losses_are_counted_and_told_once_until_it_works_again(fd: int, tmp_path: Path) -> None:
    stream, log = text_stream(fd)
    told: list[str] = []
    log.on_loss = told.append
    kept, full = os.dup(fd), os.open("/dev/full", os.O_WRONLY)
    for round_number in (1, 2):
        os.dup2(full, fd)
        for _ in range(3):
            print("lost", file=stream)
        print("x" * 100_000, file=stream)
        assert log.lost_bytes == round_number * (3 * 5 + 100_001)
        assert told == ["cannot write its log: No space left on device; training goes on"] * (
            round_number
        )
        os.dup2(kept, fd)
        print("kept", file=stream)
    assert (tmp_path / "log").read_text() == "kept\nkept\n"
    for opened in (kept, full):
        os.close(opened)
    stream.close()


def test_what_is_taken_in_part_is_told_as_such() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    log = LogFile(write)
    taken = log.write(b"x" * 10_000_000)
    assert 0 < taken < 10_000_000
    assert log.lost_bytes == 0
    os.close(read)
    os.close(write)
