"""An answer that takes long is said to be waited for."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tuitrain.cli import client
from tuitrain.cli.errors import Refused


def test_who_waits_is_told_for_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client, "SLOW_S", 0.0)
    said = threading.Event()
    echo = client.typer.echo
    monkeypatch.setattr(client.typer, "echo", lambda *a, **k: (echo(*a, **k), said.set()))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()

        def hang_up_once_it_is_said() -> None:
            other, _ = server.accept()
            said.wait(20.0)
            other.close()

        thread = threading.Thread(target=hang_up_once_it_is_said)
        thread.start()
        with (
            client.BlockingClient(tmp_path / "s", name="maze-0001") as asking,
            pytest.raises(Refused, match="maze-0001"),
        ):
            asking.ask("pause")
        thread.join()
    assert "waiting for maze-0001 to answer `pause` …" in capsys.readouterr().err
