"""`tuitrain serve`: what it starts, what it warns of, and what it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.tui.fixtures import write_run
from tuitrain.cli import serve
from tuitrain.cli.main import app
from tuitrain.cli.serve import address, rights, screen_of, unsafe
from tuitrain.tui.web import screen


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
    command = screen_of(folder, tmp_path)
    assert command == [
        sys.executable, "-m", "tuitrain.tui.web.screen", str(folder), "--server", str(os.getpid()),
    ]  # fmt: skip


def test_what_attach_can_be_given_a_screen_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the words of `serve` to the screen of a page."""
    pytest.importorskip("textual_serve", reason="the extra `serve` is not installed")
    folder, other = (write_run(tmp_path / f"{name}-0001") for name in ("run", "other"))
    made: list[Any] = []
    shown: list[Any] = []

    async def nobody_comes(pages: Any, *_: object) -> None:
        made.append(pages._screen())

    monkeypatch.setattr(serve, "_serve", nobody_comes)
    monkeypatch.setattr(screen, "show_run", lambda *a, **k: shown.append((a, k)) or 0)
    monkeypatch.setattr(screen.ctypes, "CDLL", lambda _: SimpleNamespace(prctl=lambda *_: 0))
    for words, options in (
        ([], {"read_only": False, "ascii_only": False, "compare": None}),
        (
            ["--read-only", "--ascii", "--compare", "other"],
            {"read_only": True, "ascii_only": True, "compare": other},
        ),
    ):
        result = CliRunner().invoke(app, ["serve", "run", *words, "--runs-dir", str(tmp_path)])
        assert result.exit_code == 0, result.output
        command = made.pop()
        command[command.index("--server") + 1] = str(os.getppid())
        monkeypatch.setattr(sys, "argv", command[2:])
        assert screen.main() == 0
        assert shown.pop() == ((folder, None), options)
    unknown = ["serve", "run", "--compare", "nothing", "--runs-dir", str(tmp_path)]
    result = CliRunner().invoke(app, unknown)
    assert result.exit_code != 0
    assert "nothing" in result.output
    assert not made, "before it listens"


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
