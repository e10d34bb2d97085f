"""A model checker for ``turnstile``: every state of a few threads that follow the table.

The kernel's part (record locks that belong to a process and go when it dies, who is in whose way)
and Python's part (a lock between threads) are modelled here and compared with the real ones by
``test_replay_lock_steps``; the threads' part is the table itself. A process may die, be stopped
and go on in every state; after a death another takes its place. A thread that was refused may
reach its deadline in every state, and an exception may come up in every step that says where it
leads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

from tuitrain.replay.turnstile import (
    BLAME,
    BYTES,
    DATA,
    THREAD,
    Place,
    Request,
    Table,
    Want,
)

NOBODY = -1
WAITING = (Place.AT_THREAD, Place.AT_GATE, Place.AT_DATA)

_T = TypeVar("_T")
Event = Literal["goes", "overdue", "broken", "dies", "stops", "wakes"]


class Agent(NamedTuple):
    """A thread: the number of its process, the table it follows, and whether it means to write."""

    process: int
    table: Table
    writes: bool


class State(NamedTuple):
    """Of all agents and processes.

    Attributes:
        places: per agent.
        threads: per process, the agent that has its thread lock, or NOBODY.
        held: per process and byte of the file.
        stopped: per process.
    """

    places: tuple[Place, ...]
    threads: tuple[int, ...]
    held: tuple[tuple[Want, ...], ...]
    stopped: tuple[bool, ...]


class Move(NamedTuple):
    """What happened, to which agent (dies, stops and wakes: process), and what is then."""

    event: Event
    who: int
    after: State


@dataclass(frozen=True)
class Model:
    """Agents and the world they live in.

    Attributes:
        agents: those who come and go.
        locks_die: whether the kernel frees what a dead process held.
        stops: whether processes are stopped and woken.
        blame: what is asked for to find out whom to blame.
    """

    agents: tuple[Agent, ...]
    locks_die: bool = True
    stops: bool = True
    blame: tuple[Request, ...] = BLAME

    @property
    def processes(self) -> range:
        return range(1 + max(agent.process for agent in self.agents))

    def start(self) -> State:
        n = len(self.processes)
        free = (Want.FREE,) * BYTES
        return State((Place.OUTSIDE,) * len(self.agents), (NOBODY,) * n, (free,) * n, (False,) * n)

    def in_the_way(self, state: State, process: int, request: Request) -> list[int]:
        """The other processes because of which the kernel refuses a request."""
        if request.want is Want.FREE:
            return []
        bytes_ = range(request.first, request.first + request.length)
        return [
            other
            for other in self.processes
            if other != process
            and any(Want.EXCLUSIVE in (state.held[other][b], request.want) for b in bytes_)
            and any(state.held[other][b] is not Want.FREE for b in bytes_)
        ]

    def granted(self, state: State, agent: int, request: Request) -> State | None:
        """The state with the request granted, the agent where it was; None if it is refused."""
        process = self.agents[agent].process
        if request.first == THREAD:
            if request.want is Want.FREE:
                return state._replace(threads=_put(state.threads, process, NOBODY))
            if state.threads[process] != NOBODY:
                return None
            return state._replace(threads=_put(state.threads, process, agent))
        if self.in_the_way(state, process, request):
            return None
        held = state.held[process]
        for byte in range(request.first, request.first + request.length):
            held = _put(held, byte, request.want)
        return state._replace(held=_put(state.held, process, held))

    def goes(self, state: State, agent: int) -> State | None:
        """The agent's step, granted; None if it is refused."""
        step = self.agents[agent].table[state.places[agent]]
        after = state if step.request is None else self.granted(state, agent, step.request)
        return None if after is None else _at(after, agent, step.then)

    def dies(self, state: State, process: int) -> State:
        """SIGKILL; the process that comes in its place starts outside."""
        for agent, (of, *_) in enumerate(self.agents):
            if of == process:
                state = _at(state, agent, Place.OUTSIDE)
        held = (Want.FREE,) * BYTES if self.locks_die else state.held[process]
        return State(
            state.places,
            _put(state.threads, process, NOBODY),
            _put(state.held, process, held),
            _put(state.stopped, process, False),
        )

    def moves(self, state: State) -> Iterator[Move]:
        """Everything that may happen next."""
        for agent, (process, table, _) in enumerate(self.agents):
            if state.stopped[process]:
                continue
            step = table[state.places[agent]]
            after = self.goes(state, agent)
            if after is not None:
                yield Move("goes", agent, after)
            elif step.overdue is not None:
                yield Move("overdue", agent, _at(state, agent, step.overdue))
            if step.broken is not None:
                yield Move("broken", agent, _at(state, agent, step.broken))
                if after is not None:
                    yield Move("broken", agent, _at(after, agent, step.broken))
        for process in self.processes:
            yield Move("dies", process, self.dies(state, process))
            if self.stops:
                turned = _put(state.stopped, process, not state.stopped[process])
                event: Event = "wakes" if state.stopped[process] else "stops"
                yield Move(event, process, state._replace(stopped=turned))

    def blamed(self, state: State, agent: int) -> list[int]:
        """The processes one of which is named if the agent gives up now."""
        process = self.agents[agent].process
        if state.places[agent] is Place.AT_THREAD:
            owner = state.threads[process]
            if state.places[owner] not in WAITING:
                return [process]
        for request in self.blame:
            if found := self.in_the_way(state, process, request):
                return found
        return []


def _put(of: tuple[_T, ...], index: int, value: _T) -> tuple[_T, ...]:
    return (*of[:index], value, *of[index + 1 :])


def _at(state: State, agent: int, place: Place) -> State:
    return state._replace(places=_put(state.places, agent, place))


# ---- what must hold in every state and step ---------------------------------------------------


@dataclass
class Report:
    """What was found.

    Attributes:
        problems: by name, the shortest way to the first of each kind.
        states: how many there are.
        places: those some agent has been at.
    """

    problems: dict[str, list[Move]] = field(default_factory=dict)
    states: int = 0
    places: set[Place] = field(default_factory=set)


def explore(model: Model) -> Report:
    """Visit every state, shortest ways first, and look at all of them."""
    report = Report()
    start = model.start()
    came: dict[State, tuple[State, Move] | None] = {start: None}
    queue = deque([start])
    shared = False

    def found(what: str, state: State) -> None:
        if what not in report.problems:
            way: list[Move] = []
            step = came[state]
            while step is not None:
                way.append(step[1])
                step = came[step[0]]
            report.problems[what] = way[::-1]

    while queue:
        state = queue.popleft()
        report.places.update(state.places)
        moves = list(model.moves(state))
        for what in _wrong(model, state, moves):
            found(what, state)
        shared = shared or state.places.count(Place.INSIDE) > 1
        for move in moves:
            if _overtakes(model, state, move):
                found("a waiting writer is overtaken", state)
            if move.after not in came:
                came[move.after] = (state, move)
                queue.append(move.after)
    readers = {agent.process for agent in model.agents if not agent.writes}
    if len(readers) > 1 and not shared:
        report.problems["readers do not share"] = []
    report.states = len(came)
    return report


def _wrong(model: Model, state: State, moves: list[Move]) -> Iterator[str]:
    agents = model.agents
    inside = [a for a, place in enumerate(state.places) if place is Place.INSIDE]
    if len(inside) > 1 and any(agents[a].writes for a in inside):
        yield "a writer is not alone"
    if len({agents[a].process for a in inside}) < len(inside):
        yield "threads of a process are inside together"
    for a in inside:
        if state.held[agents[a].process][DATA] is Want.FREE:
            yield "inside without the lock"
    for process in model.processes:
        of = [a for a, agent in enumerate(agents) if agent.process == process]
        if all(state.places[a] is Place.OUTSIDE for a in of) and (
            any(state.held[process]) or state.threads[process] != NOBODY
        ):
            yield "something is left behind"
    waiting = [
        a
        for a, place in enumerate(state.places)
        if place in WAITING and not state.stopped[agents[a].process]
    ]
    # Stuck: nobody takes a step but by giving up, newcomers aside.
    if waiting and not any(
        m.event == "goes" and state.places[m.who] is not Place.OUTSIDE for m in moves
    ):
        if not any(state.stopped):
            yield "deadlock"
        if any(agents[a].table[state.places[a]].overdue is None for a in waiting):
            yield "waits for ever"
        for a in waiting:
            blamed = model.blamed(state, a)
            if not blamed or not all(state.stopped[process] for process in blamed):
                yield "the wrong process is blamed"


def _overtakes(model: Model, state: State, move: Move) -> bool:
    """Whether a move gives the data to somebody while a writer has asked for it before."""
    if move.event != "goes" or state.places[move.who] is not Place.AT_DATA:
        return False
    return any(
        agent.writes and state.places[a] is Place.AT_DATA
        for a, agent in enumerate(model.agents)
        if a != move.who
    )


# ---- what must not go on for ever -------------------------------------------------------------

Fairness = Literal["weak", "strong"]
"""Of whom a step is possible for ever (weak), or again and again (strong), takes it some time."""

_Edge = tuple[State, int, State]  # who moved: an agent


def starves(model: Model, agent: int, fairness: Fairness, places: tuple[Place, ...]) -> bool:
    """Whether an agent can stay at some places for ever though everyone is treated fairly.

    Looked for is a circle of states in which the others come, go, give up and die as they like,
    while this one never gives up. Nobody is stopped for ever, holds a lock for ever, or is passed
    over against ``fairness``.
    """
    seen, queue = {model.start()}, deque([model.start()])
    edges: list[_Edge] = []
    while queue:
        state = queue.popleft()
        for event, who, after in model.moves(state):
            if event in ("stops", "wakes"):
                continue
            if after not in seen:
                seen.add(after)
                queue.append(after)
            if event == "dies":
                of = [a for a, other in enumerate(model.agents) if other.process == who]
            else:
                of = [who]
            gives_up = agent in of and event != "goes"
            if not gives_up and state.places[agent] in places and after.places[agent] in places:
                edges.extend((state, a, after) for a in of)
    return _fair_circle(model, edges, fairness)


def _fair_circle(model: Model, edges: list[_Edge], fairness: Fairness) -> bool:
    """Streett's condition, part by part of what can be reached from itself."""
    for part in _components(edges):
        inner = [edge for edge in edges if edge[0] in part and edge[2] in part]
        if not inner:
            continue
        moved = {who for _, who, _ in inner}
        passed_over: list[set[State]] = []
        for agent in range(len(model.agents)):
            if agent in moved:
                continue
            able = {state for state in part if _must_go(model, state, agent)}
            if able and (fairness == "strong" or able == part):
                passed_over.append(able)
        if not passed_over:
            return True
        if fairness == "strong":
            # A fair circle in this part can only be one that avoids those states.
            rest = part.difference(*passed_over)
            if _fair_circle(
                model, [edge for edge in inner if edge[0] in rest and edge[2] in rest], fairness
            ):
                return True
    return False


def _must_go(model: Model, state: State, agent: int) -> bool:
    return state.places[agent] is not Place.OUTSIDE and model.goes(state, agent) is not None


def _components(edges: list[_Edge]) -> list[set[State]]:
    """Strongly connected components (Kosaraju)."""
    ahead: dict[State, set[State]] = {}
    back: dict[State, set[State]] = {}
    for a, _, b in edges:
        ahead.setdefault(a, set()).add(b)
        ahead.setdefault(b, set())
        back.setdefault(b, set()).add(a)
        back.setdefault(a, set())
    done: list[State] = []
    _walk(ahead, list(ahead), done.append)
    parts: list[set[State]] = []
    seen: set[State] = set()
    for root in reversed(done):
        if root not in seen:
            part: set[State] = set()
            _walk(back, [root], part.add, seen)
            parts.append(part)
    return parts


def _walk(
    graph: dict[State, set[State]],
    roots: list[State],
    leave: Callable[[State], None],
    seen: set[State] | None = None,
) -> None:
    """Depth first; calls ``leave`` with every state not seen before, after those it leads to."""
    seen = set() if seen is None else seen
    for root in roots:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(graph[root]))]
        while stack:
            state, rest = stack[-1]
            following = next((s for s in rest if s not in seen), None)
            if following is None:
                leave(state)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(graph[following])))
