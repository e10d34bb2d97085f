"""What actor 0 sees, for clients that ask for it: a picture a second, however many ask.

Nobody is asked and nothing is kept while no client wants one.
"""

from __future__ import annotations

import asyncio

from tuitrain.protocol import Request
from tuitrain.supervisor.clients.one_worker import Told
from tuitrain.supervisor.run import Run

PICTURE_S = 0.9
"""So long a picture is new; a little less than between two questions of one client."""


class Sight:
    """The newest picture of each policy that has been asked for."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._taken: dict[str, tuple[float, asyncio.Future[Told]]] = {}

    async def answer(self, request: Request) -> Told:
        """The picture of `args.policy`, of the first policy by default."""
        names = [plan.name for plan in self._run.view.policies]
        policy = str(request.args.get("policy") or (names or [""])[0])
        if policy not in names:
            return False, f"there is no policy {policy!r}; there are {', '.join(names)}", {}
        now, taken = self._run.clock(), self._taken.get(policy)
        if taken is None or now - taken[0] >= PICTURE_S:
            taken = self._taken[policy] = now, asyncio.ensure_future(self._take(policy))
        return await asyncio.shield(taken[1])

    async def _take(self, policy: str) -> Told:
        run = self._run
        workers = (run.crew.workers.get(name) for name in ("a0", "trainer"))
        worker = next((w for w in workers if w is not None and w.process.alive), None)
        if worker is None:
            return False, "a0 is not at work", {}
        outcome = await run.commands.issue(
            "see", {worker.name: worker.process.send}, run.clock(), policy=policy
        )
        result = {} if not outcome.acks else outcome.acks[worker.name].result
        if "pixels" not in result:
            return False, str(result.get("why") or outcome.trouble() or "it shows nothing"), {}
        return True, f"{result['of']} of {policy}, {result['width']} x {result['height']}", result
