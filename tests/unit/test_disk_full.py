"""A disk that fills at any moment: what was there stays whole, what is wrong is said in numbers."""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuitrain import disk
from tuitrain.checkpoint.files import checkpoints
from tuitrain.checkpoint.payload import CheckpointError, load, save, write
from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import RunFolder, RunFolderError, create_run
from tuitrain.disk import why, write_atomically
from tuitrain.metrics.sinks import JsonlSink, read_jsonl
from tuitrain.metrics.tensorboard import TensorBoardSink
from tuitrain.supervisor.house.surroundings import disk_warnings

CALLS = ("open", "write", "fsync", "replace", "mkdir")


ORIGINAL = {name: getattr(os, name) for name in CALLS}


class Fills:
    """The disk is full from the Nth call on that could tell so, until `room`.

    Attributes:
        left: calls that still pass.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.left = left
        self.hit = False
        for name in CALLS:
            monkeypatch.setattr(os, name, self._failing(getattr(os, name)))
        monkeypatch.setattr(builtins, "open", self._opening(builtins.open))
        monkeypatch.setattr(io, "open", builtins.open)

    def _failing(self, really: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            how = arguments[1] if really is ORIGINAL["open"] else os.O_CREAT
            if not how & os.O_CREAT:
                return really(*arguments, **more)  # it is only read, which needs no room
            self.left -= 1
            if self.left < 0:
                self.hit = True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return really(*arguments, **more)

        return call

    def _opening(self, really: Callable[..., Any]) -> Callable[..., Any]:
        failing = self._failing(really)

        def call(file: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
            opens = failing if set(mode) & set("wax+") and not isinstance(file, int) else really
            return opens(file, mode, *more, **named)

        return call


def at_every_call(run: Callable[[], object], check: Callable[[], None]) -> int:
    """Let the disk be full from the 1st call on, then from the 2nd …, until nothing is hit.

    Args:
        run: what writes; its errors are its own business.
        check: what must hold afterwards, with room again.

    Returns:
        How many calls were hit.
    """
    for n in itertools.count():
        with pytest.MonkeyPatch.context() as patch:
            fills = Fills(patch, n)
            run()
        check()
        if not fills.hit:
            return n
    raise AssertionError


def test_a_checkpoint_is_there_whole_or_not_and_the_one_before_always(tmp_path: Path) -> None:
    save(tmp_path, {"steps": 1}, "ckpt-0000000001", 9)
    told: list[str] = []

    def run() -> None:
        try:
            save(tmp_path, {"steps": 2}, "ckpt-0000000002", 9)
        except CheckpointError as error:
            told.append(str(error))

    def check() -> None:
        assert load(tmp_path / "ckpt-0000000001.pt") == {"steps": 1}
        for path in checkpoints(tmp_path)[1:]:
            assert load(path) == {"steps": 2}
            path.unlink()
        assert [p.name for p in tmp_path.iterdir()] == ["ckpt-0000000001.pt"]

    assert at_every_call(run, check) >= 3
    assert all("needed, " in text and f"free in {tmp_path}" in text for text in told)
    assert all("earlier checkpoints are untouched" in text for text in told)


def test_a_file_that_is_replaced_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("old")
    told: list[OSError] = []

    def run() -> None:
        try:
            write_atomically(path, "new")
        except OSError as error:
            told.append(error)

    def check() -> None:
        assert path.read_text() in ("old", "new")
        assert list(tmp_path.iterdir()) == [path]
        path.write_text("old")

    assert at_every_call(run, check) >= 2
    assert all("3 B needed, " in str(error) for error in told)
    assert {error.errno for error in told} == {errno.ENOSPC}


def test_a_run_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuitrain.config.provenance.collect", lambda *_: {})
    config = resolve(config_from({"run": {"out_dir": str(tmp_path / "runs")}}))
    told: list[str] = []

    def run() -> None:
        try:
            create_run(config)
        except RunFolderError as error:
            told.append(str(error))

    def check() -> None:
        for path in (tmp_path / "runs").glob("*"):
            RunFolder(path).load_config()
            for inside in sorted(path.rglob("*"), reverse=True):
                inside.unlink() if inside.is_file() else inside.rmdir()
            path.rmdir()

    assert at_every_call(run, check) >= 6
    assert all("No space left on device" in text for text in told)


@pytest.mark.parametrize("kind", ["json lines", "event file"])
def test_lines_are_lost_counted_and_written_again(tmp_path: Path, kind: str) -> None:
    place = itertools.count()
    for n in range(20):
        (tmp_path / str(n)).mkdir()

    def run() -> None:
        told: list[str] = []
        recovered: list[str] = []
        folder = tmp_path / str(next(place))
        sink: JsonlSink | TensorBoardSink
        if kind == "json lines":
            sink = JsonlSink(folder / "m.jsonl", told.append, recovered.append)
        else:
            sink = TensorBoardSink(folder / "tb", 0.0, told.append, recovered.append)
        record = {"kind": "system", "steps": 1, "steps_per_s": 2.0, "time_s": 1.0}
        before = [sink.write(record | {"steps": n}) for n in range(4)]
        with pytest.MonkeyPatch.context() as patch:  # room again
            for name in CALLS:
                patch.setattr(os, name, ORIGINAL[name])
            assert sink.write(record | {"steps": 9})
            sink.close()
        lost = before.count(False)
        assert sink.failures == lost
        assert len(told) == bool(told)
        if lost:
            (text,) = recovered
            assert f"{lost:,} " in text
            assert "are missing" in text
            assert "No space left on device (" in told[0]
            assert "free in" in told[0]
        if kind == "json lines":
            wanted = [n for n, written in enumerate(before) if written] + [9]
            assert [line["steps"] for line in read_jsonl(folder / "m.jsonl")] == wanted

    assert at_every_call(run, lambda: None) >= 5


def test_room_is_told_as_a_person_reads_it(tmp_path: Path) -> None:
    full, other = OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken")
    assert disk.why(other, tmp_path, 5) == "broken"
    assert disk.why(full, tmp_path / "gone").startswith("full (")
    assert disk.free_bytes(Path("/proc/self/mem/x")) is None
    assert disk.why(full, tmp_path, 5).startswith("full (5 B needed, ")
    sizes = [disk.size(n) for n in (0, 1023, 1024, 3 * 2**20, 5 * 2**40)]
    assert sizes == ["0 B", "1023 B", "1.0 KiB", "3.0 MiB", "5.0 TiB"]


def test_a_disk_without_room_for_checkpoints_is_warned_of(tmp_path: Path) -> None:
    assert disk_warnings(tmp_path, None, 10**6, 3) == []
    assert disk_warnings(tmp_path, 5 * 10**6, 10**6, 3) == []
    (text,) = disk_warnings(tmp_path, 5 * 2**20 - 1, 2**20, 3)
    assert "need 5.0 MiB while one is written" in text


def test_a_write_without_a_checkpoints_name_is_told_alike(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Fills(patch, 0)
        with pytest.raises(CheckpointError, match="No space left on device"):
            write(tmp_path / "best.pt", {"steps": 1})


def test_a_file_that_may_not_grow_names_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuitrain.disk.file_limit_bytes", lambda: 3 << 20)
    text = why(OSError(errno.EFBIG, "File too large"), tmp_path, 10)
    assert "3.0 MiB at most: run `ulimit -f unlimited`" in text
