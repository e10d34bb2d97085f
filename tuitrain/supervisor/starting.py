"""Bringing the crew of a run up: probe, plan, reserve memory, start everybody.

Done once at the start of a run and again whenever all of it goes back to a checkpoint. What has
been brought up before must be dead by then.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuitrain import parts
from tuitrain.checkpoint.choice import NoSuchCheckpoint, set_aside
from tuitrain.config.problems import ConfigError
from tuitrain.config.provenance import changed_since_launch
from tuitrain.disk import free_bytes
from tuitrain.replay import segment
from tuitrain.supervisor.crew.judge import nowhere
from tuitrain.supervisor.crew.memory import MemoryTooSmall
from tuitrain.supervisor.crew.spawning import Kit
from tuitrain.supervisor.house.house import House
from tuitrain.supervisor.house.open_files import TooFewFiles, allow_files, files_needed
from tuitrain.supervisor.house.runtime import HouseError
from tuitrain.supervisor.house.surroundings import disk_warnings, shm_warnings
from tuitrain.supervisor.live import reproducible
from tuitrain.supervisor.plan import Held, Plan
from tuitrain.supervisor.ready import ReadyPipe
from tuitrain.supervisor.run import Run

_NOT_ALL = (
    "the checkpoint does not hold the whole state of training, or sources have been edited since "
    "the launch, so the run goes on otherwise than it would have: it is not reproducible from its "
    "seed any more"
)

_DOUBLE = (
    "this run is not what its config says: {variable} puts test doubles in place, {double}. Unset "
    "it to train"
)


class WrongEnvironment(RuntimeError):
    """Some worker has built another environment than the probe did."""


EXPLAINED = (
    ConfigError,
    HouseError,
    WrongEnvironment,
    segment.SegmentError,
    MemoryTooSmall,
    TooFewFiles,
)
"""What makes a start fail and says all itself: no traceback is shown of it."""


class Starting:
    """The start of one run, which can be made again.

    Attributes:
        held: the shared memory that has been reserved, as long as it is.
        imported: hashes of the user's files that only the probe could find, by path.
    """

    def __init__(self, run: Run, plan: Plan, house: House, ready: ReadyPipe) -> None:
        self.held: Held | None = None
        self.imported: dict[str, str] = {}
        self._run = run
        self._plan = plan
        self._house = house
        self._ready = ready

    def changed_since_launch(self) -> list[str]:
        """What this session uses otherwise than the launch did, in words."""
        return [
            f"since the run was launched, {line}; this session uses what is there now"
            for line in changed_since_launch(self._run.folder.provenance_json, self._run.config)
        ]

    async def bring_up(self) -> None:
        """Start everybody and wait until all are ready.

        Raises:
            WrongEnvironment: see there.
            Exception: whatever the plan's steps raise. If a worker fails, nothing is raised; the
                crew tells, and this waits until it is cancelled.
        """
        run, plan = self._run, self._plan
        if double := parts.wanted():
            self.warn([_DOUBLE.format(variable=parts.VARIABLE, double=double)])
        target = plan.child_main()
        self._allow_files(workers=1)
        report = await self._probe(Kit(target, run.config, None, run.folder.path))
        self.warn(f"a checkpoint was not used: {why}" for why in report.get("skipped", ()))
        blueprint = plan.build(
            run_id=run.run_id,
            run_dir=run.folder.path,
            lock_path=self._house.lock_path,
            config=run.config,
            report=report,
        )
        self.imported = plan.imported(blueprint)
        view = run.view
        run.config = view.config = run.crew.config = plan.resolved(blueprint)
        view.spec_hash = plan.spec_hash(blueprint)
        view.policies = plan.policies(blueprint)
        view.base_steps = plan.base_steps(blueprint)
        if run.config.run.schedule != "async":
            before, view.reproducible = view.reproducible, reproducible(run, plan, blueprint)
            if before and not view.reproducible:
                self.warn([_NOT_ALL])
        run.session.number = plan.session(blueprint)
        run.state_of = plan.state_of(blueprint)
        run.session.start = plan.start_of(blueprint)
        if run.session.start is not None and (against := self.put_aside(run.session.start)):
            self.warn([against])
        specs = plan.roles(run.config)
        self._allow_files(workers=len(specs))
        self._ready.progress("reserving shared memory")
        if run.keeper is not None:
            await run.keeper.settle()  # the lock file is made in the house
        plan.unlink(run.run_id)  # of a session whose end itself failed: the run folder is ours
        self.held = plan.create_stores(blueprint)
        run.crew.judged_by.where = self.held.stay
        run.shards = self.held.shards
        self.warn(shm_warnings(segment.total_bytes(), segment.free_bytes()))
        folder, kept = run.folder.path, run.config.run.keep_checkpoints
        one = plan.checkpoint_bytes(blueprint)
        self.warn(disk_warnings(folder, free_bytes(folder), one, kept))
        self._ready.progress("starting workers")
        handles = self.held.handles()
        kit = Kit(target, run.config, blueprint, run.folder.path, handles)
        await run.crew.spawn(specs, kit)
        # only they know whether all environments have taken their state back
        view.reproducible = reproducible(run, plan, run.crew.blueprint)
        self.check_specs()

    def let_go(self) -> None:
        """Close the shared memory; what is known of shards stays what it was."""
        run = self._run
        run.crew.judged_by.where = nowhere
        if self.held is not None:
            last = run.shards()
            run.shards = lambda: last
            self.held.close()
            self.held = None

    def tear_down(self) -> None:
        """Give back what ``bring_up`` has reserved, so that it can be called again."""
        self.let_go()
        probe = self._plan.probe()
        if probe is not None and probe.name in self._run.crew.workers:
            self._run.crew.dismiss(probe.name)  # it died before it had reported
        self._plan.unlink(self._run.run_id)
        self._house.lock_path.unlink(missing_ok=True)

    def check_specs(self) -> None:
        """Refuse a worker whose environment is not the one that was probed.

        Raises:
            WrongEnvironment: see there.
        """
        wanted = self._run.view.spec_hash
        told = {w.name: w.view.spec_hash for w in self._run.crew.workers.values()}
        other = sorted(n for n, value in told.items() if value is not None and value != wanted)
        if wanted is not None and other:
            raise WrongEnvironment(
                f"{', '.join(other)} built another environment than the probe did (spec hash "
                "differs): environment code must build the same spaces in every process"
            )

    async def _probe(self, kit: Kit) -> dict[str, Any]:
        """What the probe reports; nothing where the plan has none."""
        spec, crew = self._plan.probe(), self._run.crew
        if spec is None:
            return {}
        self._ready.progress("probing environment and network")
        await crew.spawn([spec], kit)
        worker = crew.workers[spec.name]
        await worker.process.ended.wait()
        crew.dismiss(spec.name)
        return worker.finished or {}

    def put_aside(self, start: str, *, best: bool = False) -> str:
        """Move what was passed over for `start`, until the session settles it.

        It is not to be the newest by name: it would be kept for a good one, and be gone on from
        should it be readable again.

        Args:
            best: the best weights as well, if the probe finds them newer.

        Returns:
            Why the newest is another all the same; empty if all went well.
        """
        folder, view = self._run.folder.checkpoints, self._run.view
        try:
            moved = set_aside(folder, Path(start), best=best)
        except NoSuchCheckpoint as error:
            return str(error)
        except OSError as error:
            return f"checkpoints newer than {start} cannot be put aside: {error}"
        if str(view.last_checkpoint) in map(str, moved):
            view.last_checkpoint = start
        return ""

    def _allow_files(self, workers: int) -> None:
        policies = max(1, len(self._run.view.policies))  # unknown before the probe has told
        if raised := allow_files(files_needed(workers, policies)):
            self._run.tell(raised)

    def warn(self, texts: Iterable[str]) -> None:
        """Tell of what threatens the run, also whoever has started it and waits."""
        for text in texts:
            self._run.journal.event(text, level="warning")
            self._ready.warning(text)
