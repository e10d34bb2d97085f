"""Folders of doctors: those of the dead go, those of the living stay."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.calling import call
from tuitrain.cli import homes
from tuitrain.cli.homes import home, sweep_homes
from tuitrain.supervisor.house.folder_lock import hold_folder

HOLDS = """
import sys
from tuitrain.cli.homes import home
with home() as folder:
    (folder / "doctor-0001").mkdir()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tmp"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    monkeypatch.setenv("TMPDIR", str(path))
    return path


@contextlib.contextmanager
def holder() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that uses a folder, and that folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_of_a_killed_doctor_the_next_removes_what_is_left_and_of_a_living_one_nothing() -> None:
    with holder() as (killed, left), holder() as (_, used):
        kill(killed)
        assert left.is_dir()
        with home() as mine:
            assert mine.is_dir()
            assert not left.exists()
            assert (used / "doctor-0001").is_dir()
    assert not mine.exists()


def test_clean_removes_it_too_and_says_so_before() -> None:
    with holder() as (killed, left):
        assert call("clean").output == "nothing to clean\n", "it lives"
        kill(killed)
    assert f"would remove folder {left}" in call("clean", "--dry-run").output
    assert left.is_dir()
    assert f"removed folder {left}" in call("clean").output
    assert not left.exists()


def test_a_run_in_it_that_has_not_ended_yet_keeps_it(temporary: Path) -> None:
    run = temporary / "tuitrain-doctor-abc" / "doctor-0001"
    run.mkdir(parents=True)
    held = hold_folder(run, run.name)
    try:
        assert sweep_homes() == []
    finally:
        os.close(held)
    assert sweep_homes() == [run.parent]


def test_nothing_else_is_touched(temporary: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (temporary / "tuitrain-doctor-link").symlink_to(elsewhere)
    (temporary / "tuitrain-doctor-file").touch()
    (temporary / "other").mkdir()
    assert sweep_homes() == []
    assert elsewhere.is_dir()
    assert len(list(temporary.iterdir())) == 3


def test_nobody_knows_where_there_are_no_locks(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / "tuitrain-doctor-abc").mkdir()

    def none(fd: int, operation: int) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(homes.fcntl, "flock", none)
    with home() as mine:
        assert mine.is_dir()
    assert (temporary / "tuitrain-doctor-abc").is_dir()


@pytest.mark.parametrize("opened", [False, True], ids=["before", "after"])
def test_one_that_is_swept_before_it_is_held_is_made_anew(
    opened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """▣ Whether it goes before or after it has been opened."""
    open_, lost = homes._open, []

    def meanwhile(path: Path) -> int:
        if lost:
            return open_(path)
        lost.append(path)
        if not opened:
            path.rmdir()
        fd = open_(path)
        path.rmdir()
        return fd

    monkeypatch.setattr(homes, "_open", meanwhile)
    with home() as mine:
        assert mine.is_dir()
        assert [mine] != lost
