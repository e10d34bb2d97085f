"""Segments: reserved for real, verified on attach, removed by nobody but their owner."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tuitrain.replay import segment

HASH = bytes(range(32))
SHM = Path("/dev/shm")


@pytest.fixture
def name() -> Iterator[str]:
    made = f"tuitrain-test-{uuid.uuid4().hex[:12]}"
    yield made
    for left in segment.list_names(made):
        segment.unlink(left)


def python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *args],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_what_one_maps_the_other_sees(name: str) -> None:
    made = segment.create(name, 1000, HASH)
    seen = segment.attach(name, 1000, HASH)
    assert made.name == seen.name == name
    assert len(made.buf) == len(seen.buf) == 1000
    assert bytes(seen.buf) == bytes(1000)
    np.frombuffer(made.buf, np.uint8)[999] = 7
    assert seen.buf[999] == 7
    assert np.frombuffer(made.buf, np.uint8).ctypes.data % 64 == 0
    made.close()
    seen.close()


def test_memory_is_reserved_before_use(name: str) -> None:
    """All blocks are there at once; a file that is only made longer has none."""
    nbytes = 1 << 20
    segment.create(name, nbytes, HASH).close()
    assert (SHM / name).stat().st_blocks * 512 >= nbytes
    assert (SHM / name).stat().st_mode & 0o777 == 0o600
    sparse = SHM / f"{name}-sparse"
    with sparse.open("wb") as file:
        file.truncate(nbytes)
    assert sparse.stat().st_blocks * 512 < nbytes


def test_too_large_is_refused_with_what_to_do(name: str) -> None:
    free = segment.free_bytes()
    assert free is not None
    with pytest.raises(segment.SegmentSpaceError, match=r"--shm-size=\d+m") as error:
        segment.create(name, 2 * free, HASH)
    assert error.value.needed_bytes >= 2 * free
    assert error.value.free_bytes is not None
    assert segment.list_names(name) == []
    with pytest.raises(segment.SegmentSpaceError):
        segment.check_space(2 * free)
    segment.check_space(1000)


def test_space_that_vanishes_between_check_and_use_leaves_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's own refusal, with the check out of the way."""
    monkeypatch.setattr(segment, "check_space", lambda needed: None)
    status = os.statvfs(SHM)
    with pytest.raises(segment.SegmentSpaceError, match="--shm-size"):
        segment.create(name, 2 * status.f_blocks * status.f_frsize, HASH)
    assert segment.list_names(name) == []


@pytest.mark.parametrize(
    ("number", "limit", "letter"),
    [(errno.EFBIG, "file_limit_bytes", "f"), (errno.ENOMEM, "address_limit_bytes", "v")],
)
def test_a_limit_of_the_process_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, number: int, limit: str, letter: str
) -> None:
    def refuse(fd: int, nbytes: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(segment, "_reserve", refuse)
    with pytest.raises(segment.SegmentSpaceError, match="--shm-size"):
        segment.create(name, 4096, HASH)
    monkeypatch.setattr(segment, limit, lambda: 1 << 20)
    with pytest.raises(segment.SegmentError, match=f"1.0 MiB .*ulimit -{letter} unlimited"):
        segment.create(name, 4096, HASH)
    assert segment.list_names(name) == []


def test_a_place_that_cannot_be_written_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, flags: int) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(segment, "_open", refuse)
    with pytest.raises(segment.SegmentError, match="cannot be made in /dev/shm: Read-only"):
        segment.create(name, 4096, HASH)


def test_the_hinted_size_would_be_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "_used_bytes", lambda: 3 << 20)
    assert "--shm-size=8m" in str(segment.SegmentSpaceError(5 << 20, 1 << 20))
    assert "--shm-size=9m" in str(segment.SegmentSpaceError((5 << 20) + 1, 1 << 20))
    assert "unknown" in str(segment.SegmentSpaceError(5, None))


def test_a_taken_name_is_refused_and_untouched(name: str) -> None:
    made = segment.create(name, 100, HASH)
    made.buf[0] = 9
    with pytest.raises(segment.SegmentError, match="exists already"):
        segment.create(name, 100, HASH)
    assert made.buf[0] == 9
    made.close()


def test_attaching_to_nothing(name: str) -> None:
    with pytest.raises(segment.SegmentMissing, match="its run has ended"):
        segment.attach(name, 100, HASH)


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [(0, 0, "not a segment"), (8, 99, "format is version 99"), (16, 99, "holds 99 bytes")],
)
def test_a_doctored_header_is_refused(name: str, position: int, value: int, message: str) -> None:
    segment.create(name, 100, HASH).close()
    with (SHM / name).open("r+b") as file:
        file.seek(position)
        file.write(bytes([value]))
    with pytest.raises(segment.SegmentMismatch, match=message):
        segment.attach(name, 100, HASH)


def test_any_flipped_bit_of_the_header_is_noticed(name: str) -> None:
    segment.create(name, 100, HASH).close()
    whole = (SHM / name).read_bytes()
    with (SHM / name).open("r+b", buffering=0) as file:
        for byte in range(segment.HEADER_BYTES):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([whole[byte] ^ 1 << bit]), byte)
                with pytest.raises(segment.SegmentMismatch):
                    segment.attach(name, 100, HASH)
            os.pwrite(file.fileno(), whole[byte : byte + 1], byte)
    segment.attach(name, 100, HASH).close()


def test_damage_that_no_field_tells_is_named_by_its_byte(name: str) -> None:
    segment.create(name, 100, HASH).close()
    with (SHM / name).open("r+b") as file:
        file.seek(24 + 31)  # the layout hash's last byte
        file.write(b"\x60")
    with pytest.raises(segment.SegmentMismatch, match=r"byte 55 of its header is 0x60.* 0x1f"):
        segment.attach(name, 100, HASH)


def test_another_layout_or_size_is_refused(name: str) -> None:
    segment.create(name, 100, HASH).close()
    with pytest.raises(segment.SegmentMismatch, match="layout hash is 00010203"):
        segment.attach(name, 100, bytes(32))
    with pytest.raises(segment.SegmentMismatch, match="holds 100 bytes in a file of 164"):
        segment.attach(name, 101, HASH)
    with (SHM / name).open("r+b") as file:
        file.truncate(80)
    with pytest.raises(segment.SegmentMismatch, match="in a file of 80"):
        segment.attach(name, 100, HASH)
    with (SHM / name).open("r+b") as file:
        file.truncate(10)
    with pytest.raises(segment.SegmentMismatch, match="10 bytes, fewer than a header"):
        segment.attach(name, 100, HASH)


def test_a_segment_is_never_copied(name: str) -> None:
    made = segment.create(name, 100, HASH)
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"segment\.attach\(name, nbytes, layout_hash\)"):
            act(made)
    made.close()


def test_arrays_outlive_close(name: str) -> None:
    made = segment.create(name, 800, HASH)
    array = np.frombuffer(made.buf, np.int64)
    made.close()
    made.close()
    array[:] = 5
    seen = segment.attach(name, 800, HASH)
    assert (np.frombuffer(seen.buf, np.int64) == 5).all()


def test_a_process_that_attaches_and_exits_removes_nothing_and_says_nothing(name: str) -> None:
    made = segment.create(name, 100, HASH)
    made.buf[5] = 1
    code = (
        "import sys\n"
        "from multiprocessing import resource_tracker\n"
        "from tuitrain.replay import segment\n"
        f"seen = segment.attach(sys.argv[1], 100, {HASH!r})\n"
        "mine = segment.create(sys.argv[1] + '-b', 100, bytes(32))\n"
        "print(seen.buf[5], resource_tracker._resource_tracker._fd)\n"
    )
    done = python(code, name)
    assert done.stderr == ""
    assert done.stdout == "1 None\n", "a tracker was started"
    assert segment.list_names(name) == [name, f"{name}-b"]
    assert segment.attach(name, 100, HASH).buf[5] == 1
    made.close()


def test_names(name: str) -> None:
    for each in ("b", "a"):
        segment.create(f"{name}-{each}", 10, HASH).close()
    assert segment.list_names(f"{name}-") == [f"{name}-a", f"{name}-b"]
    assert segment.unlink(f"{name}-a")
    assert not segment.unlink(f"{name}-a")
    assert segment.list_names(f"{name}-") == [f"{name}-b"]
    for bad in ("", "a/b", "..", ".hidden", "x" * 201, "ä"):
        with pytest.raises(ValueError, match="no segment name"):
            segment.create(bad, 10, HASH)


def test_sizes_and_hashes_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match="0 bytes"):
        segment.create(name, 0, HASH)
    with pytest.raises(ValueError, match="32 bytes"):
        segment.create(name, 10, b"short")
