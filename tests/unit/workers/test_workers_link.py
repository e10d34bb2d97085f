"""A worker's link alone: waits that sleep, units of work that count."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection

import pytest

from tuitrain.workers import messages
from tuitrain.workers.link import LOOK_S, Link, PipeClosed, StopRequested

HEARTBEAT_S = 0.02


class Ends:
    """A link with the other ends of its pipes."""

    def __init__(self) -> None:
        self.control, mine = multiprocessing.Pipe(duplex=True)
        doorbell, self.bell = multiprocessing.Pipe(duplex=False)
        self.link = Link(mine, doorbell, {}, HEARTBEAT_S)

    def stop_at_beat(self, number: int) -> None:
        """Send `Stop` when so many heartbeats have been sent, whatever the machine's speed."""
        left = [number]

        def beat() -> None:
            left[0] -= 1
            if left[0] == 0:
                self.control.send_bytes(messages.encode(messages.Stop(command_id=1)))

        self.link.before_beat = beat


def received(control: Connection) -> list[messages.FromWorker]:
    out = []
    while control.poll(0):
        out.append(messages.decode_from_worker(control.recv_bytes()))
    return out


@pytest.mark.parametrize("peers_live", [True, False])
def test_waits_wake_for_heartbeats_only_also_when_nobody_can_ring_any_more(
    peers_live: bool,
) -> None:
    ends = Ends()
    if not peers_live:
        ends.bell.close()
    ends.stop_at_beat(8)
    with pytest.raises(StopRequested):
        ends.link.wait(lambda: False, "nothing")
    # one per heartbeat, the closed doorbell and the command
    assert ends.link.wakeups <= 11


def test_a_ring_wakes_a_wait() -> None:
    ends = Ends()
    ends.link.before_beat = lambda: ends.bell.send_bytes(b"")
    looks: list[bool] = []

    def ready() -> bool:
        looks.append(True)
        return len(looks) > 2

    ends.link.wait(ready, "a ring")
    assert len(looks) == 3


def test_advance_counts_a_unit_of_work_and_beats() -> None:
    ends = Ends()
    ends.link.advance()
    ends.link.advance()
    beat, *_ = received(ends.control)
    assert isinstance(beat, messages.Heartbeat)
    assert beat.progress == 1
    assert ends.link.counters.progress == 2


def test_advance_looks_at_the_pipes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("tuitrain.workers.link.time.monotonic", lambda: now)
    ends = Ends()
    looks: list[float] = []
    monkeypatch.setattr(ends.link, "tick", lambda: looks.append(now))
    for _ in range(10):
        ends.link.advance()
        now += 0.4 * LOOK_S
    assert looks == pytest.approx([100 + i * 0.4 * LOOK_S for i in (0, 3, 6, 9)])
    assert ends.link.counters.progress == 10


def test_a_pipe_that_something_here_has_closed_is_told_apart_from_a_dead_supervisor() -> None:
    ends = Ends()
    ends.link._control.close()
    with pytest.raises(PipeClosed, match="descriptors that it has not opened"):
        ends.link.tick()
    ends = Ends()
    ends.control.close()
    with pytest.raises(StopRequested):
        ends.link.tick()


def test_a_fork_ends_at_its_next_look_and_says_nothing() -> None:
    ends = Ends()
    pid = os.fork()
    if pid == 0:
        ends.link.abandon()
        try:
            ends.link.tick()
        except (PipeClosed, StopRequested):
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert received(ends.control) == []
    ends.link.advance()  # the worker itself goes on
    assert received(ends.control)
