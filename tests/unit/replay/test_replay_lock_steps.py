"""Real processes, step by step: the kernel and the threads answer as the model says they do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.replay.lock_model import Model, Move, State
from tests.unit.replay.lock_processes import SHORT_S, Channel, Start, Worker, Workers, where
from tests.unit.replay.test_replay_lock_model import FREES_DATA_ONLY, NO_GATE, altered, model
from tuitrain.replay.lock import LockFile
from tuitrain.replay.turnstile import BLAME, WRITE, Place


class Stage:
    """Real processes that are led through the states of a model; fails where they differ."""

    def __init__(self, of: Model, workers: Workers, path: Path) -> None:
        self.model = of
        self.state = of.start()
        self.moves_made = 0
        self._workers = workers
        self._path = path
        self._ends: dict[int, set[str]] = {}  # what an agent may say when it is outside again
        self._refused: dict[int, Place] = {}  # agents that know that they must wait, and where
        self._workers_of = [self._start(process) for process in of.processes]

    def make(self, move: Move) -> None:
        """Make a move happen, and see that what happens is what the model says."""
        self.moves_made += 1
        if move.event == "dies":
            self._workers_of[move.who].close()
            self._workers_of[move.who] = self._start(move.who)
            for agent, (process, *_) in enumerate(self.model.agents):
                if process == move.who:
                    self._refused.pop(agent, None)
        else:
            self._step(move)
        self.state = move.after

    def _step(self, move: Move) -> None:
        agent, place = move.who, self.state.places[move.who]
        table = self.model.agents[agent].table
        channel = self._channel(agent)
        if place is Place.OUTSIDE:
            self._ends[agent] = {"outside"}
            command = "enter write" if self.model.agents[agent].writes else "enter read"
        elif place is Place.INSIDE:
            command = "leave"
        elif move.event == "goes":
            command = "go"
        elif move.event == "broken":
            self._ends[agent] = {"outside broken"}
            command = "before" if move.after.held == self.state.held else "after"
        else:
            assert move.event == "overdue"
            if self._refused.get(agent) is not place:  # the deadline begins when it is refused
                self.refuse(agent)
            self._ends[agent] = {f"outside timeout {pid}" for pid in self._blamed(agent)}
            command = "late"
        self._refused.pop(agent, None)
        following = move.after.places[agent]
        ends = self._ends[agent] if following is Place.OUTSIDE else {where(table, following)}
        assert channel.do(command) in ends

    def _blamed(self, agent: int) -> list[int | None]:
        """The pids one of which is told, None if nobody is in the way any more."""
        process = self.model.agents[agent].process
        if self.state.places[agent] is Place.AT_THREAD:
            owner = self.state.threads[process]
            if self._refused.get(owner) is not self.state.places[owner]:
                return [self._workers_of[process].pid]  # that thread has not begun to wait
        blamed = self.model.blamed(self.state, agent)
        return [self._workers_of[process].pid for process in blamed] or [None]

    def refuse(self, agent: int) -> None:
        """Ask for what the model refuses."""
        place = self.state.places[agent]
        assert self._channel(agent).do("go") == where(self.model.agents[agent].table, place)
        self._refused[agent] = place

    def _start(self, process: int) -> Worker:
        threads = sum(agent.process == process for agent in self.model.agents)
        return self._workers.start(self._path, SHORT_S, by_steps=True, threads=threads)

    def _channel(self, agent: int) -> Channel:
        process = self.model.agents[agent].process
        first = next(a for a, other in enumerate(self.model.agents) if other.process == process)
        return self._workers_of[process].channels[agent - first]


def tour(stage: Stage) -> set[tuple[State, Move]]:
    """Make every move of every state that can be reached, each at least once."""
    of = stage.model
    todo: dict[State, list[Move]] = {}
    made: set[tuple[State, Move]] = set()

    def moves(state: State) -> list[Move]:
        if state not in todo:
            todo[state] = list(of.moves(state))
        return todo[state]

    while True:
        way = _way_to_work(of, stage.state, moves)
        if way is None:
            return made
        for move in way:
            state = stage.state
            if move in moves(state):
                todo[state].remove(move)
                for agent, place in enumerate(state.places):
                    if place is not Place.OUTSIDE and of.goes(state, agent) is None:
                        stage.refuse(agent)
            stage.make(move)
            made.add((state, move))


def _way_to_work(
    of: Model, start: State, moves: Callable[[State], list[Move]]
) -> list[Move] | None:
    """The shortest way to a move that has not been made, that move included."""
    came: dict[State, tuple[State, Move] | None] = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        if moves(state):
            way = [moves(state)[0]]
            step = came[state]
            while step is not None:
                way.append(step[1])
                step = came[step[0]]
            return way[::-1]
        for move in of.moves(state):
            if move.after not in came:
                came[move.after] = (state, move)
                queue.append(move.after)
    return None


@pytest.mark.parametrize(
    ("who", "moves"),
    [
        ("R W", 400),
        ("RW", 100),
        pytest.param("W W", 400, marks=pytest.mark.long),
        pytest.param("RW W", 1000, marks=pytest.mark.long),
        pytest.param("R R W", 4000, marks=pytest.mark.long),
        pytest.param("R W W", 4000, marks=pytest.mark.long),
    ],
)
def test_every_move_of_every_state_happens_as_in_the_model(
    who: str, moves: int, workers: Workers, file: LockFile, start: Start
) -> None:
    """Everyone killed in every state, too: the next ones get what the model says is free."""
    assert len(tour(Stage(model(who, stops=False), workers, file.path))) > moves


@pytest.mark.parametrize(
    "options",
    [
        NO_GATE,
        FREES_DATA_ONLY,
        altered(Place.AT_DATA, overdue=Place.LAST),
        {"read": WRITE},
        {"locks_die": False},
        {"blame": BLAME[:1]},
    ],
)
def test_another_model_is_told_from_what_happens(
    options: dict[str, Any], workers: Workers, file: LockFile, start: Start
) -> None:
    with pytest.raises(AssertionError):
        tour(Stage(model("R W", stops=False, **options), workers, file.path))
