"""The ratio larger limiters keep on a virtual clock, whoever is slow, paused, absent or dies."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from tests.unit.replay.limiter_faults import (
    CountsAfterwards,
    CountsInPlace,
    Eager,
    KeepsReservationsOfTheDead,
    NeverEnds,
    RetiresWithReservation,
    SessionsMixed,
    Unreserved,
)
from tests.unit.replay.limiter_world import Stores, limiter, rule
from tuitrain.replay.limiter import InsertsEnded, Limiter, Totals
from tuitrain.replay.limiter_rule import LimiterRule

F = Fraction
LEARNER = -1


@dataclass
class Machine:
    """Actors, a learner and a supervisor on a virtual clock.

    Attributes:
        step_s: seconds of a step, per actor; each chunk takes half of it to one and a half.
        update_s: seconds of an update, per policy.
        presence: share of a chunk's most transitions that it brings, per policy.
        death: chance that an actor dies in a chunk, or the learner at an update.
        no_successor: chance that a dead actor has none.
        pauses: (who, from, to) in seconds; ``LEARNER`` or an actor.
    """

    shared: Limiter
    step_s: tuple[float, ...]
    update_s: tuple[float, ...]
    chunk: int
    rng: np.random.Generator
    presence: tuple[float, ...] = (1.0,)
    death: float = 0.0
    no_successor: float = 0.0
    pauses: tuple[tuple[int, float, float], ...] = ()
    now: float = 0.0
    deaths: int = 0
    written: np.ndarray[tuple[int], np.dtype[np.int64]] = field(init=False)
    """Transitions in the shards, per policy: those of the dead too that were never counted."""

    def __post_init__(self) -> None:
        self.n = len(self.shared.rules)
        self.band = [
            r.max_lead_updates * r.updates_per_insert.denominator for r in self.shared.rules
        ]
        self.before = self.shared.totals()
        self.written = np.array(self.before.inserts)
        self.stores = Stores(self.shared)
        self.idle = set(range(self.shared.n_actors))
        self.gone: set[int] = set()
        self.dead: set[int] = set()
        self.events: list[tuple[float, int, int]] = []
        self.learner_idle = True

    def run(self, until_s: float = float("inf")) -> bool:
        """Until inserts have ended and everything is learned (returns True), or for so long."""
        while True:
            self.start_all()
            if not self.events:
                assert self.shared.ended(), "everybody waits"
                return True
            self.now, who, policy = heapq.heappop(self.events)
            if self.now > until_s:
                return False
            if who == LEARNER:
                self.end_update(policy)
            elif who in self.dead:
                self.bury(who)
            else:
                self.end_chunk(who)
            self.check()

    def start_all(self) -> None:
        for actor in sorted(self.idle):
            self.start_chunk(actor)
        due = [p for p in range(self.n) if self.shared.updates_due(p)]
        if self.learner_idle and due:
            policy = due[int(self.rng.integers(len(due)))]
            self.after(self.update_s[policy], LEARNER, policy)
            self.learner_idle = False

    def start_chunk(self, actor: int) -> None:
        work = partial(self.shared.reserve, actor, [self.chunk] * self.n, self.chunk)
        try:
            if self.rng.random() < self.death and self.dies(work):
                return self.die(actor)
            if work():
                self.idle.discard(actor)
                self.after(self.step_s[actor] * self.chunk * (0.5 + self.rng.random()), actor)
        except InsertsEnded:
            self.idle.discard(actor)
            self.gone.add(actor)
            self.shared.retire(actor)

    def end_chunk(self, actor: int) -> None:
        if self.rng.random() < self.death / 2:
            return self.die(actor)  # while it steps: nothing can be read
        brought = [int(self.rng.binomial(self.chunk, share)) for share in self.presence]
        self.written += brought
        if self.rng.random() < self.death / 2:
            return self.die(actor)  # its rows can be read and are not counted
        steps = int(self.rng.integers(1, self.chunk + 1))  # rows of a boundary are no steps
        work = partial(self.shared.commit, actor, brought, steps)
        if self.rng.random() < self.death and self.dies(work, steps, brought):
            return self.die(actor)
        work()
        return self.idle.add(actor)

    def end_update(self, policy: int) -> None:
        self.learner_idle = True
        work = partial(self.shared.add_updates, policy, 1)
        one = [int(p == policy) for p in range(self.n)]
        if self.rng.random() >= self.death or not self.dies(work, updates=one):
            work()

    def dies(
        self,
        work: Callable[[], object],
        steps: int = 0,
        inserts: Sequence[int] = (),
        updates: Sequence[int] = (),
    ) -> bool:
        """Perhaps, inside a call of the limiter's or right after it.

        Args:
            steps, inserts, updates: what the call counts; afterwards it is counted or it is not.
        """
        before = self.shared.totals()
        done = (before.steps + steps, _sum(before.inserts, inserts), _sum(before.updates, updates))
        died = self.stores.dies(int(self.rng.integers(12)), work)
        now = self.shared.totals()
        assert now[:3] in (before[:3], done), "half a count"
        return died or now != before

    def die(self, actor: int) -> None:
        self.deaths += 1
        self.idle.discard(actor)
        self.dead.add(actor)
        self.after(float(self.rng.exponential(3.0)), actor)

    def bury(self, actor: int) -> None:
        """The supervisor's turn."""
        self.dead.discard(actor)
        if self.rng.random() < self.no_successor:
            self.shared.retire(actor)
            self.gone.add(actor)
        else:
            self.shared.cancel(actor)
            self.idle.add(actor)

    def after(self, seconds: float, who: int, policy: int = 0) -> None:
        time = self.now + seconds
        for paused, start, end in sorted(self.pauses):
            if paused == who and start <= time < end:
                time = end
        heapq.heappush(self.events, (time, who, policy))

    def check(self) -> None:
        totals = self.shared.totals()
        for p, each in enumerate(self.shared.rules):
            inserts = totals.inserts[p] - self.before.inserts[p]
            updates = totals.updates[p] - self.before.updates[p]
            ratio, ahead = each.updates_per_insert, inserts - each.learning_starts
            lead = ahead * ratio.numerator - updates * ratio.denominator
            assert lead <= self.band[p]
            assert updates == 0 or (lead >= -ratio.denominator and ahead >= 0)
            lost = int(self.written[p]) - totals.inserts[p]
            assert 0 <= lost <= self.chunk * (self.deaths + len(self.step_s))

    def check_end(self) -> None:
        """Nothing is held, and each policy has made what was earned: the first at once."""
        totals = self.shared.totals()
        assert totals.reserved_steps == 0
        assert totals.steps >= self.shared.total_steps or len(self.gone) == self.shared.n_actors
        for p, each in enumerate(self.shared.rules):
            inserts = totals.inserts[p] - self.before.inserts[p]
            updates = totals.updates[p] - self.before.updates[p]
            earned = (inserts - each.learning_starts) * each.updates_per_insert
            enough = inserts >= max(1, each.learning_starts)
            assert updates == (earned // 1 + 1 if enough else 0)


def _sum(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True)) if b else tuple(a)


def same(rng: int | np.random.Generator = 0) -> np.random.Generator:
    return np.random.default_rng(rng)


SPEEDS = {"slow actor": (10.0, 0.1), "slow learner": (0.01, 10.0), "even": (1.0, 1.0)}


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("ratio", [F(1, 8), F(1, 3), F(1), F(5, 2)])
@pytest.mark.parametrize("deaths", [0.0, 0.3])
def test_the_ratio_is_kept_whoever_is_slow(speed: str, ratio: Fraction, deaths: float) -> None:
    """Within 1 %, judged once the band is under 1 % of the updates."""
    step_s, update_s = SPEEDS[speed]
    chunk, actors, starts = 4, 3, 100
    each = rule(ratio, starts, chunk * actors)
    total = int(110 * each.max_lead_updates / ratio / F(9, 10)) + starts * 2
    machine = Machine(
        limiter([each], total, actors),
        (step_s,) * actors,
        (update_s,),
        chunk,
        same(),
        (0.9,),
        deaths,
    )
    machine.run()
    machine.check_end()
    assert (machine.deaths > 20) == (deaths > 0)
    totals = machine.shared.totals()
    assert totals.updates[0] * 0.01 >= each.max_lead_updates
    assert _ratio_error(totals, 0, each) < 0.01


@pytest.mark.parametrize("update_s", [(0.01, 10.0), (10.0, 0.01), (1.0, 1.0)])
def test_a_policy_that_is_often_absent_keeps_its_ratio_too(update_s: tuple[float, float]) -> None:
    each = rule(F(1, 2), 50, 8)
    shared = limiter([each, each], 12_000, 2)
    Machine(shared, (0.5, 0.5), update_s, 4, same(), presence=(1.0, 0.1)).run()
    totals = shared.totals()
    for policy in (0, 1):
        assert totals.updates[policy] * 0.01 >= each.max_lead_updates
        assert _ratio_error(totals, policy, each) < 0.01
    assert totals.inserts[1] < totals.inserts[0] / 5


def test_a_learner_that_counts_too_late_misses_the_ratio() -> None:
    """The judgement can fail: every tenth update is forgotten."""

    class Forgetful(Limiter):
        made = 0

        def add_updates(self, policy: int, n: int) -> None:
            self.made += n
            super().add_updates(policy, n if self.made % 10 else 0)

    each = rule(F(1, 2), 50, 8)
    shared = limiter([each], 5_000, 2, kind=Forgetful)
    machine = Machine(shared, (1.0, 1.0), (0.1,), 4, same())
    machine.end_update = lambda policy: (
        shared.add_updates(policy, 1),
        setattr(machine, "learner_idle", True),
    )
    machine.run()
    totals = shared.totals()._replace(updates=(shared.made,))
    assert _ratio_error(totals, 0, each) > 0.01


def _ratio_error(totals: Totals, policy: int, each: LimiterRule) -> float:
    earned = (totals.inserts[policy] - each.learning_starts) * each.updates_per_insert
    return abs(float(totals.updates[policy] / earned) - 1)


# ---- anything ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Anything:
    """Speeds, sizes, faults; ``seed`` draws what happens when."""

    ratios: tuple[Fraction, ...]
    starts: int
    extra: Fraction
    chunk: int
    step_s: tuple[float, ...]
    update_s: tuple[float, ...]
    presence: tuple[float, ...]
    death: float
    no_successor: float
    pauses: tuple[tuple[int, float, float], ...]
    chunks: int
    sessions_s: tuple[float, ...]
    seed: int


@st.composite
def anything(draw: st.DrawFn) -> Anything:
    policies, actors = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    speed = st.sampled_from([0.001, 0.1, 1.0, 30.0])
    time = st.floats(0.0, 300.0)
    pause = st.tuples(st.integers(LEARNER, actors - 1), time, time)
    return Anything(
        ratios=tuple(draw(st.fractions(F(1, 20), 4, max_denominator=20)) for _ in range(policies)),
        starts=draw(st.sampled_from([0, 1, 7, 60])),
        extra=draw(st.sampled_from([F(0), F(1, 3), F(40)])),
        chunk=draw(st.integers(1, 12)),
        step_s=tuple(draw(speed) for _ in range(actors)),
        update_s=tuple(draw(speed) for _ in range(policies)),
        presence=tuple(draw(st.sampled_from([0.0, 0.02, 0.5, 1.0])) for _ in range(policies)),
        death=draw(st.sampled_from([0.0, 0.05, 0.4])),
        no_successor=draw(st.sampled_from([0.0, 0.5])),
        pauses=tuple(draw(st.lists(pause, max_size=4))),
        chunks=draw(st.integers(1, 60)),
        sessions_s=tuple(draw(st.lists(time, max_size=2))),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def runs_to_its_end(
    a: Anything, kind: type[Limiter] = Limiter, rule_kind: type[LimiterRule] = LimiterRule
) -> None:
    """Every session in turn; a resumed one begins with the counts of those before."""
    actors, rng = len(a.step_s), np.random.default_rng(a.seed)
    rules = [rule(ratio, a.starts, a.chunk * actors, a.extra, rule_kind) for ratio in a.ratios]
    total = a.chunk * a.chunks
    base = Totals(0, (0,) * len(rules), (0,) * len(rules), 0)
    for until_s in (*a.sessions_s, float("inf")):
        shared = limiter(rules, total, actors, kind=kind)
        shared.set_base(base.steps, base.inserts, base.updates)
        assert shared.totals() == base
        machine = Machine(
            shared,
            a.step_s,
            a.update_s,
            a.chunk,
            rng,
            a.presence,
            a.death,
            a.no_successor,
            a.pauses,
        )
        if machine.run(until_s):
            machine.check_end()
        base = shared.totals()._replace(reserved_steps=0)


@settings(max_examples=60, deadline=None)
@given(anything())
def test_anything_runs_to_its_end_within_the_band(a: Anything) -> None:
    runs_to_its_end(a)


FAULTS = [
    {"rule_kind": Unreserved},
    {"rule_kind": Eager},
    {"kind": CountsInPlace},
    {"kind": CountsAfterwards},
    {"kind": KeepsReservationsOfTheDead},
    {"kind": RetiresWithReservation},
    {"kind": NeverEnds},
    {"kind": SessionsMixed},
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_is_noticed(fault: dict[str, Any]) -> None:
    def is_noticed(a: Anything) -> bool:
        try:
            runs_to_its_end(a, **fault)
        except AssertionError:
            return True
        return False

    once = settings(max_examples=500, phases=[Phase.generate], deadline=None, database=None)
    find(anything(), is_noticed, settings=once, random=Random(0))


@pytest.mark.long
@settings(max_examples=3_000, deadline=None)
@given(anything())
def test_much_more_runs_to_its_end_within_the_band(a: Anything) -> None:
    runs_to_its_end(a)
