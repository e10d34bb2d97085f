"""One run in the supervisor's memory: what its watching, answering, stopping and summing up share.

It has no life of its own; ``supervisor.py`` leads it from start to end. The first reason to end
wins.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tuitrain.config.changes import changes_between, laid_over, store_changes
from tuitrain.config.live import differing, with_values
from tuitrain.config.runs import RunFolder, new_run_id
from tuitrain.config.schema import Config
from tuitrain.protocol import Snapshot
from tuitrain.supervisor.clients.commands import Commands
from tuitrain.supervisor.clients.console import Console
from tuitrain.supervisor.clients.control import ControlServer
from tuitrain.supervisor.crew.crew import Crew
from tuitrain.supervisor.crew.failure import Failure
from tuitrain.supervisor.ending import End
from tuitrain.supervisor.house.held_folder import HeldFolder
from tuitrain.supervisor.house.keeper import Keeper
from tuitrain.supervisor.journal import Journal
from tuitrain.supervisor.snapshot import RunView, SavedCounts, Shards, build_snapshot
from tuitrain.supervisor.unattended import Unattended

if TYPE_CHECKING:
    from tuitrain.supervisor.checking import Checking
    from tuitrain.supervisor.session import Session

MAX_DEATHS = 100


class Run:
    """State of one run, and the few things everybody may do with it.

    Attributes:
        place: the run folder, as this process holds it.
        journal, crew, server, unattended, session, checking: made when the run has claimed its
            house.
        failure: the first worker that failed.
        keeper: looks after guard and house, from when they are there.
        hard: set when workers are to be killed without being asked.
        hurried: whether a person has asked twice for the end.
        held: whether workers shall hold: a pause has been asked for, and to go on has not since.
        over: set once the run has ended and its summary is written.
        reason: why it has ended, by then.
        deaths: of workers that should have worked, the newest `MAX_DEATHS`, oldest first.
    """

    place: HeldFolder
    journal: Journal
    crew: Crew
    server: ControlServer
    unattended: Unattended
    session: Session
    checking: Checking

    def __init__(
        self,
        folder: RunFolder,
        config: Config,
        console: Console | None,
        clock: Callable[[], float],
    ) -> None:
        self.folder = folder
        self.given = config
        """What config.toml says, over which changes in the living run are laid."""
        self.config = laid_over(config, folder)
        self.console = console
        self.clock = clock
        self.run_id = folder.read_run_id() or new_run_id()
        self.started_at = clock()
        self.started_s = time.time()
        self.view = RunView(self.run_id, str(folder.path), self.config, config, os.getpid())
        self.commands = Commands()
        self.failure: Failure | None = None
        self.hard = asyncio.Event()
        self.hurried = False
        self.shards: Callable[[], Shards] = dict
        """What is known of the shards of the replay; nothing before there is memory."""
        self.held = False
        self.over = asyncio.Event()
        self.reason = ""
        self.end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.keeper: Keeper | None = None
        self.deaths: list[dict[str, Any]] = []
        self.state_of: tuple[str, ...] = ()
        """Actors whose state makes a checkpoint complete; none if it holds no state."""
        self._seq = 0

    def store_config(self) -> None:
        """Replace config.toml by what has been settled, without changes in the living run.

        Changes over which its user has given something since are forgotten.
        """
        self.folder.store_config(with_values(self.config, differing(self.config, self.given)))
        if self.folder.changes_json.exists():
            store_changes(self.folder, changes_between(self.given, self.config))

    def request_end(self, end: End) -> None:
        """End the run for this reason, unless it already ends for another."""
        if end.hard:
            self.hard.set()
        if not self.end.done():
            self.end.set_result(end)

    def snapshot(self) -> Snapshot:
        """The run as it is now."""
        self._seq += 1
        now = self.clock()
        snapshot = build_snapshot(
            self.view,
            [worker.view for worker in self.crew.workers.values()],
            seq=self._seq,
            now=now,
            time_s=time.time(),
            elapsed_s=now - self.started_at,
            lost_lines=self.journal.lost_lines,
            shards=self.shards(),
        )
        self.unattended.show(snapshot)
        return snapshot

    def publish_snapshot(self) -> Snapshot:
        """Give every subscriber the newest state, which is returned."""
        snapshot = self.snapshot()
        self.server.publish_snapshot(snapshot)
        return snapshot

    def tell(self, text: str) -> None:
        """Journal an event of the supervisor's own."""
        self.journal.event(text)

    def note_death(self, failure: Failure) -> None:
        """Remember a worker's unexpected end, for the summary."""
        failure.died_s = round(time.time(), 3)
        self.deaths.append(
            {
                "time_s": failure.died_s,
                "worker": failure.worker,
                "role": failure.role,
                "how": failure.how,
                "error_type": failure.error_type,
                "message": failure.message,
                "where": failure.where,
                "ready": failure.ready,
            }
        )
        del self.deaths[:-MAX_DEATHS]

    def note_checkpoint(self, path: str, counts: SavedCounts) -> None:
        """Remember the newest checkpoint."""
        self.view.last_checkpoint, self.view.saved = path, counts
        self.view.last_checkpoint_at = self.clock()
        self.checking.on_checkpoint(path)
        self.unattended.on_checkpoint()

    def saved(self) -> dict[str, Any]:
        """What the event of the newest checkpoint says of it, for whoever finds the run killed."""
        return {"checkpoint": self.view.last_checkpoint, "saved_steps": self.view.saved.steps}
