"""Requests that meet each other or the end of a run; of a run without processes."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuitrain.protocol import Reply, Request
from tuitrain.supervisor.checkpoint_clock import RETRY_S, CheckpointClock
from tuitrain.supervisor.clients.commands import Outcome
from tuitrain.supervisor.clients.requests import Requests
from tuitrain.supervisor.ending import End
from tuitrain.supervisor.stopping import _can_save_all

WAIT_S = 30.0


class Crew:
    """Nobody; what is asked of it is done when the test says so."""

    stopping = False

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[str, asyncio.Future[Outcome]]] = asyncio.Queue()

    def alive(self, roles: Any = None) -> list[Any]:
        return []

    def command(self, kind: Any, workers: Any, **how: Any) -> asyncio.Future[Outcome]:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.asked.put_nowait((kind, answer))
        return answer


class Scene:
    """A run that runs, and who answers its clients; each look at the clock takes 2 s."""

    def __init__(self) -> None:
        self.crew = Crew()
        self.events: list[str] = []
        seconds = itertools.count(0, 2)
        self.run: Any = SimpleNamespace(
            view=SimpleNamespace(state="running"),
            crew=self.crew,
            clock=lambda: float(next(seconds)),
            journal=SimpleNamespace(event=lambda text, **_: self.events.append(text)),
            tell=self.events.append,
            place=SimpleNamespace(stands=lambda: False),
            folder=SimpleNamespace(checkpoints=Path("/nonexistent")),
            config=SimpleNamespace(run=SimpleNamespace(schedule="lockstep")),
            state_of=(),
            held=False,
        )
        self.requests = Requests(self.run, Any, Any)

    async def periodic(self) -> asyncio.Future[Outcome]:
        """A save that the clock has asked for, under way."""
        self.requests.periodic_checkpoint(CheckpointClock(1000.0, None, 0.0, 0))
        return (await self.crew.asked.get())[1]

    async def ask(self, **args: Any) -> asyncio.Task[Reply]:
        """A user's request for a checkpoint, begun."""
        request = Request(id=1, command="checkpoint", args=args)
        asked = asyncio.ensure_future(self.requests.handle(request))
        await asyncio.sleep(0)
        return asked


async def _in_time(what: Any) -> Any:
    return await asyncio.wait_for(what, WAIT_S)


@pytest.mark.parametrize("state", ["stopping", "starting"])
async def test_who_has_waited_for_another_save_does_not_displace_the_last_one(state: str) -> None:
    scene = Scene()
    under_way = await scene.periodic()
    asked = await scene.ask()
    scene.run.view.state = state
    under_way.set_result(Outcome("checkpoint", 1.0))
    reply = await _in_time(asked)
    assert (reply.ok, reply.message) == (False, f"the run is {state}")
    assert scene.crew.asked.empty()


async def test_nor_does_who_has_had_a_paused_run_go_on() -> None:
    scene = Scene()
    scene.run.view.state, scene.run.state_of = "paused", ("a0",)
    asked = await scene.ask()
    kind, gone_on = await _in_time(scene.crew.asked.get())
    assert kind == "unpause"
    scene.run.view.state = "stopping"
    gone_on.set_result(Outcome("unpause", 1.0))
    assert (await _in_time(asked)).message == "the run is stopping"
    assert scene.crew.asked.empty()


async def test_a_wait_for_another_save_ends_at_the_asker_s_deadline() -> None:
    scene = Scene()
    await scene.periodic()
    reply = await _in_time(await scene.ask(timeout_s=3.0))
    assert not reply.ok
    assert reply.message == "no checkpoint: another is not done after 3 s"
    assert scene.crew.asked.empty()


async def test_a_wait_for_another_save_ends_when_the_run_is_paused() -> None:
    """Nobody comes to a place to save any more, and a save of a paused run can be had."""
    scene = Scene()
    await scene.periodic()
    asked = await scene.ask()
    scene.run.view.state = "paused"
    kind, answer = await _in_time(scene.crew.asked.get())
    assert kind == "checkpoint"
    answer.set_result(Outcome("checkpoint", 1.0))
    await _in_time(asked)


@pytest.mark.parametrize("held", [True, False])
async def test_a_run_that_is_told_to_go_on_while_it_is_saved_goes_on(held: bool) -> None:
    """It was paused, and goes on for a moment to be saved; who has saved holds."""
    scene = Scene()
    scene.run.view.state, scene.run.state_of, scene.run.held = "paused", ("a0",), True
    asked = await scene.ask()
    for kind in ("unpause", "checkpoint", "pause" if held else "unpause"):
        found, answer = await _in_time(scene.crew.asked.get())
        assert found == kind
        scene.run.held = held
        answer.set_result(Outcome(found, 1.0))
    await _in_time(asked)


async def test_of_two_users_who_save_a_paused_run_the_second_waits_for_the_first() -> None:
    scene = Scene()
    scene.run.view.state = "paused"
    first, second = await scene.ask(), await scene.ask()
    for asked in (first, second):
        kind, answer = await _in_time(scene.crew.asked.get())
        assert kind == "checkpoint"
        assert scene.crew.asked.empty()
        answer.set_result(Outcome("checkpoint", 1.0))
        await _in_time(asked)


async def test_a_periodic_save_does_not_displace_a_user_s_and_is_tried_again_soon() -> None:
    scene = Scene()
    clock = CheckpointClock(1000.0, None, 0.0, 0)
    asked = await scene.ask()
    _, answer = await _in_time(scene.crew.asked.get())
    scene.requests.periodic_checkpoint(clock)
    assert scene.crew.asked.empty()
    assert clock.due(scene.run.clock() + RETRY_S, 0)
    answer.set_result(Outcome("checkpoint", 1.0))
    await _in_time(asked)
    await scene.periodic()  # now there is one


@pytest.mark.parametrize("learner_lives", [True, False])
def test_a_run_that_fails_without_a_failed_worker_says_that_its_replay_is_lost(
    learner_lives: bool,
) -> None:
    told: list[str] = []
    learner, actor = [
        SimpleNamespace(name=name, reported=False, spec=SimpleNamespace(role=role))
        for name, role in (("learner", "learner"), ("a0", "actor"))
    ]
    run: Any = SimpleNamespace(
        failure=None,
        crew=SimpleNamespace(
            alive=lambda: [learner, actor] if learner_lives else [actor],
            workers={"learner": learner, "a0": actor},
        ),
        state_of=("a0",),
        config=SimpleNamespace(run=SimpleNamespace(schedule="async")),
        journal=SimpleNamespace(event=lambda text, level: told.append(text)),
    )
    assert not _can_save_all(run, End("failed", "standstill"))
    assert len(told) == learner_lives
    assert all("the run has failed, so the replay cannot be saved" in text for text in told)
    assert _can_save_all(run, End("stopped", "stopped by its user"))
    assert not _can_save_all(run, End("finished", "all steps are made"))
    assert len(told) == learner_lives


@pytest.mark.parametrize(
    ("left_out", "state"), [("ended", "paused"), ("missing", "running"), ("unreachable", "running")]
)
async def test_a_run_is_paused_once_all_that_live_hold(left_out: str, state: str) -> None:
    scene = Scene()
    task = asyncio.ensure_future(scene.requests.handle(Request(id=0, command="pause")))
    _, answer = await _in_time(scene.crew.asked.get())
    answer.set_result(Outcome("pause", 1.0, **{left_out: ["a1"]}))
    assert (await _in_time(task)).ok == (state == "paused")
    assert scene.run.view.state == state


async def test_a_pause_done_after_its_unpause_does_not_make_the_run_paused() -> None:
    """A worker is slow to hold, and does not go on within the time that the unpause has."""
    scene = Scene()
    answers = {}
    for number, command in enumerate(("pause", "unpause")):
        request = Request(id=number, command=command)
        task = asyncio.ensure_future(scene.requests.handle(request))
        _, answer = await _in_time(scene.crew.asked.get())
        answers[command] = task, answer
    for command in ("unpause", "pause"):
        task, answer = answers[command]
        answer.set_result(Outcome(command, 1.0, missing=["a1"] if command == "unpause" else []))
        await _in_time(task)
    assert scene.run.view.state == "running"
