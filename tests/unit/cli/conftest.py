"""A private runtime directory for every test here; a folder to work in, and a run that is up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_plan import fake_config, fake_folder
from tests.unit.supervisor.conftest import runtime_dir
from tests.unit.supervisor.running import Started

__all__ = ["runtime_dir"]

WORK = {"do": "work"}


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fake supervisor finds the tests by PYTHONPATH, whatever the working folder.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def live(tmp_path: Path, in_tmp: None) -> Iterator[Started]:
    run = Started(fake_folder(tmp_path / "runs", fake_config({"learner": WORK, "a0": WORK})))
    assert run.up
    yield run
    if run.process.poll() is None:
        run.process.terminate()
    run.process.communicate(timeout=60)
