"""Games in which one agent moves at a time, for tests, by `tests.envs.aec:Name`.

``Moves`` says in every observation exactly where it comes from, and keeps what happened;
``TicTacToe`` is to be learned. Both by the shape of PettingZoo's AEC API, which is not imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces


class Aec:
    """What is the same in every such game: who is there, what they are paid, who has left.

    Args:
        leavers_first: whether those who have left come to their turn at once, before the next
            mover, as some of PettingZoo's games have it; else each when its turn comes.
    """

    possible_agents: tuple[Any, ...]
    leavers_first = False

    def begin(self) -> None:
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[Any, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._earned = dict.fromkeys(self.agents, 0.0)
        self.turn = -1
        self.agent_selection = self._mover = self.next_mover()
        self.closed = False

    def next_mover(self) -> Any:
        """Who is to move next; those who have left are passed over."""
        self.turn += 1
        return self.possible_agents[self.turn % len(self.possible_agents)]

    def observe(self, agent: Any) -> Any:
        raise NotImplementedError

    def move(self, agent: Any, action: int) -> None:
        """A move; calls ``pay`` and ``leave``."""
        raise NotImplementedError

    def last(self) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        agent = self.agent_selection
        gone = self.terminations[agent], self.truncations[agent]
        return self.observe(agent), self._earned[agent], *gone, self.infos[agent]

    def step(self, action: int | None) -> None:
        agent = self.agent_selection
        if self.gone(agent):
            assert action is None, "who has left cannot move"
            self.agents.remove(agent)
            for table in (self.terminations, self.truncations, self._earned):
                del table[agent]
            mover_left = agent == self._mover
        else:
            assert action is not None, "it is this agent's turn"
            self._earned[agent] = 0.0
            self.move(agent, action)
            mover_left = True
        if not self.agents:
            return
        leavers = [a for a in self.agents if self.gone(a)]
        if mover_left:
            self._mover = self.next_mover()
            while self._mover not in self.agents:
                self._mover = self.next_mover()
        self.agent_selection = leavers[0] if leavers and self.leavers_first else self._mover

    def gone(self, agent: Any) -> bool:
        return self.terminations[agent] or self.truncations[agent]

    def pay(self, agent: Any, amount: float) -> None:
        if agent in self.agents and not self.gone(agent):
            self._earned[agent] += amount

    def close(self) -> None:
        self.closed = True


@dataclass
class Past:
    """What happened to one agent in one game of ``Moves``, by its own moves.

    Attributes:
        views: what it saw when it moved, and what it saw last where it has left.
        actions, paid: of every move, and what came until the next turn.
        before: what it was paid before its first move.
        terminated, truncated: whether it has left, and how.
    """

    views: list[MoveTag] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    paid: list[float] = field(default_factory=list)
    before: float = 0.0
    terminated: bool = False
    truncated: bool = False


class MoveTag(NamedTuple):
    """What an observation of ``Moves`` says: of whom, its own moves and all moves before."""

    instance: int
    game: int
    number: int
    own: int
    moves: int


class Moves(Aec):
    """Agents `a`, `b`, `c` move; every view says where it comes from, every move pays everybody.

    Observation: float32[5], see ``MoveTag``. What happened is in ``Moves.log``, by (instance, game,
    agent).

    Args:
        turns: "cycle", "twice" (each moves twice), "random", or "skips" (one in four is passed
            over).
        p_over: chance after every move that the game is over for all, by termination or
            truncation each.
        p_leave: chance after every move that somebody leaves, by one of the two.
        leavers_first: see ``Aec``.
        masked: observations are a Dict with an "action_mask": who has made m moves may not choose
            action m % 5.
    """

    log: ClassVar[dict[tuple[int, int, str], Past]] = {}

    def __init__(
        self,
        turns: str = "cycle",
        p_over: float = 0.05,
        p_leave: float = 0.0,
        leavers_first: bool = False,
        masked: bool = False,
    ):
        self.possible_agents = ("a", "b", "c")
        self.turns, self.p_over, self.p_leave = turns, p_over, p_leave
        self.leavers_first, self.masked = leavers_first, masked
        self.instance, self.game = 0, -1
        self._rng = np.random.default_rng()
        self._view = np.zeros(5, np.float32)

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        box = spaces.Box(0.0, 2.0**24, (5,), np.float32)
        if not self.masked:
            return box
        mask = spaces.Box(0, 1, (5,), np.int8)
        return spaces.Dict({"observation": box, "action_mask": mask})

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(5)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        if seed is not None:
            self.instance, self.game = seed % 2**24, -1
            self._rng = np.random.default_rng(seed)
        self.game += 1
        self.moves = 0
        self.begin()
        for agent in self.possible_agents:
            self.log[self.instance, self.game, agent] = Past()

    def past(self, agent: str) -> Past:
        return self.log[self.instance, self.game, agent]

    def next_mover(self) -> str:
        if self.turns == "random":
            return str(self._rng.choice(self.possible_agents))
        agent = super().next_mover()
        while self.turns == "skips" and self._rng.random() <= 0.25:
            agent = super().next_mover()
        return str(self.possible_agents[self.turn // 2 % 3] if self.turns == "twice" else agent)

    def tag(self, agent: str) -> MoveTag:
        number, own = self.possible_agents.index(agent), len(self.past(agent).actions)
        return MoveTag(self.instance, self.game, number, own, self.moves)

    def observe(self, agent: str) -> Any:
        view = self._view  # always the same memory, as some environments have it
        view[:] = self.tag(agent)
        if not self.masked:
            return view
        return {"observation": view, "action_mask": np.array(self.legal(agent), np.int8)}

    def legal(self, agent: str) -> list[bool]:
        """Nothing for who is not to move, as PettingZoo's games have it."""
        own, to_move = len(self.past(agent).actions), agent == self.agent_selection
        return [to_move and action != own % 5 for action in range(5)]

    def move(self, agent: str, action: int) -> None:
        assert 0 <= action < 5
        assert not self.masked or self.legal(agent)[action], "an illegal move"
        past = self.past(agent)
        past.views.append(self.tag(agent))
        past.actions.append(action)
        past.paid.append(0.0)
        self.moves += 1
        for number, other in enumerate(self.possible_agents):
            self.pay(other, float(self.moves % 1024 * 16 + number * 5 + action))
        terminates, truncates = self._rng.random(2) < self.p_over
        for other in list(self.agents):
            self.leave(other, terminates, truncates)
        if self._rng.random() < self.p_leave:
            terminates = self._rng.random() < 0.5
            self.leave(str(self._rng.choice(self.agents)), terminates, not terminates)

    def pay(self, agent: str, amount: float) -> None:
        if agent in self.agents and not self.gone(agent):
            past = self.past(agent)
            if past.paid:
                past.paid[-1] += amount
            else:
                past.before += amount
        super().pay(agent, amount)

    def leave(self, agent: str, terminated: bool, truncated: bool) -> None:
        if not self.gone(agent) and (terminated or truncated):
            self.terminations[agent], self.truncations[agent] = bool(terminated), bool(truncated)

    def step(self, action: int | None) -> None:
        agent = self.agent_selection
        if self.gone(agent):
            past = self.past(agent)
            past.views.append(self.tag(agent))
            past.terminated, past.truncated = self.terminations[agent], self.truncations[agent]
        super().step(action)


class TicTacToe(Aec):
    """`x` and `o` in turn; three in a line win 1 and lose 1.

    Observation: "observation" float32[18], own marks and the other's; "action_mask" int8[9].
    """

    lines = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))

    def __init__(self) -> None:
        self.possible_agents = ("x", "o")
        self.board = np.zeros(9, np.int64)

    def observation_space(self, agent: str) -> spaces.Dict:
        return spaces.Dict(
            {
                "observation": spaces.Box(0.0, 1.0, (18,), np.float32),
                "action_mask": spaces.Box(0, 1, (9,), np.int8),
            }
        )

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(9)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        self.board[:] = 0
        self.begin()

    def observe(self, agent: str) -> dict[str, np.ndarray]:
        mark = 1 if agent == "x" else 2
        marks = np.concatenate([self.board == mark, self.board == 3 - mark])
        return {
            "observation": marks.astype(np.float32),
            "action_mask": (self.board == 0).astype(np.int8),
        }

    def move(self, agent: str, action: int) -> None:
        assert self.board[action] == 0, "an illegal move"
        mark = 1 if agent == "x" else 2
        self.board[action] = mark
        won = any((self.board[list(line)] == mark).all() for line in self.lines)
        if won or (self.board != 0).all():
            for other in self.agents:
                self.pay(other, float(won) * (1.0 if other == agent else -1.0))
                self.terminations[other] = True
