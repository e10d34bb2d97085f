"""Events on the curves: which make a mark, where it lies, and which do not count any more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tui.fixtures import snapshot
from tests.tui.harness import seated
from tuitrain.protocol import EventLine, RecordLine
from tuitrain.tui.marks import Mark, mark_of
from tuitrain.tui.store import Store
from tuitrain.tui.view import ChartChoices, View
from tuitrain.tui.widgets.charts import RETURN
from tuitrain.tui.widgets.curves import drawer, ticks


def event(text: str, time_s: float = 0.0, **fields: Any) -> EventLine:
    return EventLine(**{"seq": int(time_s), "time_s": time_s, "level": "info",
                        "source": "supervisor", "text": text, **fields})  # fmt: skip


def record(i: int, **fields: Any) -> dict[str, Any]:
    """One a second; 10 steps and one update each."""
    return {"kind": "train", "policy": "p", "actor": 0, "steps": 10 * i, "updates": i,
            "wall_s": float(i), "time_s": 1000.0 + i, "return_mean": 1.0, **fields}  # fmt: skip


def store_of(n: int) -> Store:
    store = Store()
    for i in range(n):
        store.add_record(record(i))
    return store


def ticks_of(store: Store, **choices: Any) -> list[tuple[str, float]]:
    view = View(curves=store.curves(), times=store.times(), marks=store.marks(),
                charts=ChartChoices(**choices))  # fmt: skip
    return [(tick.word, tick.x) for tick in ticks(view)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("resync: default: 2 of 2 hold version 97000", "resync"),
        ("a3 is back after 1.4 s (restart 1): from the newest weights", "restart"),
        ("resumes at 60,000 environment steps", "resume"),
        ("the session before was killed, with its supervisor; resumes at 5 environment steps: "
         "7 steps that came after this checkpoint are made again", "resume"),
        ("checkpoint: ckpt-0000095000", None),
        ("somebody resumes at home", None),
    ],
)  # fmt: skip
def test_which_events_made_a_mark_before_they_said_so(text: str, kind: str | None) -> None:
    found = mark_of(event(text))
    assert (found and found.kind) == kind
    assert mark_of(event(text, source="you")) is None, "a line of this screen's own"


def test_a_resync_that_failed_makes_none() -> None:
    assert mark_of(event("resync: a0 did not answer", level="warning")) is None


@pytest.mark.parametrize("kind", ["resync", "restart", "resume"])
def test_an_event_says_itself_which_mark_it_makes(kind: str) -> None:
    found = mark_of(event("in whatever words", 7.0, data={"mark": kind}))
    assert found is not None
    assert (found.kind, found.time_s) == (kind, 7.0)
    for other in ("of another version", ["resync"], None):
        assert mark_of(event("in whatever words", data={"mark": other})) is None


def test_a_mark_lies_where_training_was_then() -> None:
    store = store_of(20)
    store.add_event(event("resync: all hold version 3", 1007.5))
    assert ticks_of(store) == [("resync", 70)]
    assert ticks_of(store, x_axis="updates") == [("resync", 7)]
    assert ticks_of(store, x_axis="wall_s") == [("resync", 7)]


def test_a_mark_before_anything_was_measured_lies_nowhere() -> None:
    store = store_of(3)
    store.add_event(event("resync: all hold version 3", 999.0))
    assert ticks_of(store) == []
    assert ticks_of(Store()) == []


@pytest.mark.parametrize("events_first", [False, True])
def test_a_resumed_run_is_marked_where_it_goes_on(events_first: bool) -> None:
    """What happened in the stretch that is trained again does not count, whenever it is read."""
    rewind = {"kind": "rewind", "steps": 50, "updates": {"p": 5}, "session": 1, "why": "resumed",
              "time_s": 1030.0, "wall_s": 0.1}  # fmt: skip
    said = [event("resync: early", 1003.0), event("resync: lost", 1008.0),
            event("resumes at 50 environment steps", 1029.0)]  # fmt: skip
    store = store_of(10)
    for line in said if events_first else ():
        store.add_event(line)
    store.add_record(rewind)
    for line in said:
        store.add_event(line)
    store.add_record(record(6, time_s=1031.0, wall_s=1.0))
    assert sorted(ticks_of(store)) == [("resume", 50), ("resync", 30)]


def test_a_learner_that_alone_went_back_leaves_the_marks_of_before() -> None:
    store = store_of(10)
    store.add_event(event("resync: all hold version 3", 1007.0))
    store.add_record(
        {
            "kind": "rewind",
            "steps": 95,
            "updates": {"p": 4},
            "session": 0,
            "why": "learner failed, killed by SIGKILL",
            "time_s": 1009.5,
            "wall_s": 9.5,
        }
    )
    assert ticks_of(store) == [("resync", 70), ("rewind", 90)]
    assert ticks_of(store, x_axis="updates") == [], "updates were lost where both were"


def test_marks_are_bounded() -> None:
    store = store_of(3)
    for i in range(5000):
        store.add_event(event("resync: x", 1001.0 + i, seq=i))
    assert len(store.marks()) == 500
    assert store.marks()[-1] == Mark("resync", 6000.0)


def test_a_chart_without_curves_has_no_marks() -> None:
    view = View(snapshot=snapshot(), marks=(Mark("resync", 5.0),))
    assert len(drawer(RETURN)(view, 60, 10)) == 10


@pytest.mark.parametrize("ascii_only", [False, True])
async def test_marks_are_on_the_screen_with_their_names(ascii_only: bool) -> None:
    async with seated(ascii_only=ascii_only) as seat:
        newest = seat.app.store.times()["default"].newest
        assert newest is not None
        seat.run.say(event("resync: default: 2 of 2 hold version 9", newest - 400, seq=900))
        seat.run.say(RecordLine(record={"kind": "rewind", "policy": "", "steps": 12_000_000,
                                        "updates": {}, "why": "a0 failed, killed", "session": 0,
                                        "time_s": newest + 9, "wall_s": 1300.0}))  # fmt: skip
        await seat.shows("< rewind" if ascii_only else "« rewind")
        drawn = await seat.panel("chart-return")
        assert "≡ resync" in drawn.splitlines()[0]
        assert sum("┊" in line for line in drawn.splitlines()) > 3
        if ascii_only:
            assert (await seat.text()).isascii()
