"""A real limiter between imagined actors, learners and a supervisor, walked through all states.

Actors reserve, write their rows (``ShardWriter.commit``), then commit; the learner makes what is
due. Each may die between any two steps and at any store of the limiter's own calls; the supervisor
then lets a successor go on (``cancel``) or does without (``retire``). A pause needs no move: moves
come in every order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from itertools import count, product
from typing import Any

import numpy as np

from tests.unit.replay.helpers import NullLock
from tuitrain.replay.limiter import InsertsEnded, Limiter
from tuitrain.replay.limiter_rule import LimiterRule

NONE = Fraction(0)
Table = np.ndarray[tuple[int, int], np.dtype[np.int64]]
Counts = tuple[int, ...]


def rule(
    ratio: Fraction,
    starts: int,
    chunks: int,
    extra: Fraction = NONE,
    kind: type[LimiterRule] = LimiterRule,
) -> LimiterRule:
    """The narrowest band that is allowed, and ``extra`` updates more."""
    return kind(ratio, starts, 1 + chunks * ratio + extra, chunks)


def new_table(n_policies: int, n_actors: int) -> Table:
    """Private memory for a limiter."""
    return np.zeros(Limiter.table_shape(n_policies, n_actors), np.int64)


def limiter(
    rules: Sequence[LimiterRule],
    total_steps: int,
    n_actors: int,
    table: Table | None = None,
    kind: type[Limiter] = Limiter,
) -> Limiter:
    """A limiter whose processes take turns."""
    table = new_table(len(rules), n_actors) if table is None else table
    return kind(table, rules, NullLock(), total_steps, n_actors)


# ---- death at a store ------------------------------------------------------------------------


class Died(BaseException):
    """The process was killed."""


class Stores:
    """Counts a limiter's stores into its table, and kills it before one of them."""

    def __init__(self, shared: Limiter) -> None:
        self.left: int | None = None
        for name, value in vars(shared).items():
            if isinstance(value, memoryview):
                setattr(shared, name, _Words(value, self))
            elif isinstance(value, list | tuple) and value and isinstance(value[0], memoryview):
                setattr(shared, name, [_Words(words, self) for words in value])
            else:
                assert not isinstance(value, np.ndarray), f"stores into {name} are not counted"

    def dies(self, at: int, work: Callable[[], Any]) -> bool:
        """Run ``work`` and kill it before its store number ``at``; False if it has fewer."""
        self.left = at
        try:
            work()
        except Died:
            return True
        finally:
            self.left = None
        return False

    def count(self) -> None:
        """A store is about to be made."""
        if self.left is not None:
            if self.left == 0:
                raise Died
            self.left -= 1


class _Words:
    """A memoryview that reports its stores."""

    def __init__(self, words: memoryview, stores: Stores) -> None:
        self._words, self._stores = words, stores

    def __len__(self) -> int:
        return len(self._words)

    def __iter__(self) -> Iterator[int]:
        return iter(self._words)

    def __getitem__(self, key: Any) -> Any:
        return self._words[key]

    def __setitem__(self, key: int, value: int) -> None:
        self._stores.count()
        self._words[key] = value

    def tolist(self) -> list[int]:
        return self._words.tolist()


# ---- every state -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """Actors that reserve ``chunk`` steps and bring 0, 1 or ``chunk`` transitions of a policy.

    Attributes:
        deaths: how many there may be.
        base: steps, and transitions and updates of each policy, of earlier sessions.
        change: the ratio that somebody gives the first policy at any moment, once; 0 for never.
    """

    ratios: tuple[Fraction, ...]
    starts: int
    chunk: int
    actors: int
    total: int
    extra: Fraction = NONE
    deaths: int = 0
    base: tuple[int, int, int] = (0, 0, 0)
    change: Fraction = NONE


IDLE, HELD, DEAD, GONE = "idle", "held", "dead", "gone"
Phase = str | Counts
"""Of an actor; ``Counts`` while its rows are written and not yet counted."""


@dataclass(frozen=True)
class State:
    """The table (without which of its rows is current), and what the limiter cannot know.

    Attributes:
        lost: transitions per policy that can be read but were never counted.
    """

    table: bytes
    phases: tuple[Phase, ...]
    lost: Counts
    deaths: int


@dataclass(frozen=True)
class Move:
    """What happened: a death is no progress, for nothing may depend on one."""

    name: str
    after: State
    death: bool = False


class Explorer:
    """All states that can be reached, and what is wrong with them."""

    def __init__(
        self,
        setting: Setting,
        rules: Sequence[LimiterRule] | None = None,
        kind: type[Limiter] = Limiter,
        learner_waits_for_all: bool = False,
    ) -> None:
        s = self.s = setting
        self.rules = rules or [rule(r, s.starts, s.chunk * s.actors, s.extra) for r in s.ratios]
        self.n = len(self.rules)
        self.table = new_table(self.n, s.actors)
        self.limiter = limiter(self.rules, s.base[0] + s.total, s.actors, self.table, kind)
        steps, inserts, updates = s.base
        self.limiter.set_base(steps, [inserts] * self.n, [updates] * self.n)
        self.stores = Stores(self.limiter)
        self.for_all = learner_waits_for_all
        self.problems: set[str] = set()
        self.seen: set[str] = set()

    def explore(self, *, any_problem: bool = False) -> int:
        """Visit every state, or those up to the first problem; returns how many they are."""
        start = self._state((IDLE,) * self.s.actors, (0,) * self.n, 0)
        before: dict[State, list[State]] = {start: []}
        ends: list[State] = []
        stack = [start]
        while stack:
            state = stack.pop()
            self._restore(state)
            over = self._judge(state)
            if any_problem and self.problems:
                return len(before)
            if over:
                ends.append(state)
            for move in self._moves(state):
                self.seen.add(move.name)
                if over and not move.death and "update" in move.name:
                    self.problems.add("there was something to do after the end")
                if move.after not in before:
                    before[move.after] = []
                    stack.append(move.after)
                if not move.death:
                    before[move.after].append(state)
        reach, stack = set(ends), ends
        while stack:
            for state in before[stack.pop()]:
                if state not in reach:
                    reach.add(state)
                    stack.append(state)
        if len(reach) < len(before):
            self.problems.add("deadlock")
        return len(before)

    # ---- moves ---------------------------------------------------------------------------------

    def _moves(self, at: State) -> Iterator[Move]:
        for actor, phase in enumerate(at.phases):
            yield from self._actor_moves(at, actor, phase)
        due = [self._at(at, partial(self.limiter.updates_due, p)) for p in range(self.n)]
        for policy in range(self.n):
            if all(due) if self.for_all else due[policy]:
                work = partial(self.limiter.add_updates, policy, 1)
                yield from self._deaths("update", at, at, work)
                self._at(at, work)
                yield Move("update", self._after(at))
        change = partial(self.limiter.change_ratio, 0, self.s.change)
        if self.s.change and not self._at(at, self._changed):
            yield from self._deaths("change", at, at, change)
            self._at(at, change)
            yield Move("change", self._after(at))

    def _actor_moves(self, at: State, actor: int, phase: Phase) -> Iterator[Move]:
        s = self.s
        dead = self._with(at, actor, DEAD)
        if at.deaths < s.deaths and phase not in (DEAD, GONE):
            lost = phase if isinstance(phase, tuple) else (0,) * self.n
            yield Move("die", replace(dead, lost=_plus(at.lost, lost), deaths=at.deaths + 1), True)
        if phase == IDLE:
            reserve = partial(self.limiter.reserve, actor, [s.chunk] * self.n, s.chunk)
            retire = partial(self.limiter.retire, actor)
            try:
                ticket = self._at(at, reserve)
            except InsertsEnded:
                yield from self._deaths("retire", at, dead, retire)
                self._at(at, retire)
                yield Move("retire", self._after(self._with(at, actor, GONE)))
                return
            if ticket is None:
                self.seen.add("wait")
                return
            self._check_ticket(ticket)
            held = self._after(self._with(at, actor, HELD))
            yield Move("reserve", held)
            yield from self._deaths("reserve", at, dead, reserve)
        elif phase == HELD:
            for brought in product((0, 1, s.chunk), repeat=self.n):
                yield Move("write", self._with(at, actor, brought))
        elif isinstance(phase, tuple):
            commit = partial(self.limiter.commit, actor, phase, s.chunk)
            yield from self._deaths("commit", at, dead, commit, phase)
            self._at(at, commit)
            yield Move("commit", self._after(self._with(at, actor, IDLE)))
        elif phase == DEAD:
            self._at(at, lambda: self.limiter.cancel(actor))
            yield Move("successor", self._after(self._with(at, actor, IDLE)))
            self._at(at, lambda: self.limiter.retire(actor))
            yield Move("no successor", self._after(self._with(at, actor, GONE)))

    def _deaths(
        self, name: str, at: State, dead: State, work: Callable[[], Any], brought: Counts = ()
    ) -> Iterator[Move]:
        """Every death inside a call; of counts, all or none must have been made."""
        if at.deaths == self.s.deaths:
            return
        self._restore(at)
        before, old = self.limiter.totals(), self.limiter.ratios()
        self._at(at, work)
        done, new = self.limiter.totals(), self.limiter.ratios()
        for store in count():
            self._restore(at)
            if not self.stores.dies(store, work):
                break
            now = self.limiter.totals()
            if now[:3] not in (before[:3], done[:3]):
                self.problems.add("half a count")
            if self.limiter.ratios() not in (old, new):
                self.problems.add("half a ratio")
            lost = _plus(at.lost, brought) if brought and now[:3] == before[:3] else at.lost
            after = self._after(replace(dead, lost=lost, deaths=at.deaths + 1))
            yield Move(f"die in {name}", after, True)

    # ---- states --------------------------------------------------------------------------------

    def _state(self, phases: tuple[Phase, ...], lost: Counts, deaths: int) -> State:
        table = self.table.copy()
        if table[0, 0]:
            table[1] = table[2]
        table[0, 0], table[2] = 0, 0
        return State(table.tobytes(), phases, lost, deaths)

    def _after(self, state: State) -> State:
        return self._state(state.phases, state.lost, state.deaths)

    def _with(self, state: State, actor: int, phase: Phase) -> State:
        phases = (*state.phases[:actor], phase, *state.phases[actor + 1 :])
        return replace(state, phases=phases)

    def _restore(self, state: State) -> None:
        self.table[:] = np.frombuffer(state.table, np.int64).reshape(self.table.shape)
        # outside of a search ratios never become the earlier ones again
        self.limiter.rules, self.limiter._seen = self.limiter._given, 0

    def _changed(self) -> bool:
        return bool(self.table[0, 1])

    def _at(self, state: State, work: Callable[[], Any]) -> Any:
        self._restore(state)
        return work()

    # ---- what must hold ------------------------------------------------------------------------

    def _check_ticket(self, ticket: Any) -> None:
        totals = self.limiter.totals()
        if (ticket.step_base, ticket.stamp_base) != (totals.steps, totals.inserts):
            self.problems.add("a ticket with other counts")

    def _judge(self, state: State) -> bool:
        """Note what is wrong; returns whether all is done: inserts have ended, nothing is due."""
        totals, s = self.limiter.totals(), self.s
        reserved = [0] * self.n
        for phase, row in zip(state.phases, self.table[-s.actors :].tolist(), strict=True):
            if phase in (IDLE, GONE) and any(row[: 1 + self.n]):
                self.problems.add("a reservation was not returned")
            if phase != DEAD:  # what the dead had reserved may be counted already
                reserved = [a + b for a, b in zip(reserved, row[1:], strict=False)]
        for p in range(self.n):
            inserts, updates = totals.inserts[p] - s.base[1], totals.updates[p] - s.base[2]
            rule = self.limiter._rules()[p]
            self.problems |= self._leaves_band(p, rule, inserts, reserved[p], updates)
            if state.lost[p] > s.chunk * state.deaths:
                self.problems.add("more was lost than died")
        if totals.steps - s.base[0] > s.total + s.chunk * s.actors:
            self.problems.add("more steps than asked for")
        if not self.limiter.ended():
            return False
        if any(isinstance(phase, tuple) or phase == HELD for phase in state.phases):
            self.problems.add("ended while a chunk is being made")
        return not any(map(self.limiter.updates_due, range(self.n)))

    @cache  # noqa: B019  # worlds live as long as their test
    def _leaves_band(
        self, policy: int, rule: LimiterRule, inserts: int, reserved: int, updates: int
    ) -> set[str]:
        given, s = self.rules[policy], self.s
        problems = set()
        lead = (inserts - rule.learning_starts) * rule.updates_per_insert
        lead -= updates - rule.updates_before
        if updates and lead < -1:
            problems.add("the learner is ahead of the data")
        ratios = (given.updates_per_insert, rule.updates_per_insert)
        band = 1 + s.extra * max(1, ratios[1] / ratios[0]) + s.chunk * s.actors * max(ratios)
        band += rule is not given  # what was asked for until a change is rounded
        if lead + reserved * min(ratios) > band:
            problems.add("the actors are ahead by more than the band")
        if updates and inserts < max(1, given.learning_starts):
            problems.add("updates before learning_starts")
        return problems


def _plus(a: Counts, b: Counts) -> Counts:
    return tuple(x + y for x, y in zip(a, b, strict=True)) if b else a
