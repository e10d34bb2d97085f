"""One session of a run, and what it takes over from the one before once it is up.

Until then the run is what the session before has left: nothing measured is void yet, and what the
new workers measure meanwhile is kept back, since they may be told to begin one by one. A session
that does not come up leaves the folder as it found it, config, checkpoints and summary; how it went
is an event and the exit code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from tuitrain.checkpoint.choice import end_return, keep_aside, put_back
from tuitrain.checkpoint.files import BEST, checkpoints
from tuitrain.metrics.rewind import newest_steps
from tuitrain.protocol import BestView, EventLine
from tuitrain.supervisor.run import Run


class Session:
    """From the start of a supervisor until its run is up.

    Args:
        run: whose view must follow when training goes back.
        deliver: takes a record of a run that is up.

    Attributes:
        number: of this session, as soon as it is known; 0 is the first.
        began_at: environment steps done before it, once it is up.
        start: path of the checkpoint that it goes on from, once it is known.
    """

    def __init__(self, run: Run, deliver: Callable[[dict[str, Any]], None]) -> None:
        self.number = self.began_at = 0
        self.start: str | None = None
        self._run = run
        self._deliver = deliver
        self._early: list[dict[str, Any]] | None = []
        self._was_up = False
        self._resumed = bool(checkpoints(run.folder.checkpoints))
        run.journal.on_event.append(self._on_event)
        run.journal.on_rewind += [run.view.on_rewind, run.unattended.on_rewind]

    def on_record(self, record: dict[str, Any]) -> None:
        """A worker has measured something."""
        if self._early is None:
            self._deliver(record)
        else:
            self._early.append(record)

    def down(self) -> None:
        """All workers are started anew: what they measure is kept back again."""
        self._early = []

    def tell_where_from(self) -> None:
        """Say where a resumed run goes on, how the session before ended, and what is made again."""
        if not self._resumed:
            return
        run, base = self._run, self._run.view.base_steps
        killed = not run.folder.summary_json.exists()
        reached = newest_steps(run.journal.history.all())
        text = "the session before was killed, with its supervisor; " if killed else ""
        text += f"resumes at {base:,} environment steps"
        if reached > base:
            text += f": {reached - base:,} steps that came after this checkpoint are made again"
        data = {"mark": "resume", "start": self.start}
        run.journal.event(text, level="warning" if killed else "info", data=data)

    def up(self, why: str = "resumed") -> None:
        """The run is up: what is recorded beyond its start is void, what it has made counts.

        A second call does nothing.

        Args:
            why: for whoever reads metrics.jsonl.
        """
        if self._early is None:
            return
        run, view = self._run, self._run.view
        if not self._was_up:
            self._was_up, self.began_at = True, view.base_steps
            self._leave_behind()
        self.settle_aside()
        updates = {policy.name: policy.base_updates for policy in view.policies}
        run.journal.rewind(view.base_steps, updates, why, self.number)
        early, self._early = self._early, None
        for record in early:
            self._deliver(record)

    def _leave_behind(self) -> None:
        """What the session before has left does not hold any more."""
        folder = self._run.folder
        try:
            folder.summary_json.unlink(missing_ok=True)
            folder.keep_config()
        except OSError as error:
            self._run.journal.event(
                f"{error.filename}, of the session before, cannot be removed: {error.strerror}; "
                "the next resume may take it for this one's",
                level="warning",
            )

    def settle_aside(self) -> None:
        """Checkpoints that it does not go on from are out of its way for good."""
        with contextlib.suppress(OSError):  # looked for at a resume alone, which says so
            end_return(self._run.folder.checkpoints)
        if (aside := keep_aside(self._run.folder.checkpoints)) is not None:
            newer = [path.name for path in checkpoints(aside)]
            what = "newer ones are" if newer else "what came after it is"
            names = ", ".join([*newer, *[BEST][: (aside / BEST).exists()]])
            self._run.tell(f"went back to an earlier checkpoint; {what} kept in {aside}: {names}")

    def _on_event(self, line: EventLine) -> None:
        """An evaluator has told which weights are the best."""
        with contextlib.suppress(ValueError):
            if "best" in line.data:
                self._run.view.best = BestView.model_validate(line.data["best"])

    @property
    def may_sum_up(self) -> bool:
        """Whether summary.json is this session's to write: not if an earlier one's still holds."""
        earlier = self._resumed and self._run.folder.summary_json.exists()
        return self._was_up or not earlier

    def close(self) -> None:
        """The run is over. If it has not come up (again), its folder is what it was before."""
        run = self._run
        back = put_back(run.folder.checkpoints)
        if back:
            names = ", ".join(path.name for path in back)
            run.tell(f"not started: newer checkpoints are back: {names}")
            if run.view.last_checkpoint is not None:  # it is the one that was to be gone on from
                run.view.last_checkpoint = str(back[-1])
        if run.folder.restore_config():
            run.tell("not started with its changed config.toml: the one before is back")
