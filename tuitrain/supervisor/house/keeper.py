"""Looks after what stands around a run and can be lost without the run noticing.

Its house (socket and runtime folder) vanishes at a logout: then the run gets another one, listens
there, and says so. Its guard may be killed: then there is another one. Its run folder may be moved
or removed: then nothing more can be saved, which is said, until it is back.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from typing import TYPE_CHECKING

from tuitrain.supervisor.house.guard import Guard
from tuitrain.supervisor.house.house import House
from tuitrain.supervisor.house.marks import supervisor_mark
from tuitrain.supervisor.house.runtime import (
    LOCK_AGAIN_S,
    LOCK_WITHIN_S,
    HouseError,
    RootLocked,
)

if TYPE_CHECKING:
    from tuitrain.supervisor.run import Run


class Keeper:
    """Of one run, from its start until `close`.

    Raises:
        OSError: the guard could not be started.
    """

    def __init__(self, run: Run, house: House) -> None:
        self._run = run
        self._house = house
        self._guard = Guard(supervisor_mark(run.run_id))
        self._moving: asyncio.Task[None] | None = None
        self._trouble = self._lost = ""
        self._unnamed = False  # runtime.json does not say where the run listens

    def look(self) -> None:
        """Every few seconds: put in order what is not."""
        self._look_at_folder()
        if self._moving is not None and not self._moving.done():
            return
        if not self._house.stands():
            self._moving = asyncio.ensure_future(self._move())
        elif self._unnamed:
            self._name_socket()
        try:
            if self._guard.ensure():
                self._run.journal.event(
                    "the run's guard was killed and started again; it ends what is left if this "
                    "supervisor is killed",
                    level="warning",
                )
        except OSError as error:
            self._tell_once(f"no guard can be started: {error}")

    def _look_at_folder(self) -> None:
        run, lost = self._run, self._run.place.lost()
        if lost == self._lost:
            return
        self._lost = lost
        now = run.place.now()
        if not lost:
            run.tell(
                f"the run folder is back at {run.place.path}: checkpoints can be written again"
            )
        elif now is None:
            run.journal.event(
                f"{lost}: training goes on, but nothing of it can be kept any more; "
                f"`tuitrain stop {run.run_id}` ends it",
                level="error",
            )
        else:
            run.journal.event(
                f"{lost}: training goes on and is measured there, but no checkpoint can be written "
                f"until it is moved back (`mv {shlex.quote(str(now))} "
                f"{shlex.quote(str(run.place.path))}`)",
                level="error",
            )

    async def settle(self) -> None:
        """Have a house before something is put into it, as far as one can be had."""
        if self._moving is not None:
            await asyncio.wait({self._moving})
        if not self._house.stands():
            await self._move()

    async def _move(self) -> None:
        run, house = self._run, self._house
        lost = house.path
        try:
            await self._claim_again()
            await run.server.start(house.socket_path)
        except (HouseError, OSError) as error:
            self._tell_once(
                f"the runtime folder {lost} is gone and there is no other: {error}; training goes "
                "on, but no command reaches it until there is one"
            )
            return
        self._trouble = ""
        run.journal.event(
            f"the runtime folder {lost} was removed (a logout does that) or changed: the run "
            f"listens on {house.socket_path} now; training has not been touched",
            level="warning",
        )
        self._unnamed = True
        self._name_socket()

    async def _claim_again(self) -> None:
        for _ in range(round(LOCK_WITHIN_S / LOCK_AGAIN_S)):
            try:
                self._house.claim_again()
            except RootLocked:
                await asyncio.sleep(LOCK_AGAIN_S)
            else:
                return
        self._house.claim_again()

    def _name_socket(self) -> None:
        """Have the run folder say where the run listens, at once or as soon as it can."""
        run, path = self._run, str(self._house.socket_path)
        if not run.place.stands():  # what has its name now may be another run's
            return
        try:
            run.folder.write_runtime(run_id=run.run_id, pid=os.getpid(), socket_path=path)
        except OSError as error:
            what = f"{run.folder.runtime_json} names another socket than {path}"
            self._tell_once(f"{what}: {os.strerror(error.errno or 0)}; it is tried again")
        else:
            self._unnamed = False

    def _tell_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._run.journal.event(trouble, level="warning")

    async def close(self) -> None:
        """The run has ended. May be called twice."""
        if self._moving is not None:
            await asyncio.wait({self._moving})

    def end_guard(self, *, clean: bool) -> None:
        """Last of all, when the house is released.

        Args:
            clean: nothing is left; else the guard removes it.
        """
        if clean:
            self._guard.dismiss()
        else:
            self._guard.take_over()
