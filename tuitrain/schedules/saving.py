"""When workers save what a run goes on from: each when it can, or all at one moment.

In `async` nobody waits for anybody: a learner saves at once, an actor at its next chunk. Where
there are rounds, all save at the boundary between two: the conductor puts the number of the request
on the board in place of opening the next round, the others, who wait for that, save and say so, and
until all have said so nobody moves. What they write is of one moment, and training that goes on
from it goes on as if it had never been interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tuitrain.checkpoint.files import CheckpointError
from tuitrain.workers.link import DEFERRED, Link
from tuitrain.workers.messages import Checkpoint

Write = Callable[[int | None, str | None], dict[str, Any]]
"""Saves for a request (None: at the end of training) of a moment (None: of no moment)."""


class Saves:
    """One worker's saves: asked for by command, made when it can, answered when both have happened.

    Args:
        session: of the run.
        write: writes what this worker holds and returns what is to be acknowledged.
        at_once: answers a command that wants no state, or None if there is nothing to save then.
    """

    def __init__(
        self,
        link: Link,
        session: int,
        write: Write,
        at_once: Callable[[Checkpoint], dict[str, Any]] | None = None,
    ) -> None:
        self._link = link
        self._session = session
        self._write = write
        self._at_once = at_once
        self._asked: int | None = None
        self._hold = False
        self._made: int | None = None
        self._answer: Callable[[int], None] | None = None
        self._ended = False
        link.on("checkpoint", self._on_command)

    @property
    def asked(self) -> int | None:
        """Number of the command that waits to be carried out, if one does."""
        return self._asked

    def make(self, request: int, *, moment: bool) -> None:
        """Save for this request, and answer the command if it has come.

        Args:
            moment: whether everybody does so now, while nothing moves.
        """
        phase = self._link.counters.phases.enter("save")
        try:
            result = self._write(request, f"{self._session}-{request}" if moment else None)
            self._answer = lambda number: self._link.acknowledge(number, result)
        except CheckpointError as error:  # training goes on, and whoever asked is told
            text = f"CheckpointError: {error}"
            self._answer = lambda number: self._link.refuse(number, text)
        finally:
            self._link.counters.phases.enter(phase)
        self._made = request
        if self._asked == request:
            self._tell(request)

    def end(self) -> None:
        """No boundary will come any more."""
        self._ended = True
        if self._asked is not None:
            self._link.refuse(self._asked, _ENDED)
            self._asked = None

    def _on_command(self, command: Checkpoint) -> dict[str, Any]:
        if not command.state:
            return {} if self._at_once is None else self._at_once(command)
        if self._ended:
            raise CheckpointError(_ENDED)
        if self._asked is not None:  # given up by whoever asked: this one is later
            self._link.refuse(self._asked, "another checkpoint was asked for meanwhile")
        self._asked, self._hold = command.command_id, command.hold
        if self._made == command.command_id:
            self._tell(command.command_id)
        return DEFERRED

    def _tell(self, request: int) -> None:
        assert self._answer is not None
        self._asked = None
        self._answer(request)
        if self._hold:
            self._link.hold()


_ENDED = "training has ended, and is saved as it ends"
