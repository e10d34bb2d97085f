"""The weights protocol at every store and every look, with the faults that it exists against.

Publications, pulls and look-ups are stopped at, or interrupted by others at, every access to the
shared memory that they make, counted by the arrays themselves: a step added later is covered too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from tests.unit.learning import weights_faults as faults
from tests.unit.learning.weights_doubles import (
    LAYOUT,
    AtLook,
    Blocked,
    Memory,
    TurnLock,
    Turns,
    interrupt,
    number_of,
    vector,
    watch,
)
from tests.unit.replay.stores import Died, Stores, die
from tuitrain.learning import weights
from tuitrain.learning.weights import ReadWriteLock, WeightStore

Kind = type[WeightStore]
READERS = 3
SLOTS = READERS + 2
BASE = 65_530  # the sixth version changes both halves of the word that holds it
HISTORY = 8


@pytest.fixture(autouse=True)
def _short_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "HISTORY_VERSIONS", HISTORY)


class Place:
    """Shared memory in which version BASE + n holds the number n, seen by 10 n updates."""

    def __init__(self, kind: Kind, published: int) -> None:
        self.kind = kind
        self.memory = Memory(READERS)
        self.lock = TurnLock()
        self.publisher = self.attach()
        self.publisher.initialise(BASE)
        self.stalled: dict[int, int] = {}
        for _ in range(published):
            self.publish(self.publisher)

    def attach(self, lock: ReadWriteLock | None = None) -> WeightStore:
        return self.kind(LAYOUT, self.memory, lock or self.lock, READERS)

    def publish(self, store: WeightStore) -> None:
        n = store.version() - BASE + 1
        assert store.publish(vector(n), 10 * n, 100 * n) == BASE + n

    def stall(self, reader: int) -> None:
        """A reader stops in the middle of its copy, for ever."""
        n = self.publisher.version() - BASE
        slot = int(self.publisher._header[0]) & 0xFFFF
        self.publisher._pins[reader] = slot
        self.stalled[slot] = n

    def pull(self, store: WeightStore, reader: int = 0) -> int:
        """What a reader gets, which must be one whole version; returns its number."""
        out = vector(-1)
        got = store.pull(reader, out)
        n = number_of(out)
        assert n is not None, f"a mixture: {out.view(np.int64)}"
        assert (got.version, got.updates, got.steps) == (BASE + n, 10 * n, 100 * n)
        return n

    def check_stalled(self) -> None:
        for slot, n in self.stalled.items():
            assert number_of(self.publisher._slots[slot]) == n, "overwritten while it is read"

    def check_history(self, store: WeightStore) -> None:
        newest = store.version() - BASE
        asked = np.arange(newest - 2 * HISTORY, newest + HISTORY)
        expected = np.where(
            (asked > max(0, newest + 1 - HISTORY)) & (asked <= newest), 10 * asked, -1
        )
        assert (store.updates_at_version(asked + BASE) == expected).all()


def publisher_deaths(kind: Kind) -> None:
    """At every store of a publication, before it and when half of it is made."""
    stores = 0
    while _publisher_dies(kind, stores, half=False):
        assert _publisher_dies(kind, stores, half=True)
        stores += 1
    assert stores >= 4


def _publisher_dies(kind: Kind, at: int, *, half: bool) -> bool:
    """Whether a publication has so many stores; checks what it and its successor leave."""
    place = Place(kind, 3)
    place.stall(1)
    place.publish(place.publisher)
    place.stall(2)
    place.publish(place.publisher)
    stores = Stores(place.memory.buf)
    watch(place.publisher, stores)
    died = False
    try:
        with stores.counting(at, half=half):
            place.publish(place.publisher)
    except Died:
        died = True
    reader = place.attach()
    last = place.pull(reader)
    assert last in (5, 6) if died else last == 6
    place.check_history(reader)
    successor = place.attach()
    for n in range(last + 1, last + 2 * SLOTS):
        place.publish(successor)
        assert place.pull(reader) == n
        place.check_history(reader)
    place.check_stalled()
    return died


def interrupted_pulls(kind: Kind) -> None:
    """At every look of a pull, by publications that go on and stop at every one of their stores."""
    look, looked = 0, True
    while looked:
        stop, stopped = 0, True
        while stopped:
            looked, stopped = _pull_is_interrupted(kind, look, stop)
            stop += 1
        look += 1
    assert look > 6


def _pull_is_interrupted(kind: Kind, look: int, stop: int) -> tuple[bool, bool]:
    """Whether a pull has so many looks, and publications that many stores."""
    place = Place(kind, 3)
    reader = place.attach()
    stores = Stores(place.memory.buf)
    watch(place.publisher, stores)
    stopped = False

    def publish() -> None:
        nonlocal stopped
        try:
            with suppress(Blocked), stores.counting(stop):
                for _ in range(SLOTS + 1):
                    place.publish(place.publisher)
        except Died:
            stopped = True

    others = AtLook(look, publish)
    interrupt(reader, others)
    others()  # before the pull begins
    assert place.pull(reader) >= 3
    assert (np.asarray(reader._pins) == -1).all(), "a pin is kept"
    return others.looks > look, stopped


def reader_deaths(kind: Kind) -> None:
    """At every look of a pull; its slot is lost until its successor pulls, and nothing else is."""
    look = 0
    while _reader_dies(kind, look):
        look += 1
    assert look > 6


def _reader_dies(kind: Kind, look: int) -> bool:
    """Whether a pull has so many looks."""
    place = Place(kind, 3)
    place.stall(2)
    dying = place.attach()
    # the dead store nothing any more, in no `finally` either
    interrupt(dying, AtLook(look, die, again=True))
    died = False
    try:
        place.pull(dying, 1)
    except Died:
        died = True
    successor = place.attach()
    for n in range(4, 4 + 2 * SLOTS):
        place.publish(place.publisher)
        assert place.pull(place.publisher) == n
    assert place.pull(successor, 1) == n
    place.check_stalled()
    assert (place.publisher._pins[:2] == -1).all()
    return died


def versions(kind: Kind) -> None:
    """They grow by one, whatever the update counts and publishers, also across a resume."""
    memory, lock = Memory(READERS), TurnLock()
    last = 0
    for _ in range(3):  # a run and two resumes of it: new memory, the version from a checkpoint
        store = kind(LAYOUT, memory, lock, READERS)
        store.initialise(last)
        assert (store.version(), store.published()) == (last, False)
        for updates in (0, 10, 10, 7, 8):  # without an update, and after a loss of updates
            for publisher in (store, kind(LAYOUT, memory, lock, READERS)):
                last += 1
                assert publisher.publish(vector(last), updates) == last
                out = vector(-1)
                assert store.pull(0, out).version == store.version() == last
                assert number_of(out) == last


def interrupted_look_ups(kind: Kind) -> None:
    """Update counts of past versions while versions are published: right, or not known."""
    for published in (2, HISTORY - 1, HISTORY + 3):
        for more in range(1, HISTORY + 2):
            look = 0
            while _look_up_is_interrupted(kind, published, look, more):
                look += 1
            assert look > 3


def _look_up_is_interrupted(kind: Kind, published: int, look: int, more: int) -> bool:
    """Whether a look-up looks at its memory so many times."""
    place = Place(kind, published)

    def publish() -> None:
        for _ in range(more):
            place.publish(place.publisher)

    reader, others = place.attach(), AtLook(look, publish)
    interrupt(reader, others)
    asked = np.arange(-2, published + HISTORY + 3)
    found = reader.updates_at_version(asked + BASE)
    assert ((found == -1) | ((asked > 0) & (found == 10 * asked))).all()
    place.check_history(place.attach())
    return others.looks > look


def any_order(kind: Kind, orders: int = 250) -> None:
    """Two readers and a publisher in random orders; a second publisher when the first has died."""
    for seed in range(orders):
        _one_order(kind, np.random.default_rng(seed))


def _one_order(kind: Kind, rng: np.random.Generator) -> None:
    place = Place(kind, 2)
    turns = Turns(rng)

    def pulls(reader: int) -> None:
        store, last = place.attach(turns.lock), 2
        interrupt(store, turns.next)
        for _ in range(3):
            n = place.pull(store, reader)
            assert n >= last
            last = n

    def publishes() -> None:
        store = place.attach(turns.lock)
        interrupt(store, turns.next)
        for _ in range(6):
            place.publish(store)

    turns.add(lambda: pulls(0))
    turns.add(lambda: pulls(1))
    turns.run(turns.add(publishes), int(rng.integers(30)), then=publishes)
    place.check_history(place.attach())


CHECKS: dict[str, Callable[[Kind], None]] = {
    check.__name__: check
    for check in (
        publisher_deaths,
        interrupted_pulls,
        reader_deaths,
        versions,
        interrupted_look_ups,
        any_order,
    )
}

FAULTS: dict[Kind, str] = {
    faults.CurrentMovedFirst: "any_order publisher_deaths interrupted_pulls",
    faults.FactsAfterwards: "any_order publisher_deaths interrupted_pulls",
    faults.PinsIgnored: "any_order publisher_deaths interrupted_pulls",
    faults.CurrentOverwritten: "any_order publisher_deaths interrupted_pulls",
    faults.PinnedTooLate: "any_order interrupted_pulls",
    faults.PinnedWithoutLock: "any_order interrupted_pulls",
    faults.NeverUnpinned: "interrupted_pulls reader_deaths",
    faults.VersionIsUpdateCount: "versions",
    faults.VersionFromMemory: "versions",
    faults.WordInHalves: "publisher_deaths",
    faults.HistoryForgotten: "publisher_deaths",
    faults.HistoryLookedUpAtOnce: "interrupted_look_ups",
    faults.HistoryLookedUpTooLate: "interrupted_look_ups",
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_protocol_holds(check: str) -> None:
    CHECKS[check](WeightStore)


@pytest.mark.long
def test_the_protocol_holds_in_many_orders() -> None:
    any_order(WeightStore, 12_000)


@pytest.mark.parametrize(
    ("kind", "check"), [(kind, c) for kind, checks in FAULTS.items() for c in checks.split()]
)
def test_a_fault_is_noticed(kind: Kind, check: str) -> None:
    with pytest.raises(AssertionError):
        CHECKS[check](kind)
