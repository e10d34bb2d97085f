"""A place for whole comparisons, which must leave nothing behind either; and quick run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import place, pytest_runtest_makereport
from tuitrain.config import provenance
from tuitrain.config.provenance import collect
from tuitrain.config.schema import Config
from tuitrain.experiments.store import Store

__all__ = ["place", "provenance_once", "pytest_runtest_makereport", "quick_provenance", "store"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """What keeps the results of a comparison, without any yet."""
    return Store(tmp_path / "c")


@pytest.fixture(scope="session")
def provenance_once() -> dict[str, Any]:
    """What a run of the default config is made with."""
    return collect(Config())


@pytest.fixture(autouse=True)
def quick_provenance(monkeypatch: pytest.MonkeyPatch, provenance_once: dict[str, Any]) -> None:
    """Folders made in this process don't ask git and hash every file again, each of them."""
    monkeypatch.setattr(provenance, "collect", lambda config, command=None: provenance_once)
