"""The rate limiter: every reachable state of small settings, and the ratio it keeps."""

from __future__ import annotations

import heapq
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from tests.unit.replay.helpers import NullLock, stop_at
from tuitrain.replay.limiter import InsertsEnded, Limiter, LimiterRule, Ticket, Totals

F = Fraction
NONE = Fraction(0)
Table = np.ndarray[tuple[int, int], np.dtype[np.int64]]


def rule(ratio: Fraction, starts: int, chunks: int, extra: Fraction = NONE) -> LimiterRule:
    return LimiterRule(ratio, starts, 1 + chunks * ratio + extra, chunks)


def new_table(n_policies: int, n_actors: int) -> Table:
    return np.zeros(Limiter.table_shape(n_policies, n_actors), np.int64)


def limiter(
    rules: Sequence[LimiterRule], total_steps: int, n_actors: int, table: Table | None = None
) -> Limiter:
    table = new_table(len(rules), n_actors) if table is None else table
    return Limiter(table, rules, NullLock(), total_steps, n_actors)  # type: ignore[arg-type]


# ---- every reachable state ---------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """Actors that reserve ``chunk`` steps and bring 0, 1 or ``chunk`` transitions of a policy."""

    ratios: tuple[Fraction, ...]
    starts: int
    chunk: int
    actors: int
    total: int
    extra: Fraction = NONE


class Explorer:
    """Walks a real ``Limiter`` through all states that actors, learner and deaths can bring."""

    def __init__(self, setting: Setting, rules: Sequence[LimiterRule] | None = None) -> None:
        s = setting
        self.s = s
        self.rules = rules or [rule(r, s.starts, s.chunk * s.actors, s.extra) for r in s.ratios]
        self.table = new_table(len(self.rules), s.actors)
        self.limiter = limiter(self.rules, s.total, s.actors, self.table)
        self.problems: set[str] = set()
        self.granted = self.drained = 0

    def state(self) -> bytes:
        """The table without what cannot matter: which of the two committed rows is current."""
        table = self.table
        return table[1 + table[0, 0]].tobytes() + table[4:].tobytes()

    def moves(self) -> Iterator[tuple[str, int, tuple[int, ...]]]:
        policies, actors = len(self.rules), self.s.actors
        held = [bool(self.table[4 + a, 0]) for a in range(actors)]
        for a in range(actors):
            if held[a]:
                for brought in product((0, 1, self.s.chunk), repeat=policies):
                    yield "commit", a, brought
                yield "die", a, ()
            else:
                yield "reserve", a, ()
        for p in range(policies):
            if self.limiter.updates_due(p):
                yield "update", p, ()

    def run(self, move: tuple[str, int, tuple[int, ...]]) -> bool:
        """Whether the move changed anything."""
        kind, who, brought = move
        if kind == "commit":
            self.limiter.commit(who, brought, self.s.chunk)
        elif kind == "die":
            self.limiter.cancel(who)
        elif kind == "update":
            self.limiter.add_updates(who, 1)
        else:
            try:
                return (
                    self.limiter.reserve(who, [self.s.chunk] * len(self.rules), self.s.chunk)
                    is not None
                )
            except InsertsEnded:
                return False
        return True

    def judge(self, progress: bool) -> None:
        totals = self.limiter.totals()
        reserved = self.table[4:, 1 : 1 + len(self.rules)].sum(axis=0)
        for p, each in enumerate(self.rules):
            lead = (totals.inserts[p] - each.learning_starts) * each.updates_per_insert
            lead -= totals.updates[p]
            if totals.updates[p] and lead < -1:
                self.problems.add("the learner is ahead of the data")
            if lead + int(reserved[p]) * each.updates_per_insert > 1 + self.s.extra + (
                self.s.chunk * self.s.actors * each.updates_per_insert
            ):
                self.problems.add("the actors are ahead by more than the band")
            if totals.updates[p] and totals.inserts[p] < each.learning_starts:
                self.problems.add("updates before learning_starts")
        if self.limiter.ended():
            if any(map(self.limiter.updates_due, range(len(self.rules)))):
                return
            self.drained += 1
        elif not progress:
            self.problems.add("deadlock")

    def explore(self) -> int:
        """Depth first over every state; returns how many there are."""
        start = self.table.copy()
        seen = {self.state()}
        stack = [start]
        while stack:
            at = stack.pop()
            self.table[:] = at
            progress = False
            for move in list(self.moves()):
                self.table[:] = at
                if self.run(move):
                    # a death alone is no progress: nothing may depend on one
                    progress |= move[0] != "die"
                    self.granted += move[0] == "reserve"
                    key = self.state()
                    if key not in seen:
                        seen.add(key)
                        stack.append(self.table.copy())
            self.table[:] = at
            self.judge(progress)
        return len(seen)


SETTINGS = [
    Setting((ratio,), starts, chunk, actors, total)
    for ratio in (F(1, 3), F(1, 2), F(1), F(3, 2), F(2))
    for starts in (0, 1, 3)
    for chunk, actors, total in ((1, 1, 6), (2, 1, 8), (1, 3, 7), (3, 2, 12), (2, 2, 8))
]
SETTINGS += [
    Setting((F(1),), 2, 2, 2, 8, extra=F(7, 2)),
    Setting((F(1, 2), F(1)), 1, 1, 2, 5),
    Setting((F(1), F(2, 3)), 0, 2, 1, 8),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_no_state_deadlocks_or_leaves_the_band(setting: Setting) -> None:
    explorer = Explorer(setting)
    states = explorer.explore()
    assert explorer.problems == set()
    assert states > setting.total
    assert explorer.granted > 0
    assert explorer.drained > 0, "when inserts end the learner makes what is due and is done"


def test_a_band_that_is_too_narrow_is_refused() -> None:
    for ratio, chunks in ((F(1), 4), (F(1, 3), 6), (F(5, 2), 1)):
        rule(ratio, 3, chunks)
        with pytest.raises(ValueError, match="wait for each other for ever"):
            rule(ratio, 3, chunks, extra=F(-1, 100))


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_a_narrower_band_would_deadlock(limit: int) -> None:
    """What the refusal is for; around zero it stops already in warm-up."""
    setting = Setting((F(1),), 3, 2, 2, 8)
    narrow = rule(F(1), 3, 4)
    object.__setattr__(narrow, "_limit", limit - 2)
    explorer = Explorer(setting, [narrow])
    explorer.explore()
    assert "deadlock" in explorer.problems


def test_without_reservations_actors_overshoot() -> None:
    """What reservations are for: checking first and committing later leaves the band."""

    class Unreserved(LimiterRule):
        def may_insert(self, inserts: int, reserved: int, updates: int, n: int) -> bool:
            return super().may_insert(inserts, 0, updates, n)

    setting = Setting((F(1),), 0, 1, 3, 7)
    explorer = Explorer(setting, [Unreserved(F(1), 0, F(4), 3)])
    explorer.explore()
    assert "the actors are ahead by more than the band" in explorer.problems


def test_a_learner_that_rounds_up_is_caught() -> None:
    class Eager(LimiterRule):
        def updates_due(self, inserts: int, updates: int) -> int:
            return super().updates_due(inserts + 2, updates)

    setting = Setting((F(1, 2),), 1, 1, 2, 6)
    explorer = Explorer(setting, [Eager(F(1, 2), 1, F(2), 2)])
    explorer.explore()
    assert "the learner is ahead of the data" in explorer.problems


@pytest.mark.parametrize(
    ("ratio", "starts", "chunks"), [(F(0), 0, 1), (F(-1), 0, 1), (F(1), -1, 1), (F(1), 0, 0)]
)
def test_values_out_of_range_are_refused(ratio: Fraction, starts: int, chunks: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        LimiterRule(ratio, starts, F(100), chunks)


def test_rule_arithmetic_is_that_of_fractions() -> None:
    """The integers inside agree with the definition, on values where floats would not."""
    rng = np.random.default_rng(0)
    for _ in range(2000):
        ratio = F(int(rng.integers(1, 50)), int(rng.integers(1, 50)))
        starts, chunks = int(rng.integers(0, 40)), int(rng.integers(1, 30))
        extra = F(int(rng.integers(0, 90)), int(rng.integers(1, 9)))
        each = rule(ratio, starts, chunks, extra)
        scale = int(rng.choice([100, 10**12]))
        inserts, reserved, n = (int(x) for x in rng.integers(0, scale, 3))
        updates = int((inserts + reserved - starts) * ratio) + int(rng.integers(-60, 60))
        updates = max(0, updates)
        lead = (inserts + reserved + n - starts) * ratio - updates
        assert each.may_insert(inserts, reserved, updates, n) == (lead <= each.max_lead_updates)
        ready = inserts >= max(1, starts)
        due = (inserts - starts) * ratio // 1 + 1 - updates if ready else 0
        assert each.updates_due(inserts, updates) == max(0, due)


# ---- the shared counts -------------------------------------------------------------------------


def test_tickets_count_what_was_committed_and_the_sessions_before() -> None:
    shared = limiter([rule(F(1), 0, 8, F(90)), rule(F(1, 2), 0, 8, F(90))], 100, 2)
    shared.set_base(10, [7, 8], [3, 4])
    assert shared.reserve(0, [4, 2], 4) == Ticket(10, (7, 8))
    assert shared.reserve(1, [4, 2], 4) == Ticket(10, (7, 8))
    shared.commit(0, [3, 1], 3)
    assert shared.totals() == Totals(13, (10, 9), (3, 4), 4)
    assert shared.reserve(0, [4, 2], 4) == Ticket(13, (10, 9))
    shared.add_updates(1, 2)
    assert shared.totals() == Totals(13, (10, 9), (3, 6), 8)


def test_rules_look_at_this_session_alone() -> None:
    shared = limiter([rule(F(1), 4, 4)], 100, 1)
    shared.set_base(50, [50], [20])
    assert shared.updates_due(0) == 0
    shared.reserve(0, [4], 4)
    shared.commit(0, [4], 4)
    assert shared.updates_due(0) == 1, "the first one, as soon as learning_starts is reached"
    shared.reserve(0, [4], 4)
    shared.commit(0, [3], 4)
    assert shared.updates_due(0) == 4


def test_all_policies_must_allow_a_reservation() -> None:
    shared = limiter([rule(F(1), 0, 2), rule(F(1), 0, 2, F(50))], 100, 1)
    for _ in range(2):
        assert shared.reserve(0, [1, 1], 1)
        shared.commit(0, [1, 1], 1)
    assert shared.reserve(0, [2, 2], 2) is None
    assert shared.totals().reserved_steps == 0, "refused: nothing may be reserved"
    shared.add_updates(0, 1)
    assert shared.reserve(0, [2, 2], 2)


def test_the_end() -> None:
    shared = limiter([rule(F(1), 0, 8, F(90))], 8, 2)
    shared.reserve(0, [4], 4)
    shared.reserve(1, [4], 4)
    shared.commit(0, [4], 4)
    with pytest.raises(InsertsEnded, match="8 steps"):
        shared.reserve(0, [4], 4)
    assert not shared.ended(), "a reserved chunk may still bring transitions"
    shared.commit(1, [2], 4)
    assert shared.ended()
    assert shared.updates_due(0) == 7


def test_steps_of_earlier_sessions_count_towards_the_end() -> None:
    shared = limiter([rule(F(1), 0, 8, F(90))], 8, 1)
    shared.set_base(8, [8], [8])
    with pytest.raises(InsertsEnded):
        shared.reserve(0, [4], 4)
    assert shared.ended()


def test_a_death_returns_the_reservation_and_a_successor_makes_it() -> None:
    shared = limiter([rule(F(1), 0, 8)], 8, 2)
    shared.reserve(0, [4], 4)
    shared.reserve(1, [4], 4)
    shared.commit(1, [4], 4)
    shared.cancel(0)
    assert shared.totals() == Totals(4, (4,), (0,), 0)
    assert not shared.ended()
    assert shared.reserve(0, [4], 4)


def test_when_every_actor_is_gone_inserts_have_ended() -> None:
    shared = limiter([rule(F(1), 0, 8)], 100, 2)
    shared.reserve(1, [4], 4)
    shared.retire(0)
    assert not shared.ended()
    shared.retire(1)
    assert shared.ended()
    assert shared.totals().reserved_steps == 0
    shared.reserve(0, [4], 4)
    assert not shared.ended(), "an actor that reserves again is back"


def test_misuse_is_refused() -> None:
    shared = limiter([rule(F(1), 0, 8)], 100, 2)
    shared.reserve(0, [4], 4)
    with pytest.raises(RuntimeError, match="actor 0 has a reservation already"):
        shared.reserve(0, [4], 4)
    for inserts, steps in (([5], 4), ([4], 5), ([-1], 4)):
        with pytest.raises(ValueError, match="reserved 4 and"):
            shared.commit(0, inserts, steps)
    assert shared.totals() == Totals(0, (0,), (0,), 4)
    with pytest.raises(ValueError, match="2 counts given for 1"):
        shared.reserve(1, [4, 4], 4)
    with pytest.raises(ValueError, match=r"actor 1 asks for 9 .* policy 0 .* provides for 8"):
        shared.reserve(1, [9], 4)
    with pytest.raises(ValueError, match="-1 updates"):
        shared.add_updates(0, -1)
    with pytest.raises(ValueError, match="needs a contiguous table of"):
        Limiter(np.zeros((2, 2), np.int64), shared.rules, NullLock(), 1, 2)  # type: ignore[arg-type]
    strided = np.zeros((6, 6), np.int64)[:, ::2]
    with pytest.raises(ValueError, match="needs a contiguous table of"):
        Limiter(strided, shared.rules, NullLock(), 1, 2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="attach its segment"):
        pickle.dumps(shared)


def test_a_commit_without_reservation_counts() -> None:
    """Schedules with rounds bound their actors by the round."""
    shared = limiter([rule(F(1), 0, 8)], 100, 1)
    shared.commit(0, [50], 60)
    assert shared.totals() == Totals(60, (50,), (0,), 0)


def test_a_death_anywhere_in_a_commit_counts_the_chunk_once_or_not_at_all() -> None:
    line, seen = 0, set()
    stopped = True
    while stopped:
        line += 1
        shared = limiter([rule(F(1), 0, 8), rule(F(1), 0, 8)], 100, 2)
        shared.reserve(1, [4, 4], 4)
        shared.commit(1, [4, 3], 4)
        shared.reserve(0, [4, 4], 4)
        stopped = stop_at(
            line,
            "replay/limiter.py",
            lambda s=shared: s.commit(0, [2, 1], 3),  # type: ignore[misc]
        )
        shared.cancel(0)
        seen.add(shared.totals())
        assert shared.reserve(0, [1, 1], 1)
    assert seen == {Totals(4, (4, 3), (0, 0), 0), Totals(7, (6, 4), (0, 0), 0)}


# ---- the ratio ---------------------------------------------------------------------------------


@dataclass
class Machine:
    """Actors and a learner on a virtual clock."""

    shared: Limiter
    actor_s: float
    update_s: tuple[float, ...]
    chunk: int
    seed: int = 0
    deaths: float = 0.0
    presence: tuple[float, ...] = (1.0,)

    def run(self) -> Totals:
        """Until inserts have ended and the learner has made what was due."""
        shared, rng = self.shared, np.random.default_rng(self.seed)
        policies = len(shared.rules)
        idle_actors, learner_idle = set(range(shared.n_actors)), True
        events: list[tuple[float, int, int]] = []  # time, actor or -1, policy
        now = 0.0
        while True:
            for actor in sorted(idle_actors):
                try:
                    ticket = shared.reserve(actor, [self.chunk] * policies, self.chunk)
                except InsertsEnded:
                    continue
                if ticket:
                    idle_actors.discard(actor)
                    spent = self.actor_s * self.chunk * (0.5 + rng.random())
                    heapq.heappush(events, (now + spent, actor, 0))
            if learner_idle:
                due = [p for p in range(policies) if shared.updates_due(p)]
                if due:
                    policy = due[int(rng.integers(len(due)))]
                    heapq.heappush(events, (now + self.update_s[policy], -1, policy))
                    learner_idle = False
            if not events:
                assert shared.ended()
                return shared.totals()
            now, who, policy = heapq.heappop(events)
            if who < 0:
                shared.add_updates(policy, 1)
                learner_idle = True
            else:
                if rng.random() < self.deaths:
                    shared.cancel(who)
                else:
                    brought = [int(rng.binomial(self.chunk, 0.9 * p)) for p in self.presence]
                    shared.commit(who, brought, self.chunk)
                idle_actors.add(who)


SPEEDS = {"slow actor": (10.0, 0.1), "slow learner": (0.01, 10.0), "even": (1.0, 1.0)}


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("ratio", [F(1, 8), F(1, 3), F(1), F(5, 2)])
@pytest.mark.parametrize("deaths", [0.0, 0.3])
def test_the_ratio_is_kept_whoever_is_slow(speed: str, ratio: Fraction, deaths: float) -> None:
    """Within 1 %, judged once the band is under 1 % of the updates."""
    actor_s, update_s = SPEEDS[speed]
    chunk, actors, starts = 4, 3, 100
    each = rule(ratio, starts, chunk * actors)
    total = int(110 * each.max_lead_updates / ratio / F(9, 10)) + starts * 2
    shared = limiter([each], total, actors)
    totals = Machine(shared, actor_s, (update_s,), chunk, deaths=deaths).run()
    inserts, updates = totals.inserts[0] - starts, totals.updates[0]
    assert updates * 0.01 >= each.max_lead_updates
    assert abs(updates / (inserts * float(ratio)) - 1) < 0.01
    assert totals.steps >= total


@pytest.mark.parametrize("speeds", [(0.01, 10.0), (10.0, 0.01), (1.0, 1.0)])
def test_a_policy_that_is_often_absent_keeps_its_ratio_too(speeds: tuple[float, float]) -> None:
    each = rule(F(1, 2), 50, 8)
    shared = limiter([each, each], 30_000, 2)
    totals = Machine(shared, 0.5, speeds, 4, presence=(1.0, 0.1)).run()
    for inserts, updates in zip(totals.inserts, totals.updates, strict=True):
        assert updates * 0.01 >= each.max_lead_updates
        assert abs(updates / ((inserts - 50) * 0.5) - 1) < 0.01
    assert totals.inserts[1] < totals.inserts[0] / 5
