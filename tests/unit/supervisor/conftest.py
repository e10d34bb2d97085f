"""A private runtime directory, and signals and environment as they were, for every test here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuitrain.supervisor.house import runtime


@pytest.fixture(autouse=True)
def runtime_dir(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "tuitrain"  # not made yet
    path = tmp_path_factory.mktemp("rt")
    environment = dict(os.environ)
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    os.environ["XDG_RUNTIME_DIR"] = str(path)
    # one of its own: a test that undoes its patches would see the user's runs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "_places", lambda: (elsewhere,))
        yield path
    os.environ.clear()
    os.environ.update(environment)
    for number, handler in handlers.items():
        signal.signal(number, handler)
