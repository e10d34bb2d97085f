"""Games by the AEC API, played row by row, and every row compared with what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from tests.envs.aec import Moves, MoveTag
from tuitrain.envs.lanes.aec import AecLanes
from tuitrain.envs.lanes.cycles import CycleStep, empty_cycle

Fault = Callable[[dict[str, CycleStep]], None]
Act = Callable[[Any, Any], Any]

SEEDS = [7, 8, 9]
TEAM = {"a": "team", "c": "team"}


def lanes_of(factory: Callable[[], Any], n_envs: int, policies: Any = "each", **k: Any) -> AecLanes:
    return AecLanes([factory] * n_envs, "x", k.get("n_frames", 1), policies)


class Rows:
    """Every row of every lane, as an actor keeps them: a wait moves what it waits for on."""

    def __init__(self, lanes: AecLanes, act: Act | None = None, wrong: Fault | None = None):
        self.lanes, self.wrong = lanes, wrong
        self.act = act or self.at_random
        first = lanes.reset(SEEDS[: lanes.n_envs])
        assert all(step.absent is not None and step.absent.all() for step in first.values())
        self.rows = {n: [self._row(n)] for n in lanes.spec.policies}
        self.batches: list[list[int]] = []
        self._rng = np.random.default_rng(0)

    def at_random(self, lanes: Any, legal: Any) -> Any:
        if legal is None:
            return self._rng.integers(5, size=len(lanes))
        return np.array([self._rng.choice(np.flatnonzero(legal[lane])) for lane in lanes])

    def _row(self, name: str) -> dict[str, Any]:
        step = empty_cycle(self.lanes.spec.policies[name], self.lanes.n_envs)
        count = len(step.reward)
        row = {"observation": step.observation, "legal": step.legal, "absent": step.absent}
        return row | {"action": np.full(count, -1), "boundary": np.zeros(count, np.bool_)}

    def cycle(self) -> None:
        spec, after, into = self.lanes.spec, {}, {}
        for name, policy in spec.policies.items():
            step = empty_cycle(policy, self.lanes.n_envs)
            for name_of, array in step._asdict().items():
                if array is not None:
                    array.fill(name_of != "legal")  # what a slot of the ring held before
            into[name], after[name] = step, self._row(name)

        def choose(policy: str, lanes: Any) -> Any:
            self.batches.append(lanes.tolist())
            actions = self.act(lanes, into[policy].legal)
            after[policy]["action"][lanes] = actions
            return actions

        self.lanes.cycle(choose, into)
        if self.wrong is not None:
            self.wrong(into)
        for name, step in into.items():
            row, new, waits = self.rows[name][-1], after[name], step.waits
            over = step.terminated | step.truncated
            new |= {"observation": step.observation, "legal": step.legal, "absent": step.absent}
            new["boundary"] = over
            for key in ("observation", "action"):
                new[key][waits] = row[key][waits]
            row |= {"reward": step.reward, "waits": waits}
            row |= {"terminated": step.terminated, "truncated": step.truncated}
            self.rows[name].append(new)

    def play(self, cycles: int) -> Rows:
        for _ in range(cycles):
            self.cycle()
        return self

    def moves(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], int]]:
        """Policy, row, the row after and lane of every transition."""
        for name, rows in self.rows.items():
            for row, after in pairwise(rows):
                idle = row["absent"] | row["boundary"] | row["waits"]
                for lane in np.flatnonzero(~idle).tolist():
                    yield name, row, after, lane


def compare(rows: Rows) -> dict[str, int]:
    """Every transition with what happened; what was wrong, how often."""
    wrong = dict.fromkeys(("view", "action", "paid", "end", "next", "lost", "strange", "ghost"), 0)
    seen: dict[tuple[int, int, str], int] = {}
    for policy, row, after, lane in rows.moves():
        agents = rows.lanes.spec.policies[policy].agents
        agent = agents[lane % len(agents)]
        tag = MoveTag(*map(int, row["observation"][lane]))
        past = Moves.log.get((tag.instance, tag.game, agent))
        if past is None or tag.own >= len(past.actions):
            wrong["strange"] += 1
            continue
        seen[tag.instance, tag.game, agent] = seen.get((tag.instance, tag.game, agent), 0) + 1
        last = tag.own == len(past.actions) - 1
        ends = (past.terminated, past.truncated) if last else (False, False)
        told = MoveTag(*map(int, after["observation"][lane]))
        wrong["view"] += tag != past.views[tag.own]
        wrong["action"] += row["action"][lane] != past.actions[tag.own]
        wrong["paid"] += row["reward"][lane] != past.paid[tag.own]
        wrong["end"] += (row["terminated"][lane], row["truncated"][lane]) != ends
        wrong["next"] += told != past.views[tag.own + 1]
        if row["legal"] is not None:
            wrong["action"] += not row["legal"][lane][row["action"][lane]]
    for row in (row for of in rows.rows.values() for row in of):
        wrong["ghost"] += int(np.count_nonzero(row["observation"][row["absent"]]))
    for (instance, game, agent), past in Moves.log.items():
        if (instance, game + 1, agent) in Moves.log:  # of the last one rows may be to come
            wrong["lost"] += len(past.actions) != seen.get((instance, game, agent), 0)
    return wrong


def played(game: dict[str, Any], policies: Any, cycles: int = 200, **k: Any) -> Rows:
    Moves.log.clear()
    return Rows(lanes_of(lambda: Moves(**game), 3, policies), **k).play(cycles)
