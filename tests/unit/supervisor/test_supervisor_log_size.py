"""Logs of environments that print without end."""

from __future__ import annotations

import os
from pathlib import Path

from tuitrain.supervisor.crew.log_size import cut


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "a0.log"
    log.write_bytes(b"line\n" * 100)
    assert cut(log, 500, 50) == 0
    assert log.read_bytes() == b"line\n" * 100
    assert cut(tmp_path / "none.log", 500, 50) == 0


def test_a_large_log_keeps_both_ends_and_says_what_is_missing(tmp_path: Path) -> None:
    log = tmp_path / "a0.log"
    lines = [f"line {number:04}\n".encode() for number in range(1_000)]
    log.write_bytes(b"".join(lines))
    writer = os.open(log, os.O_WRONLY | os.O_APPEND)  # as the worker's
    gone = cut(log, 500, 95)
    assert gone == 10_000 - 95 - 90  # to a whole line
    os.write(writer, b"printed afterwards\n")
    os.close(writer)
    begin, mark, end = log.read_bytes().partition(
        f"\ntuitrain: the log had grown to 10,000 bytes; {gone:,} are left out here\n".encode()
    )
    assert begin == b"".join(lines)[:95]
    assert mark
    assert end == b"".join(lines[-9:]) + b"printed afterwards\n"


def test_a_log_without_lines_is_cut_too_and_stays_small(tmp_path: Path) -> None:
    log = tmp_path / "a0.log"
    for _ in range(5):
        with open(log, "ab") as file:
            file.write(b"x" * 10_000)
        assert cut(log, 5_000, 100) > 0
        assert log.stat().st_size < 400
