"""Pictures for clients: one a second, however many ask."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tuitrain.protocol import Request
from tuitrain.supervisor.clients.commands import Commands
from tuitrain.supervisor.clients.sight import Sight
from tuitrain.workers.messages import Ack

SHOWN = {"width": 1, "height": 1, "pixels": "x", "of": "observation"}


class Crew:
    """One worker that answers what it is told to, and a run around it."""

    def __init__(self, name: str = "a0", **result: Any) -> None:
        self.asked: list[str] = []
        self.now = 0.0
        self.ok, self.result = True, result or SHOWN
        self.commands = Commands()
        self.clock = lambda: self.now
        self.name = name
        process = SimpleNamespace(alive=True, send=self._send)
        self.crew = SimpleNamespace(workers={name: SimpleNamespace(name=name, process=process)})
        policies = [SimpleNamespace(name="left"), SimpleNamespace(name="right")]
        self.view = SimpleNamespace(policies=policies)

    def _send(self, message: Any) -> bool:
        self.asked.append(message.policy)
        ack = Ack(command_id=message.command_id, ok=self.ok, result=self.result)
        asyncio.get_running_loop().call_soon(self.commands.on_ack, self.name, ack)
        return True


def ask(policy: str = "") -> Request:
    return Request(id=1, command="see", args={"policy": policy} if policy else {})


@pytest.mark.parametrize("name", ["a0", "trainer"])
async def test_many_who_ask_share_a_picture(name: str) -> None:
    run: Any = Crew(name)
    sight = Sight(run)
    answers = await asyncio.gather(*(sight.answer(ask()) for _ in range(10)))
    assert run.asked == ["left"]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0] == (True, "observation of left, 1 x 1", SHOWN)
    run.now = 0.5
    await sight.answer(ask("left"))
    assert run.asked == ["left"]
    await sight.answer(ask("right"))
    run.now = 1.0
    await sight.answer(ask())
    assert run.asked == ["left", "right", "left"]


async def test_who_gives_up_takes_nobodys_picture_away() -> None:
    run: Any = Crew()
    sight = Sight(run)
    first = asyncio.ensure_future(sight.answer(ask()))
    second = asyncio.ensure_future(sight.answer(ask()))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second)[0]


async def test_why_there_is_none() -> None:
    run: Any = Crew(why="observations of shape [4] are no picture")
    assert (await Sight(run).answer(ask()))[:2] == (
        False,
        "observations of shape [4] are no picture",
    )
    assert "no policy 'x'; there are left, right" in (await Sight(run).answer(ask("x")))[1]
    broken: Any = Crew(error="KeyError: 'left'")
    broken.ok = False
    assert "KeyError" in (await Sight(broken).answer(ask()))[1]
    gone: Any = Crew()
    gone.crew.workers["a0"].process.alive = False
    assert (await Sight(gone).answer(ask()))[:2] == (False, "a0 is not at work")
    old: Any = Crew(something="else")
    assert not (await Sight(old).answer(ask()))[0]
