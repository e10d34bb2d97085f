"""A blocking client of a run's socket, for commands that ask one thing and print the answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from tuitrain.cli.errors import Refused
from tuitrain.protocol import Command, Reply, Request, decode_to_client, encode

SLOW_S = 2.0
"""So long an answer may take without a word."""


@contextlib.contextmanager
def said_if_slow(words: str) -> Iterator[None]:
    """Print these words on stderr if what is done here takes long."""
    timer = threading.Timer(SLOW_S, lambda: typer.echo(words, err=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class BlockingClient:
    """One connection. Use it as a context manager.

    Args:
        path: the run's socket.
        name: of the run, for what is said of it.
        timeout_s: longest silence to wait through; None waits for as long as it takes, which is
            right for commands whose deadlines the supervisor keeps.

    Raises:
        Refused: nobody answers there.
    """

    def __init__(self, path: Path, timeout_s: float | None = None, name: str = "the run") -> None:
        self._name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(10.0)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise Refused(f"cannot reach the run at {path}: {error.strerror}") from error
        self._socket.settimeout(timeout_s)
        self._file = self._socket.makefile("rb")
        self._id = 0

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, command: Command, **args: Any) -> Reply:
        """Send a request and wait for its reply; where that takes long, say so.

        Raises:
            Refused: the supervisor ended, fell silent before it answered or takes no more clients.
        """
        self._id += 1
        request = encode(Request(id=self._id, command=command, args=args))
        with said_if_slow(f"waiting for {self._name} to answer `{command}` …"):
            return self._answer_to(request, command)

    def _answer_to(self, request: bytes, command: Command) -> Reply:
        try:
            with contextlib.suppress(BrokenPipeError):  # it has hung up, but perhaps said why
                self._socket.sendall(request)
            for line in self._file:
                with contextlib.suppress(ValidationError):
                    said = decode_to_client(line)
                    if isinstance(said, Reply) and said.id == self._id:
                        return said
                    if isinstance(said, Reply) and said.id < 0:
                        raise Refused(said.message)
        except TimeoutError as error:
            raise Refused(
                f"{self._name} did not answer {command} in time: is its supervisor suspended?"
            ) from error
        except OSError as error:
            raise Refused(f"the connection to {self._name} broke: {error}") from error
        raise Refused(f"{self._name} ended before it answered {command}")

    def wait_for_end(self) -> None:
        """Return once the supervisor has closed the connection."""
        with contextlib.suppress(OSError):
            while self._file.read(65_536):
                pass
