"""The lock's table, in every interleaving; and other tables, each of which the checker refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.replay.lock_model import WAITING, Agent, Model, explore, starves
from tuitrain.replay.turnstile import (
    BLAME,
    DATA,
    GATE,
    READ,
    WRITE,
    Place,
    Request,
    Table,
    Want,
)


def model(who: str, read: Table = READ, write: Table = WRITE, **options: Any) -> Model:
    """Processes with a space between; R and W are threads that read and write."""
    tables = {"R": read, "W": write}
    return Model(
        tuple(
            Agent(number, tables[letter], letter == "W")
            for number, letters in enumerate(who.split())
            for letter in letters
        ),
        **options,
    )


# ---- the table of the code ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "stops", "states"),
    [
        ("R R W", True, 1000),
        ("R W W", True, 1000),
        ("RW W", True, 500),
        ("RR W", True, 500),
        ("R R R W", False, 1000),
        ("RW RW", False, 1000),
        pytest.param("R R R W", True, 90_000, marks=pytest.mark.long),
        pytest.param("R W W W", True, 70_000, marks=pytest.mark.long),
        pytest.param("RW R W", True, 10_000, marks=pytest.mark.long),
    ],
)
def test_every_state_is_right(who: str, stops: bool, states: int) -> None:
    report = explore(model(who, stops=stops))
    assert report.problems == {}
    assert report.places == set(Place)
    assert report.states > states


@pytest.mark.parametrize("who", ["R R W", "R W W", "R R R W", "RW W", "RW R"])
def test_who_waits_gets_in(who: str) -> None:
    """Writers and readers: no circle of others' comings and goings goes on for ever without."""
    lock = model(who)
    for agent in range(len(lock.agents)):
        assert not starves(lock, agent, "strong", WAITING)


@pytest.mark.parametrize("who", ["R R W", "R W W", "RW W"])
def test_in_the_gate_it_takes_no_luck(who: str) -> None:
    """From there on it is enough that a request which stays possible is granted some time."""
    lock = model(who)
    for agent in range(len(lock.agents)):
        assert not starves(lock, agent, "weak", (Place.AT_DATA,))


def test_before_the_gate_it_does() -> None:
    """The known limit: whoever always looks when the gate is taken never gets in."""
    assert starves(model("R R W"), 2, "weak", (Place.AT_GATE,))


# ---- other tables -------------------------------------------------------------------------------


def with_want(table: Table, want: Want) -> Table:
    step = table[Place.AT_DATA]
    return {**table, Place.AT_DATA: step._replace(request=Request(want, DATA))}


def altered(place: Place, **fields: Any) -> dict[str, Table]:
    """Both tables with fields of one step changed."""
    return {
        name: {**table, place: table[place]._replace(**fields)}
        for name, table in (("read", READ), ("write", WRITE))
    }


NO_GATE = altered(Place.AT_THREAD, then=Place.AT_DATA)
GATE_FREED_FIRST = {
    name: {
        **table,
        Place.AT_GATE: table[Place.AT_GATE]._replace(then=Place.THROUGH),
        Place.THROUGH: table[Place.THROUGH]._replace(then=Place.AT_DATA),
        Place.AT_DATA: table[Place.AT_DATA]._replace(then=Place.INSIDE),
    }
    for name, table in (("read", READ), ("write", WRITE))
}
DATA_FIRST = {
    name: {
        **table,
        Place.AT_THREAD: table[Place.AT_THREAD]._replace(then=Place.AT_DATA),
        Place.AT_DATA: table[Place.AT_DATA]._replace(then=Place.AT_GATE),
        Place.AT_GATE: table[Place.AT_GATE]._replace(then=Place.THROUGH),
    }
    for name, table in (("read", READ), ("write", WRITE))
}
THREAD_FREED_FIRST = {
    name: {
        **table,
        Place.INSIDE: table[Place.INSIDE]._replace(then=Place.LAST),
        Place.LAST: table[Place.LAST]._replace(then=Place.LEAVING),
        Place.LEAVING: table[Place.LEAVING]._replace(then=Place.OUTSIDE),
    }
    for name, table in (("read", READ), ("write", WRITE))
}
NO_THREAD_LOCK = altered(Place.AT_THREAD, request=None)
FREES_DATA_ONLY = altered(Place.LEAVING, request=Request(Want.FREE, DATA))
FREES_GATE_ONLY = altered(Place.LEAVING, request=Request(Want.FREE, GATE))


@pytest.mark.parametrize(
    ("who", "options", "problem"),
    [
        ("R R W", NO_GATE, "a waiting writer is overtaken"),
        ("R R W", GATE_FREED_FIRST, "a waiting writer is overtaken"),
        ("R W", {"write": DATA_FIRST["write"]}, "deadlock"),
        ("R W", {"write": with_want(WRITE, Want.SHARED)}, "a writer is not alone"),
        ("R R", {"read": with_want(READ, Want.EXCLUSIVE)}, "readers do not share"),
        # The gate is kept as long as the data.
        ("R R", altered(Place.AT_DATA, then=Place.INSIDE), "readers do not share"),
        # Clearing up frees the data only, as after a successful entry.
        ("R W", FREES_DATA_ONLY, "something is left behind"),
        ("R W", FREES_DATA_ONLY, "deadlock"),
        ("R W", FREES_GATE_ONLY, "something is left behind"),
        # Giving up frees nothing, or only the thread lock.
        ("R W", altered(Place.AT_GATE, overdue=Place.OUTSIDE), "something is left behind"),
        ("R W", altered(Place.AT_DATA, overdue=Place.LAST), "something is left behind"),
        # An exception after the gate was granted clears up as if it had not been.
        ("R W", altered(Place.AT_GATE, broken=Place.LAST), "something is left behind"),
        ("R W", altered(Place.THROUGH, broken=Place.OUTSIDE), "something is left behind"),
        ("R W", altered(Place.AT_DATA, overdue=None), "waits for ever"),
        ("R W", altered(Place.AT_GATE, overdue=None), "waits for ever"),
        ("RW W", altered(Place.AT_THREAD, overdue=None), "waits for ever"),
        ("RW", NO_THREAD_LOCK, "inside without the lock"),
        ("RW", NO_THREAD_LOCK, "a writer is not alone"),
        ("RR", NO_THREAD_LOCK, "threads of a process are inside together"),
        ("RW", THREAD_FREED_FIRST, "inside without the lock"),
        # A lock that the kernel does not take back, as multiprocessing.Lock.
        ("R W", {"locks_die": False}, "something is left behind"),
        ("R W", {"locks_die": False}, "deadlock"),
        # Whoever stands in the gate is taken for the culprit; the gate is not looked at.
        ("R W W", {"blame": BLAME[::-1]}, "the wrong process is blamed"),
        ("R W", {"blame": BLAME[:1]}, "the wrong process is blamed"),
    ],
)
def test_another_protocol_is_refused(who: str, options: dict[str, Any], problem: str) -> None:
    assert problem in explore(model(who, **options)).problems


@pytest.mark.parametrize("tables", [NO_GATE, GATE_FREED_FIRST, DATA_FIRST])
def test_without_a_gate_that_is_held_readers_starve_a_writer(tables: dict[str, Table]) -> None:
    assert starves(model("R R W", **tables), 2, "strong", WAITING)
    assert not starves(model("R W", **tables), 1, "strong", WAITING), "one reader cannot overlap"


def test_the_shortest_way_to_a_problem_is_told() -> None:
    report = explore(model("R W", write=with_want(WRITE, Want.SHARED)))
    way = report.problems["a writer is not alone"]
    assert [move.event for move in way] == ["goes"] * 10
    assert way[-1].after.places == (Place.INSIDE, Place.INSIDE)
