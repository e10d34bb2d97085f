"""Holders and waiters that are killed or stopped, at every place of the table."""

from __future__ import annotations

import pytest

from tests.unit.replay.lock_model import Agent, Model, State
from tests.unit.replay.lock_processes import SHORT_S, Start, in_the_gate, mine, until, use, where
from tuitrain.replay.lock import LockFile, LockTimeout
from tuitrain.replay.turnstile import DATA, READ, WRITE, Place

TABLES = {"read": READ, "write": WRITE}
MODES = ["read", "write"]


def in_the_way(mode: str, place: Place, asked: str) -> bool:
    """Whether, by the model, somebody at a place is in the way of another who asks."""
    model = Model((Agent(0, TABLES[mode], True), Agent(1, TABLES[asked], True)), stops=False)
    state: State | None = model.start()
    while state is not None and state.places[0] is not place:
        state = model.goes(state, 0)
    while state is not None and state.places[1] is not Place.INSIDE:
        state = model.goes(state, 1)
    return state is None


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("mode", MODES)
def test_killed_anywhere_it_holds_nothing(
    file: LockFile, start: Start, mode: str, place: Place
) -> None:
    victim, lock = start(by_steps=True), mine(file)
    victim.channels[0].go_to(place, TABLES[mode])
    victim.kill()
    use(lock, "write")
    use(lock, "read")
    assert lock.stats().waits == 0, "the next got it at once"


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("mode", MODES)
def test_stopped_anywhere_it_is_named_or_not_in_the_way(
    file: LockFile, start: Start, mode: str, place: Place
) -> None:
    victim, lock = start(by_steps=True), mine(file)
    victim.channels[0].go_to(place, TABLES[mode])
    victim.stop()
    for asked in MODES:
        if in_the_way(mode, place, asked):
            with pytest.raises(LockTimeout) as error:
                use(lock, asked)
            assert error.value.holder_pid == victim.pid
            assert in_the_gate(lock) == (victim.pid if place in IN_THE_GATE else None)
        else:
            use(lock, asked)
    victim.wake()
    if place is not Place.OUTSIDE:
        now = where(TABLES[mode], place)
        while now != "outside":
            now = victim.do("leave" if now == "inside" else "go")
    use(lock, "write")


IN_THE_GATE = (Place.AT_DATA, Place.THROUGH)


def test_where_somebody_is_in_the_way() -> None:
    """What the test above expects, said in full."""
    holds = {Place.AT_DATA, Place.THROUGH, Place.INSIDE, Place.LEAVING}
    for place in Place:
        assert in_the_way("write", place, "read") == (place in holds)
        assert in_the_way("write", place, "write") == (place in holds)
        assert in_the_way("read", place, "write") == (place in holds)
        assert in_the_way("read", place, "read") == (place in IN_THE_GATE)


@pytest.mark.parametrize("asked", MODES)
def test_killed_while_waiting_in_the_gate(file: LockFile, start: Start, asked: str) -> None:
    """One holds the data, one waits in the gate behind it; both die, the gate first."""
    holder, waiter, lock = start(), start(), mine(file)
    assert holder.do("enter read") == "inside"
    waiter.channels[0].say("enter write")
    until(lambda: in_the_gate(lock) == waiter.pid)
    with pytest.raises(LockTimeout) as error:
        use(lock, "read")
    assert error.value.holder_pid == holder.pid, "the culprit is behind the one in the gate"
    waiter.kill()
    use(lock, "read")
    with pytest.raises(LockTimeout):
        use(lock, "write")
    holder.kill()
    use(lock, asked)


@pytest.mark.parametrize(("held", "waits"), [("read", "write"), ("write", "read")])
def test_everyone_behind_a_stopped_holder_names_it(
    file: LockFile, start: Start, held: str, waits: str
) -> None:
    """So does the one in the gate, and whoever comes after that; then all go on."""
    holder, waiter, lock = start(), start(), mine(file)
    impatient = start(SHORT_S)
    assert holder.do(f"enter {held}") == "inside"
    holder.stop()
    assert impatient.do(f"enter {waits}") == f"outside timeout {holder.pid}"
    waiter.channels[0].say(f"enter {waits}")
    until(lambda: in_the_gate(lock) == waiter.pid)
    for asked in MODES:
        assert impatient.do(f"enter {asked}") == f"outside timeout {holder.pid}"
        with pytest.raises(LockTimeout) as error:
            use(lock, asked)
        assert error.value.holder_pid == holder.pid
    holder.wake()
    assert holder.do("leave") == "outside"
    assert waiter.channels[0].hear() == "inside"
    assert waiter.do("leave") == "outside"
    use(lock, "write")


def test_a_stopped_waiter_is_named_once_the_holder_is_gone(file: LockFile, start: Start) -> None:
    holder, waiter, lock = start(), start(), mine(file)
    assert holder.do("enter read") == "inside"
    waiter.channels[0].say("enter write")
    until(lambda: in_the_gate(lock) == waiter.pid)
    waiter.stop()
    assert holder.do("leave") == "outside"
    with pytest.raises(LockTimeout) as error:
        use(lock, "read")
    assert error.value.holder_pid == waiter.pid
    waiter.wake()
    assert waiter.channels[0].hear() == "inside"


@pytest.mark.parametrize("waits_for", ["data", "gate"])
def test_a_thread_behind_a_waiting_thread_names_who_that_waits_for(
    start: Start, waits_for: str
) -> None:
    holder = start(by_steps=True)
    holder.channels[0].go_to(Place.INSIDE if waits_for == "data" else Place.AT_DATA, WRITE)
    holder.stop()
    behind = start(SHORT_S, by_steps=True, threads=2)
    first, second = behind.channels
    at = Place.AT_DATA if waits_for == "data" else Place.AT_GATE
    first.go_to(at, READ)
    assert second.do("enter read") == where(READ, Place.AT_THREAD)
    assert second.do("go") == where(READ, Place.AT_THREAD)
    assert second.do("late") == f"outside timeout {behind.pid}", "the first does not wait yet"
    assert first.do("go") == where(READ, at)
    assert second.do("enter read") == where(READ, Place.AT_THREAD)
    assert second.do("go") == where(READ, Place.AT_THREAD)
    assert second.do("late") == f"outside timeout {holder.pid}"
    holder.kill()
    while first.do("go") != "inside":
        pass
    assert second.do("enter read") == where(READ, Place.AT_THREAD)
    assert second.do("go") == where(READ, Place.AT_THREAD)
    assert second.do("late") == f"outside timeout {behind.pid}", "the first waits no more"


@pytest.mark.parametrize("mode", MODES)
def test_a_timeout_leaves_nothing_behind(file: LockFile, start: Start, mode: str) -> None:
    holder, impatient, lock = start(), start(SHORT_S), mine(file)
    assert holder.do("enter write") == "inside"
    assert impatient.do(f"enter {mode}") == f"outside timeout {holder.pid}"
    assert in_the_gate(lock) is None
    assert holder.do("leave") == "outside"
    use(lock, "write")
    assert impatient.do(f"enter {mode}") == "inside"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("place", [Place.AT_GATE, Place.AT_DATA, Place.THROUGH])
def test_an_exception_on_the_way_in_leaves_nothing_behind(
    file: LockFile, start: Start, place: Place, when: str
) -> None:
    """As of a signal handler: it may come right after the kernel has granted a request."""
    victim, lock = start(by_steps=True), mine(file)
    victim.channels[0].go_to(place, WRITE)
    assert victim.do(when) == where(WRITE, Place.LEAVING)
    assert victim.do("go") == where(WRITE, Place.LAST)
    use(lock, "write")
    assert victim.do("go") == "outside broken"
    victim.channels[0].go_to(Place.INSIDE, WRITE)


def test_a_lock_that_the_kernel_keeps_is_noticed(
    file: LockFile, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above can fail: here nobody kills the holder, or the gate is not given back."""
    victim, lock = start(by_steps=True), mine(file)
    victim.channels[0].go_to(Place.INSIDE, READ)
    use(lock, "read")
    with pytest.raises(LockTimeout):
        use(lock, "write")
    victim.kill()
    use(lock, "write")
    assert lock.stats().waits == 1
    monkeypatch.setattr(lock, "_free_all", lock._free_gate)
    use(lock, "read")
    other = start(SHORT_S)
    assert other.do("enter read") == "inside"
    assert other.do("leave") == "outside"
    assert other.do("enter write").startswith("outside timeout"), f"byte {DATA} is held"
