"""What is no file but has a file's name is an error, and nobody waits for it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tuitrain import regular
from tuitrain.checkpoint.choice import aside
from tuitrain.checkpoint.files import CheckpointError, checkpoints, contents
from tuitrain.checkpoint.state import StateFile, save_state, verify
from tuitrain.config.provenance import changed_since_launch
from tuitrain.config.runs import RunFolder, RunFolderError
from tuitrain.config.schema import Config
from tuitrain.metrics.sinks import JsonlSink, last_steps, read_jsonl
from tuitrain.supervisor.crew.spawning import mark_log
from tuitrain.tui.widgets.logs import tail
from tuitrain.workers.child import _open_log


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


KINDS: list[Callable[[Path], None]] = [pipe, endless, folder]


@pytest.fixture(params=KINDS)
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Something that is no file."""
    found = tmp_path / "thing"
    request.param(found)
    return found


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "thing"
    path.write_text("äh")
    assert regular.read(path) == b"\xc3\xa4h"
    assert regular.read_text(path) == "äh"


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "thing"
    path.write_bytes(b"12345")
    assert regular.read(path, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        regular.read(path, 4)


def test_another_thing_is_refused(path: Path) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        regular.read(path)


def test_a_checkpoint_of_it_is_damaged_and_the_one_before_can_be_used(path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a regular file"):
        contents(path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        verify(path, hashlib.sha256().hexdigest())
    with pytest.raises(CheckpointError, match="not a regular file"):
        StateFile(path)


def test_a_file_of_a_run_that_is_one_is_told(path: Path) -> None:
    run = RunFolder(path.parent)
    path.rename(run.runtime_json)
    with pytest.raises(RunFolderError, match="not a regular file"):
        run.read_runtime()
    run.runtime_json.rename(run.config_toml)
    with pytest.raises(RunFolderError, match="not a regular file"):
        run.load_config()


def test_metrics_of_it_are_none(path: Path) -> None:
    assert list(read_jsonl(path)) == []
    assert last_steps(path) is None


def test_nothing_is_known_of_the_code_that_a_run_began_with(path: Path) -> None:
    assert changed_since_launch(path, Config()) == []


def test_no_supervisor_is_started_without_its_log(path: Path) -> None:
    run = RunFolder(path.parent)
    run.logs.mkdir()
    path.rename(run.logs / "supervisor.log")
    with pytest.raises(RunFolderError, match=r"supervisor\.log cannot be opened"):
        run.open_supervisor_log()


def test_logs_of_it_are_left_alone(path: Path) -> None:
    mark_log(path, "again")
    fd, why = _open_log(path)
    os.close(fd)
    assert "what it prints is lost" in why
    with pytest.raises(OSError, match="not a regular file"):
        tail(path)


def test_a_line_without_an_end_is_skipped_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regular, "MOST_BYTES", 20)
    path = tmp_path / "m.jsonl"
    path.write_text("0" * 100 + "\n" + json.dumps({"a": 1}) + "\n")
    assert list(read_jsonl(path)) == [{"a": 1}]


def test_nobody_waits_for_a_reader_of_lines(tmp_path: Path) -> None:
    path, told = tmp_path / "m.jsonl", list[str]()
    os.mkfifo(path)
    sink = JsonlSink(path, told.append)
    assert not sink.write({"a": 1})
    assert len(told) == 1
    assert "not a regular file" in told[0]
    path.unlink()
    assert sink.write({"a": 2})
    assert list(read_jsonl(path)) == [{"a": 2}]
    sink.close()


def test_a_state_is_read_from_a_file_as_ever(tmp_path: Path) -> None:
    state = save_state(tmp_path, "s", "a0", {"x": 3}, {})
    verify(tmp_path / state.file, state.sha256)
    with StateFile(tmp_path / state.file) as file:
        assert file.tree == {"x": 3}


def test_a_folder_that_cannot_be_looked_into_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """▣ Whoever prunes would take all parts for nobody's, and whoever resumes begin anew."""
    for name in ("a.json", ".b.tmp", "c.pt"):
        (tmp_path / name).touch()
    found = regular.listed(tmp_path, "*.json", ".*.tmp")
    assert sorted(path.name for path in found) == [".b.tmp", "a.json"]
    assert regular.listed(tmp_path / "absent", "*") == []
    assert regular.listed(tmp_path / "c.pt", "*") == []

    def fails(_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "listdir", fails)
    for look in (checkpoints, aside):
        with pytest.raises(OSError, match="Too many open files"):
            look(tmp_path)
