"""`tuitrain serve`: what it starts, what it warns of, and what it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.tui.fixtures import write_run
from tuitrain.cli.main import app
from tuitrain.cli.serve import address, rights, screen_of, unsafe


def test_without_its_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "run-0001")
    monkeypatch.delitem(sys.modules, "tuitrain.tui.web.server", raising=False)
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    result = CliRunner().invoke(app, ["serve", "run", "--runs-dir", str(tmp_path)])
    assert result.exit_code != 0
    assert "pip install 'tuitrain[serve]'" in result.output


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    pytest.importorskip("textual_serve", reason="the extra `serve` is not installed")
    import socket

    write_run(tmp_path / "run-0001")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(
            app, ["serve", "run", "--port", str(port), "--runs-dir", str(tmp_path)]
        )
    assert result.exit_code != 0
    assert f"cannot listen on 127.0.0.1, port {port}" in result.output


def test_a_screen_is_started_without_words_of_a_request(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run-0001")
    command = screen_of(folder, tmp_path, read_only=True)
    assert command == [
        sys.executable, "-m", "tuitrain.tui.web.screen", str(folder),
        "--server", str(os.getpid()), "--read-only",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "loud"),
    [("127.0.0.1", False), ("127.9.9.9", False), ("::1", False), ("localhost", False),
     ("0.0.0.0", True), ("::", True), ("192.168.1.2", True), ("box.example", True)],
)  # fmt: skip
def test_other_addresses_than_this_machines_own_are_warned_of(host: str, loud: bool) -> None:
    warning = unsafe(host)
    assert bool(warning) is loud
    assert not loud or ("WARNING" in warning and "ssh -L" in warning)


def test_what_to_open() -> None:
    assert address("127.0.0.1", 8000, "t") == "http://127.0.0.1:8000/t/"
    assert address("::1", 8000, "t") == "http://[::1]:8000/t/"
    assert address("box.example", 80, "t") == "http://box.example:80/t/"
    assert "0.0.0.0" not in address("0.0.0.0", 80, "t")


def test_the_address_is_said_to_give_everything_or_a_look() -> None:
    """A page can kill too, set values and restart workers: nothing less may be said."""
    assert rights(read_only=False).endswith("do all that you can with this run")
    assert rights(read_only=True).endswith("only look at this run")
