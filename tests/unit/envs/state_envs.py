"""Environments that keep their state in every odd place, to be saved or refused."""

from __future__ import annotations

import enum
import itertools
import random
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces


class Digest(gymnasium.Env):
    """Its observation is a number that depends on everything it holds; one end in ten steps."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Discrete(4)
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        self.begin()
        return self.seen(), {}

    def step(self, action: int) -> Any:
        self.steps += 1
        self.change(int(action))
        return self.seen(), 0.0, self.steps == 10, False, {}

    def seen(self) -> np.ndarray:
        return np.array([self.steps, self.digest()], np.float32)

    def begin(self) -> None:
        """What a new episode changes."""

    def change(self, action: int) -> None:
        """What a step changes."""

    def digest(self) -> float:
        """A number that depends on what is held."""
        return 0.0


class Scored(Digest):
    """Tells a metric at every step."""

    def step(self, action: int) -> Any:
        *result, _ = super().step(action)
        return *result, {"metrics": {"score": float(action)}}


class Phase(enum.Enum):
    CALM = 1
    STORM = 2


class Point(NamedTuple):
    x: int
    y: int


class Slotted:
    __slots__ = ("__dict__", "count", "never")

    def __init__(self) -> None:
        self.count = 0


@dataclass
class Thing:
    """An entity; there are none when an episode begins."""

    at: tuple[int, int]
    age: int = 0
    friends: list[Thing] = field(default_factory=list)


@dataclass(frozen=True)
class Kind:
    name: str


NOTHING = Kind("nothing")
"""Known by being it, not by being like it."""

START = [0, 0]


class Everything(Digest):
    """Every kind of value, shared and nested."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = [1, 2]
        self.again = self.twice
        self.line = deque([1], maxlen=3)
        self.table: dict[Any, Any] = {(0, 0): 1, 5: [1]}
        self.groups: Any = defaultdict(list)
        self.order: Any = OrderedDict(a=1, b=2)
        self.counts: Any = Counter()
        self.seen_at = {1, 2}
        self.fixed = frozenset({3})
        self.phase = Phase.CALM
        self.point = Point(1, 2)
        self.slotted = Slotted()
        self.things: list[Thing] = []
        self.whole = np.zeros((3, 4), order="F")
        self.part = self.whole[1:, ::2]
        self.row = np.arange(6, dtype=np.int16)
        self.back = self.row[::-1]
        self.constant = np.arange(3)
        self.constant.flags.writeable = False
        self.names = np.array(["a", "bb"])
        self.grid = np.full((2, 2), NOTHING, object)
        self.scalar = np.float32(1)
        self.raw = bytearray(b"ab")
        self.bounds = range(3), slice(1, None), 1 + 2j, b"x", None, ..., np.frombuffer(b"abcdefgh")
        self.old = np.random.RandomState(0)
        self.python = random.Random(0)
        self.philox = np.random.Generator(np.random.Philox(3))
        self.draw = self.philox.integers
        self.phase_of = self.calm
        self.push = self.line.append
        self.place = START
        self.me = self

    def calm(self) -> float:
        return 1.0

    def storm(self) -> float:
        return 2.0

    def begin(self) -> None:
        self.things = []
        self.place = START
        self.old.seed(int(self.np_random.integers(100)))
        self.python.seed(int(self.np_random.integers(100)))

    def change(self, action: int) -> None:
        self.twice.append(action)
        del self.twice[:-4]
        self.push(action)
        self.table[action, self.steps] = self.steps
        self.groups[action].append(self.steps)
        del self.groups[action][:-2]
        self.order.move_to_end("a" if action % 2 else "b")
        self.counts[action] += 1
        self.seen_at ^= {action}
        self.fixed = frozenset({self.steps, action})
        self.phase = Phase.STORM if action % 2 else Phase.CALM
        self.phase_of = self.storm if action % 2 else self.calm
        self.point = Point(action, self.point.x)
        self.slotted.count += action
        self.slotted.extra = self.steps
        self.things.append(Thing((action, self.steps)))
        for thing in self.things:
            thing.age += 1
            thing.friends = self.things[:2]
        self.part += action
        self.back[0] += action
        self.names = np.array([str(action), "c"])
        self.grid[action // 2, action % 2] = self.things[0] if action else NOTHING
        self.scalar = np.float32(self.scalar + 1)
        self.raw[0] = action
        self.place = [self.place[0] + action, 1]

    def digest(self) -> float:
        empty = sum(cell is NOTHING for cell in self.grid.reshape(-1))
        age = sum(cell.age for cell in self.grid.reshape(-1) if isinstance(cell, Thing))
        friends = sum(f.age for thing in self.things for f in thing.friends)
        total = sum(self.again) + sum(self.line) + len(self.table) + empty * 3 + age + friends
        total += sum(map(sum, self.groups.values())) + len(next(iter(self.order))) * 2
        total += ord(next(iter(self.order))) + sum(n * k for n, k in self.counts.items())
        total += sum(self.seen_at) + sum(self.fixed) + self.phase.value + self.point.y
        total += self.slotted.count + len(vars(self.slotted)) + float(self.whole.sum())
        total += int(self.row[-1]) + ord(self.names[0]) + float(self.scalar) + self.raw[0]
        total += self.old.randint(50) + self.python.randint(0, 50) + int(self.draw(50))
        total += float(self.python.gauss(0, 1)) + float(self.old.normal()) + self.phase_of()
        total += float(self.np_random.random()) + sum(self.place)
        return total + float(self.np_random.spawn(1)[0].random())


def drawing(start: int) -> Any:
    """A function that counts, where nobody can look."""
    numbers = itertools.count(start)
    return lambda: float(next(numbers))


class Closure(Digest):
    """Part of its state is in a closure."""

    def __init__(self) -> None:
        super().__init__()
        self.draw = drawing(0)

    def digest(self) -> float:
        return self.draw()


TOTAL = [0]


class InModule(Digest):
    """Part of its state is in its module."""

    def digest(self) -> float:
        TOTAL[0] += 1
        return float(TOTAL[0])


class Sharing(Digest):
    """Draws from one stream with all its copies, the default of an argument."""

    def __init__(self, rng: np.random.Generator = np.random.default_rng(0)) -> None:  # noqa: B008  # what it is for
        super().__init__()
        self.rng = rng

    def digest(self) -> float:
        return float(self.rng.random())


class Counting(Digest):
    """Holds something that only C looks into."""

    def __init__(self) -> None:
        super().__init__()
        self.tools = {"numbers": itertools.count()}


class Locked(gymnasium.Wrapper):
    """A wrapper that holds a lock."""

    def __init__(self) -> None:
        super().__init__(Digest())
        self.gate = threading.Lock()


class Explicit(Digest):
    """Says itself what its state is: the place of a generator, which nobody else can know."""

    def __init__(self) -> None:
        super().__init__()
        self.place = 0
        self.numbers = self.counted()

    def counted(self) -> Any:
        while True:
            self.place += 1
            yield self.place

    def digest(self) -> float:
        return float(next(self.numbers)) + float(self.np_random.random())

    def state_dict(self) -> dict[str, Any]:
        bits = self.np_random.bit_generator.state
        return {"place": self.place, "steps": self.steps, "bits": bits, "pair": (1, (2, 3))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state["pair"] == (1, (2, 3))
        self.place, self.steps = state["place"], state["steps"]
        self.np_random.bit_generator.state = state["bits"]


class Many:
    """Makes lanes of its own, which know nothing of states."""

    def make_lanes(self, n_envs: int, *rest: Any) -> Any:
        from types import SimpleNamespace

        return SimpleNamespace(n_envs=n_envs, close=lambda: None, spec=SimpleNamespace(policies={}))


class Failing(Digest):
    """Raises in its third step, or ends its process."""

    def __init__(self, how: str = "raise") -> None:
        super().__init__()
        self.how, self.taken = how, 0

    def change(self, action: int) -> None:
        self.taken += 1
        if self.taken == 3:
            if self.how == "raise":
                raise ValueError("no third step")
            if self.how == "kill":
                import os
                import signal

                os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()


class Evil(Digest):
    """Something that a damaged file must not reach."""

    hits: ClassVar[list[str]] = []

    def __del__(self) -> None:
        pass
