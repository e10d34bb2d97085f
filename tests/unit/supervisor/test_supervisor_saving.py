"""What becomes of learners' answers about a checkpoint if the disk fails around it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuitrain.checkpoint.payload import load, save_part
from tuitrain.supervisor.saving import CheckpointError, checkpoint_of


class Notes:
    """A run as far as a checkpoint concerns it, with what it has been told."""

    def __init__(self, folder: Path) -> None:
        self.folder = SimpleNamespace(checkpoints=folder)
        self.view = SimpleNamespace(policies=[SimpleNamespace(name="p")])
        self.config = SimpleNamespace(run=SimpleNamespace(keep_checkpoints=1))
        self.state_of: tuple[str, ...] = ()
        self.warnings: list[str] = []
        self.journal = SimpleNamespace(event=lambda text, level: self.warnings.append(text))
        self.noted: list[str] = []

    def note_checkpoint(self, path: str, _: object) -> None:
        self.noted.append(path)


def answer(folder: Path, updates: int) -> dict[str, Any]:
    payload = {"run_id": "r", "steps": 1, "updates": {"p": updates}, "policies": {"p": {}}}
    return {"part": save_part(folder, payload, f"{updates:04d}", ["p"], updates).to_dict()}


def fails(*_: Any, **__: Any) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


def test_an_old_checkpoint_that_stays_is_told_and_the_new_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Any = Notes(tmp_path)
    assert checkpoint_of(run, [answer(tmp_path, 1)])
    made = answer(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fails)
        path = checkpoint_of(run, [made])
    assert path is not None
    assert load(Path(path))["updates"] == {"p": 2}
    assert run.noted[-1] == path
    (text,) = run.warnings
    assert "could not be removed" in text
    assert "Read-only file system" in text


def test_what_a_learner_could_not_remove_is_told(tmp_path: Path) -> None:
    run: Any = Notes(tmp_path)
    told = {"path": "ckpt-1.pt", "warnings": ["old checkpoints could not be removed"]}
    assert checkpoint_of(run, [told]) == "ckpt-1.pt"
    assert run.warnings == ["old checkpoints could not be removed"]


def test_parts_that_can_neither_be_joined_nor_removed_cost_this_checkpoint_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Any = Notes(tmp_path)
    made = answer(tmp_path, 1)
    monkeypatch.setattr(os, "replace", fails)
    monkeypatch.setattr(os, "unlink", fails)
    with pytest.raises(CheckpointError, match="Read-only file system"):
        checkpoint_of(run, [made])
    assert not run.noted
