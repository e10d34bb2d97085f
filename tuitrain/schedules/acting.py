"""What an actor process does in both parallel schedules, around their different loops."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from tuitrain.parts import the
from tuitrain.schedules.rounds import Reporter
from tuitrain.schedules.saving import Saves
from tuitrain.schedules.settings import Settings
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.acting.sight import see
from tuitrain.workers.beginning.state_files import restore_actor, save_actor
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.build import checked_lanes, policies_for
from tuitrain.workers.link import Link
from tuitrain.workers.messages import Stop
from tuitrain.workers.stores import Stores


def build_actor(blueprint: Blueprint, stores: Stores, index: int, incarnation: int = 0) -> Actor:
    """Actor `index` with environments and networks of its own; see ``Actor``.

    It goes on from what the run's checkpoint holds of it. Where its environments do not take their
    state back it is another one, which begins new episodes behind a cut (``Actor.begun_anew``).

    Raises:
        CheckpointError: see ``state_files.restore_actor``.
    """
    config, base = blueprint.config, blueprint.base

    def made(of: Blueprint) -> Actor:
        return the(Actor)(
            of,
            stores,
            index,
            lambda: checked_lanes(config, of.spec, config.actors.envs_per_actor),
            policies_for(config, of.spec, config.actors.device, with_noise=True),
            incarnation,
        )

    actor = made(blueprint)
    if why := restore_actor(blueprint, actor):
        # Environments may be left in between, so they are built anew; as the second writer of its
        # shards the new actor marks the cut. Its random streams are this session's: those that the
        # run began with would repeat its past.
        actor.close()
        actor = made(replace(blueprint, base=replace(base, stream=base.session)))
        actor.begun_anew = why
    stores.board.actor_here[index] = 1
    return actor


def tell_begun_anew(link: Link, actors: Sequence[Actor]) -> dict[str, Any]:
    """Tell of those whose environments could not be restored; what to say of it when ready."""
    anew = [actor for actor in actors if actor.begun_anew]
    for actor in anew:
        link.notice(
            f"the environments of a{actor.index} could not be restored, so they begin new episodes "
            f"behind a cut, and the run is not reproducible from its seed any more: "
            f"{actor.begun_anew}",
            level="warning",
        )
    return {"begun_anew": [f"a{actor.index}" for actor in anew]}


class ActorDesk:
    """Reporting, from ready to the last episode, and answering what weights are held.

    Args:
        at_once: see ``Settings``.
    """

    def __init__(self, blueprint: Blueprint, actor: Actor, link: Link, *, at_once: bool) -> None:
        self.settings = Settings(link, blueprint, actor.retune, at_once=at_once)
        self._actor = actor
        self._link = link
        self.reporter = Reporter(
            link, time.monotonic, actors=[actor], reductions=blueprint.config.env.metrics
        )
        self.saves = Saves(link, blueprint.base.session, self._save)
        link.on("stop", self._last_words)
        if actor.index == 0:
            link.on("see", lambda asked: see(actor, asked.policy))

    def start(self) -> None:
        """Report ready."""
        self._link.ready(
            spec_hash=self.settings.blueprint.spec.spec_hash(),
            device=self._actor.device,
            data=tell_begun_anew(self._link, [self._actor]),
        )

    def holdings(self) -> dict[str, Any]:
        """Version and hash of the weights held, per policy."""
        return {
            name: {"version": part.policy.version, "sha256": part.weights_hash()}
            for name, part in self._actor.parts.items()
        }

    def finish(self) -> NoReturn:
        """All rows are written: report what is left, save, and wait for `Stop`."""
        self.reporter.last()
        self.saves.end()
        self._link.finish(**(self._save(None, None) if self.settings.blueprint.saves_state else {}))

    def _save(self, request: int | None, moment: str | None) -> dict[str, Any]:
        of, tick = self.settings.blueprint, self._link.advance
        warn = partial(self._link.notice, level="warning")
        return {"states": [save_actor(of, self._actor, request, moment, tick, warn)]}

    def _last_words(self, _: Stop) -> dict[str, Any]:
        self.reporter.last()
        return {}

    def pull_and_report(self) -> dict[str, Any]:
        """Take the newest weights now and say what is held: a resync in `async`."""
        self._actor.pull()
        return self.holdings()
