"""Training in this process, saved, dropped and gone on with: what resuming is proven on.

All roles of `sequential` over real shared memory, with every record made at once, so that the whole
of what a run measures can be compared.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tuitrain.checkpoint.joining import join
from tuitrain.checkpoint.parts import Part, State
from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config
from tuitrain.metrics.counters import Counters
from tuitrain.schedules import rounds
from tuitrain.schedules.rounds import Reporter
from tuitrain.schedules.sequential import Trainer
from tuitrain.workers import stores
from tuitrain.workers.asides.probe import probe
from tuitrain.workers.blueprint import Blueprint

CLOCKS = {"time_s", "wall_s", "duration_s"}
SINCE_IT_BEGAN = {
    *("action_effect_p", "action_effect_rows", "action_effect_rows_wanted"),
    *("reset_difference_p", "begins_differ", "resets_kept_share"),
    "changes_within",
    *("audited", "stack_disagreements", "cross_episode_samples", "checksum_failures"),
    "audit_share",
}
"""What a process tells of all that it has seen itself, which who goes on has not."""

_ids = itertools.count(1)


class KeptLink:
    """What a work loop needs of a link; records stay here."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.records: list[dict[str, Any]] = []
        self.before_beat: Callable[[], None] = lambda: None

    def record(self, record: dict[str, Any]) -> None:
        """Keep it, without clocks."""
        self.records.append({k: v for k, v in record.items() if k not in CLOCKS | SINCE_IT_BEGAN})

    def notice(self, text: str, level: str = "info", **data: Any) -> None:
        """Nobody reads it."""

    def advance(self) -> None:
        """Nobody asks for anything."""

    def wait(self, ready: Callable[[], bool], reason: str) -> None:
        """There is nobody to wait for."""
        assert ready(), reason


@dataclass
class Left:
    """What a stretch of training has left behind."""

    fingerprint: dict[str, Any]
    counts: Any
    records: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Session:
    """One trainer with its memory."""

    blueprint: Blueprint
    trainer: Trainer
    link: KeptLink
    reporter: Reporter

    def go(self, n_rounds: int) -> None:
        """So many rounds; each is recorded."""
        link: Any = self.link
        for _ in range(n_rounds):
            assert self.trainer.round(link)
            self.reporter.episodes(self.trainer.stores.limiter.totals().steps)
            self.reporter.updates()

    def save(self, request: int = 1) -> Path:
        """A checkpoint with state, at this boundary."""
        link: Any = self.link
        base = self.blueprint.base
        saved = self.trainer.save(request, f"{base.session}-{request}", link)
        folder = Path(self.blueprint.run_dir) / "checkpoints"
        states = [State.read(fields) for fields in saved["states"]]
        parts = [Part.read(saved["part"])]
        return join(folder, parts, self.blueprint.policies, keep=3, states=states)

    def left(self) -> Left:
        """What there is now."""
        fingerprint = {
            name: found | {"target": part.dqn.state_dict()["digest"]}
            for (name, found), part in zip(
                self.trainer.learner.fingerprint().items(),
                self.trainer.learner.policies.values(),
                strict=True,
            )
        }
        return Left(fingerprint, self.trainer.stores.limiter.totals(), self.link.records)


@contextmanager
def session(config: Config, folder: Path) -> Iterator[Session]:
    """Start in a run folder, where its newest checkpoint says, if there is one."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    config = resolve(config, cores=2)
    run_id = f"resume-{os.getpid():x}-{next(_ids)}"
    report = probe(config, folder)
    blueprint = Blueprint.from_probe(
        run_id=run_id,
        run_dir=str(folder),
        lock_path=str(folder / f"lock-{run_id}"),
        config=config,
        report=report,
    )
    shared = stores.create(blueprint)
    trainer = None
    try:
        trainer = Trainer(blueprint, shared)
        link: Any = KeptLink()
        reporter = Reporter(
            link,
            iter(range(10**9)).__next__,
            actors=trainer.actors,
            learner=trainer.learner,
            reductions=config.env.metrics,
        )
        trainer.learner.publish(blueprint.base.steps)
        yield Session(blueprint, trainer, link, reporter)
    finally:
        if trainer is not None:
            trainer.close()
            del trainer
        shared.close()
        stores.unlink_all(run_id)


@pytest.fixture
def every_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are made every round, not every second."""
    monkeypatch.setattr(rounds, "RECORD_EVERY_S", 0.0)
