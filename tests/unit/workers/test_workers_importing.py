"""A worker imports without looking for garbage, and looks for it from then on."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from tuitrain.workers.child import _imported


def test_nobody_looks_for_garbage_while_a_worker_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "looked_for.py").write_text("import gc\nwhile_imported = gc.isenabled()\n")
    (tmp_path / "never_there.py").write_text("raise LookupError\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = gc.get_freeze_count()
    try:
        assert not _imported("looked_for").while_imported
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        with pytest.raises(LookupError):
            _imported("never_there")
        assert gc.isenabled()
    finally:
        gc.unfreeze()
