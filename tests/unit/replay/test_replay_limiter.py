"""The rate limiter: its arithmetic, its counts, and what it refuses."""

from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import pytest

from tests.unit.replay.helpers import NullLock
from tests.unit.replay.limiter_world import Stores, limiter, new_table, rule
from tuitrain.replay.limiter import InsertsEnded, Limiter, Ticket, Totals
from tuitrain.replay.limiter_rule import LimiterRule

F = Fraction


# ---- the rule ------------------------------------------------------------------------------------


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


def test_a_changed_ratio_leaves_the_past_as_it_was() -> None:
    """▣ Neither a burst of updates nor a debt of them: all that was due stays due, to one."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        ratio, other = (F(int(a), int(b)) for a, b in rng.integers(1, 20, (2, 2)))
        before = rule(ratio, int(rng.integers(0, 9)), 4, F(int(rng.integers(0, 9))))
        inserts = int(rng.integers(0, 1000))
        made = max(0, before.updates_due(inserts, 0) - int(rng.integers(0, 3)))
        after = before.changed(other, inserts)
        assert abs(after.updates_due(inserts, made) - before.updates_due(inserts, made)) <= 1
        more = int(rng.integers(0, 50))
        grown = after.updates_due(inserts + more, made) - after.updates_due(inserts, made)
        ahead = min(more, max(0, inserts + more - before.learning_starts))
        assert abs(grown - ahead * other) <= 1 + ratio
        back = after.changed(ratio, inserts)
        assert abs(back.max_lead_updates - before.max_lead_updates) == 0
        assert back.learning_starts == max(inserts, before.learning_starts)


def test_a_changed_ratio_holds_in_every_process_at_once() -> None:
    table = new_table(2, 1)
    rules = [rule(F(1), 2, 8), rule(F(1, 2), 2, 8)]
    one, other = (limiter(rules, 1000, 1, table) for _ in range(2))
    one.commit(0, [12, 12], 12)
    one.add_updates(0, 11)
    assert [other.updates_due(p) for p in (0, 1)] == [0, 6]
    assert one.change_ratio(0, F(2))
    assert not one.change_ratio(0, F(2)), "it is that already"
    assert one.ratios() == other.ratios() == ((F(2), 12, 10), (F(1, 2), 2, 0))
    one.commit(0, [1, 1], 1)
    assert [other.updates_due(p) for p in (0, 1)] == [2, 6]
    assert other.change_ratio(1, F(1, 4))
    late = limiter(rules, 1000, 1, table)
    for process in (late, one, other):
        assert process.ratios() == ((F(2), 12, 10), (F(1, 4), 13, 5))
    assert one.rules == late.rules == other.rules
    fresh = limiter(rules, 1000, 1)
    fresh.set_counts(13, [13, 13], [11, 0])
    fresh.set_ratio(0, F(2), 12, 10)
    assert fresh.updates_due(0) == 2


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
        Limiter(np.zeros((2, 2), np.int64), shared.rules, NullLock(), 1, 2)
    strided = np.zeros((6, 6), np.int64)[:, ::2]
    with pytest.raises(ValueError, match="needs a contiguous table of"):
        Limiter(strided, shared.rules, NullLock(), 1, 2)
    with pytest.raises(TypeError, match="attach its segment"):
        pickle.dumps(shared)


def test_a_commit_without_reservation_counts() -> None:
    """Schedules with rounds bound their actors by the round."""
    shared = limiter([rule(F(1), 0, 8)], 100, 1)
    shared.commit(0, [50], 60)
    assert shared.totals() == Totals(60, (50,), (0,), 0)


def test_a_death_anywhere_in_a_commit_counts_the_chunk_once_or_not_at_all() -> None:
    seen, store, died = [], 0, True
    while died:
        shared = limiter([rule(F(1), 0, 8), rule(F(1), 0, 8)], 100, 2)
        shared.reserve(1, [4, 4], 4)
        shared.commit(1, [4, 3], 4)
        shared.reserve(0, [4, 4], 4)
        died = Stores(shared).dies(store, lambda s=shared: s.commit(0, [2, 1], 3))
        shared.cancel(0)
        seen.append(shared.totals())
        assert shared.reserve(0, [1, 1], 1)
        store += 1
    before, after = Totals(4, (4, 3), (0, 0), 0), Totals(7, (6, 4), (0, 0), 0)
    # five words of counts, the word that makes them current, three of the reservation
    assert seen == [before] * 6 + [after] * 4
