"""The live audit's time: a share of it at most, without bursts."""

from __future__ import annotations

import pytest

from tests.unit.replay.audited import Place
from tuitrain.replay.audit import AFTERMATH, MOST_CREDIT_S, Budget
from tuitrain.replay.auditor import Auditor


def test_at_most_the_share_of_the_time_is_spent() -> None:
    budget = Budget(0.01, now=100.0)
    now, spent = 100.0, 0.0
    for _ in range(10_000):
        now += 0.001
        if budget.allows(now):
            budget.spend(0.0002)
            now += 0.0002
            spent += 0.0002 * AFTERMATH
    assert 0.009 < spent / (now - 100.0) < 0.0101
    assert budget.spent_share(now) == pytest.approx(spent / (now - 100.0))


def test_a_share_of_nothing_permits_nothing_and_a_rest_permits_no_burst() -> None:
    none, some = Budget(0.0, 0.0), Budget(0.5, 0.0)
    assert not none.allows(1e9)
    assert some.allows(1e9)
    some.spend(MOST_CREDIT_S)
    assert not some.allows(1e9)


def test_work_begins_when_there_is_time_for_some_of_it_and_goes_on_until_it_is_spent() -> None:
    budget = Budget(0.01, 0.0, enough_s=0.005)
    assert not budget.allows(0.4)
    assert budget.allows(0.6)
    budget.spend(0.004 / AFTERMATH)
    assert budget.allows(0.6)
    budget.spend(0.004 / AFTERMATH)
    assert not budget.allows(0.6)
    assert not budget.allows(0.9)
    assert budget.allows(1.5)


def test_what_is_given_may_be_spent_at_any_time_but_once() -> None:
    budget = Budget(0.01, 0.0, given_s=1.0)
    assert budget.allows(10.0)
    budget.spend(0.9 / AFTERMATH)
    assert budget.allows(10.0)
    budget.spend(0.2 / AFTERMATH)
    assert not budget.allows(10.1)
    assert budget.allows(30.0)
    budget.spend(MOST_CREDIT_S)
    assert not budget.allows(30.0)


def test_an_auditor_stops_when_its_time_is_spent() -> None:
    place = Place()
    place.write(8)
    ticks = iter(range(10**6))
    # every look at the clock is a millisecond later, and there is time for two or three rows
    auditor = Auditor(
        place.shape,
        place.store.columns,
        place.reader._index,
        0.2,
        lambda: next(ticks) / 1000,
    )
    window = place.reader.pin()
    batch = place.reader.sample(window, 500, place.rng)
    auditor.take_in(0)
    while not auditor.due():
        pass
    auditor.look(batch)
    assert 1 <= auditor.counts.audited <= 3
    while not auditor.due():
        pass
    auditor.look(batch)
    assert 2 <= auditor.counts.audited <= 6
    assert auditor.record()["audit_share"] > 0
