"""Games in which one agent moves at a time: what is acted on, and what is learned from it.

Observations of ``Moves`` say whose they are and how many moves have been made, and the game keeps
what every move brought until its agent's next turn. So every sample can be checked against what
happened, and every move that may be sampled must be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.envs.aec import Moves, MoveTag, Past
from tests.unit.workers.moves import ENV, TEAM, tags
from tests.unit.workers.one_actor import CHUNK_STEPS, Run, die_after, one_actor
from tuitrain.replay.layout import ABSENT, BOUNDARY, CUT
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.acting.ahead_lanes import AheadLanes

CHUNKS, GAMMA = 40, 0.5

CASES: dict[str, dict[str, Any]] = {
    "cycle": {},
    "frames-nstep-shared": {
        "n_frames": 3,
        "n_step": 3,
        "kwargs": {"p_leave": 0.05},
        "map": TEAM,
    },
    "skips": {"kwargs": {"turns": "skips", "p_leave": 0.03}},
    "random-nstep-masks-shared": {
        "n_step": 3,
        "kwargs": {"turns": "random", "masked": True},
        "map": "shared",
    },
}


def running(folder: Path, n_frames: int = 1, n_step: int = 1, **case: Any) -> Any:
    env = ENV | {"kwargs": case.get("kwargs", {}), "n_frames": n_frames}
    return one_actor(
        folder,
        n_frames=n_frames,
        n_step=n_step,
        env=env,
        policies={"map": case.get("map", "each")},
        replay={"capacity": 200},
    )


@pytest.fixture(params=CASES)
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    with running(tmp_path, **CASES[request.param]) as made:
        yield made


class Tally:
    """Samples compared; which were wrong in what; what kinds have been seen."""

    def __init__(self) -> None:
        self.compared = 0
        kinds = ("state", "next", "action", "return", "discount", "acted", "version", "legal")
        self.wrong = dict.fromkeys((*kinds, "stats", "inserts", "steps"), 0)
        self.terminated = self.truncated = 0
        self.sampled: set[tuple[int, int, int, int]] = set()


def play(run: Run, fault: Any = None, chunks: int = CHUNKS) -> Tally:
    """Let one actor play, and check what a reader samples of every policy."""
    blueprint, shared = run
    Moves.log.clear()
    actor = build_actor(blueprint, shared, 0)
    tally, acted = Tally(), {}
    for number, part in enumerate(actor.parts.values()):
        assert isinstance(part, AheadLanes)
        if fault is not None:
            fault(part)
        part.policy.act = noting(part.policy, acted, number)
    readers = {n: replay.reader(0, gamma=GAMMA) for n, replay in shared.replays.items()}
    rng, inserts, steps = np.random.default_rng(0), np.zeros(len(readers), np.int64), 0
    for chunk in range(chunks):
        for part in actor.parts.values():
            part.policy.version = chunk  # as if other weights had been pulled
        actor.begin(Ticket(0, (chunk,) * len(actor.parts)), CHUNK_STEPS)
        actor.rollout(CHUNK_STEPS, lambda: None)
        committed = actor.commit()
        inserts += committed.inserts
        steps += committed.steps
        for name, reader in readers.items():
            window = reader.pin()
            if not window.sampleable:
                continue
            batch = reader.sample(window, 100, rng)
            agents = blueprint.spec.policies[name].agents
            origin = reader.origin(batch)
            check(
                batch,
                [agents[lane % len(agents)] for lane in origin.lane.tolist()],
                shared.replays[name].columns.version[0],
                blueprint,
                acted,
                tally,
            )
            reader.unpin()
    count(actor, blueprint, inserts, steps, tally)
    actor.close()
    return tally


def noting(policy: Any, acted: dict[MoveTag, Any], number: int) -> Any:
    """Notes what was acted on, with which version."""
    act = policy.act

    def note(stack: Any, *args: Any) -> Any:
        for frames in stack:
            acted[tags(frames)[-1]] = np.ascontiguousarray(frames).tobytes(), policy.version
        return act(stack, *args)

    return note


def past_of(tag: MoveTag) -> Past:
    return Moves.log[tag.instance, tag.game, "abc"[tag.number]]


def check(
    batch: Any, agents: list[str], versions: Any, blueprint: Any, acted: Any, tally: Tally
) -> None:
    n_frames, n_step = blueprint.spec.n_frames, blueprint.config.learner.n_step
    orderly = blueprint.config.env.kwargs.get("turns", "cycle") == "cycle"
    wrong = tally.wrong
    for i, agent in enumerate(agents):
        tally.compared += 1
        state, after = tags(batch.state[i]), tags(batch.next_state[i])
        now = state[-1]
        past, own = past_of(now), now.own
        assert "abc"[now.number] == agent
        tally.sampled.add((now.instance, now.game, now.number, own))
        # with longer returns a game that ends ends them
        steps = min(n_step, len(past.actions) - own)
        gone = own + steps == len(past.actions)
        terminated = gone and past.terminated
        returns = sum(GAMMA**k * past.paid[own + k] for k in range(steps))
        wrong["state"] += state != [past.views[max(own - k, 0)] for k in range(n_frames)][::-1]
        told = [past.views[max(own + steps - k, 0)] for k in range(n_frames)][::-1]
        wrong["next"] += after != told
        wrong["action"] += batch.action[i] != past.actions[own]
        wrong["return"] += batch.returns[i] != np.float32(returns)
        wrong["discount"] += batch.discount[i] != (0.0 if terminated else GAMMA**steps)
        seen, version = acted[now]
        wrong["acted"] += seen != np.ascontiguousarray(batch.state[i]).tobytes()
        recorded = versions[batch.rows[i] % len(versions)]
        # of who waits the version may be that of the row it moved on to
        wrong["version"] += recorded != version if orderly else recorded < version
        if batch.legal is not None:
            wrong["legal"] += batch.legal[i].tolist() != [a != own % 5 for a in range(5)]
            then = after[-1].own
            wrong["legal"] += not terminated and batch.next_legal[i].tolist() != [
                a != then % 5 for a in range(5)
            ]
        tally.terminated += terminated
        tally.truncated += gone and not past.terminated


def count(actor: Any, blueprint: Any, inserts: Any, steps: int, tally: Tally) -> None:
    """Transitions, environment steps and episodes that were counted."""
    for (name, part), counted in zip(actor.parts.items(), inserts.tolist(), strict=True):
        agents = blueprint.spec.policies[name].agents
        mine = [past for (_, _, agent), past in Moves.log.items() if agent in agents]
        # the outcome of an agent's last move is not known before its next turn, nor written
        # before the one after that
        made = sum(len(past.paid) for past in mine)
        tally.wrong["inserts"] += not made - 2 * len(part._lane_ids) <= counted <= made
        ended = [past for past in mine if len(past.views) > len(past.actions) > 0]
        told = part.stats.take()
        tally.wrong["stats"] += not 0 <= len(ended) - told["episodes"] <= len(part._lane_ids)
        mean = np.mean([sum(past.paid) for past in ended])
        tally.wrong["stats"] += abs(told["return_mean"] - mean) > 0.1 * mean
    tally.wrong["steps"] += not max(inserts) / 12 <= steps <= sum(inserts)


def test_a_sample_is_what_a_move_brought_until_its_agents_next_turn(run: Run) -> None:
    tally = play(run)
    assert not any(tally.wrong.values()), tally.wrong
    assert tally.compared > 3_000
    assert min(tally.terminated, tally.truncated) > 50, "too few ends to prove anything about them"


def test_no_move_is_lost_where_agents_wait(tmp_path: Path) -> None:
    with running(tmp_path, kwargs={"turns": "random", "p_over": 0.02}) as run:
        _blueprint, shared = run
        play(run, chunks=6)
        held: set[tuple[int, int, int, int]] = set()
        for name, replay in shared.replays.items():
            reader = replay.reader(0, gamma=GAMMA)
            batch = reader.sample(reader.pin(), 4_000, np.random.default_rng(0))
            reader.unpin()
            held |= {tags(frames)[-1][:4] for frames in batch.state}
            flags = replay.columns.flags[0, : 6 * CHUNK_STEPS]
            absent = flags & ABSENT != 0
            assert absent.sum() > 10
            assert not replay.columns.action[0, : len(flags)][absent].any(), "always the same bytes"
            waited = (flags[:-1] & BOUNDARY != 0) & (flags[1:] & CUT != 0)
            assert waited.sum() > 10, f"nobody of {name} has waited"
        made = {
            (instance, game, "abc".index(agent), own)
            for (instance, game, agent), past in Moves.log.items()
            for own in range(len(past.paid))
            # known at the agent's next turn, which must have been before the last chunk's end
            if own < len(past.actions) - 2 or (instance, game + 1, agent) in Moves.log
        }
        assert made <= held
        assert len(made) > 150


def test_a_death_in_between_leaves_nothing_that_leads_into_the_successors_first_rows(
    tmp_path: Path,
) -> None:
    with running(tmp_path, kwargs={"p_leave": 0.05}) as (blueprint, shared):
        Moves.log.clear()
        die_after(2, (blueprint, shared), more=3)
        began = 2 * CHUNK_STEPS
        for replay in shared.replays.values():
            assert (replay.columns.flags[0, began] & CUT != 0).all()
            reader = replay.reader(0, gamma=GAMMA)
            batch = reader.sample(reader.pin(), 500, np.random.default_rng(0))
            reader.unpin()
            assert (batch.rows < began).any()
            assert (batch.rows > began).any()
            for state, after in zip(batch.state, batch.next_state, strict=True):
                now, then = tags(state)[-1], tags(after)[-1]
                assert (now.instance, now.game, now.own + 1) == (then.instance, then.game, then.own)


def told_a_row_late(part: AheadLanes) -> None:
    """What a cycle brings goes to the row it chooses for, not to the one before."""
    honest = part.cycle

    def cycle(row: int) -> Any:
        return honest(row)._replace(reward=part._reward[min(row + 1 - part._first, 4)])

    part.cycle = cycle


def windows_cross_waits(part: AheadLanes) -> None:
    """Rows that have moved on leave no cut."""
    add = part.writer.add_flags
    part.writer.add_flags = lambda row, flags: add(row, flags & ~np.uint8(CUT))


def waits_are_sampled(part: AheadLanes) -> None:
    """Rows that have moved on count as transitions."""
    part.writer.add_flags = lambda row, flags: None


def nothing_moves_on(part: AheadLanes) -> None:
    part.move_on = lambda row: None


def chunks_forget(part: AheadLanes) -> None:
    """The actions chosen at a chunk's end are not the next one's first."""
    honest = part.begin

    def begin(*given: int) -> None:
        honest(*given)
        part._action[0] = 0

    part.begin = begin


def version_of_the_row(part: AheadLanes) -> None:
    """A row's version is the one held when it was stepped, not when it was chosen."""
    honest = part.begin

    def begin(*given: int) -> None:
        honest(*given)
        part._version[0] = part.policy.version

    part.begin = begin


def ages_too_late(part: AheadLanes) -> None:
    """Frames are stacked with the ages of another row."""
    part._episodes.next_age = lambda: part._episodes._age


@pytest.mark.parametrize(
    ("case", "fault", "shows"),
    [
        ("cycle", told_a_row_late, {"return"}),
        ("random-nstep-masks-shared", windows_cross_waits, {"return"}),
        ("skips", waits_are_sampled, {"next", "return"}),
        ("skips", nothing_moves_on, {"state"}),
        ("cycle", chunks_forget, {"action"}),
        ("cycle", version_of_the_row, {"version"}),
        ("frames-nstep-shared", ages_too_late, {"acted"}),
    ],
)
def test_a_fault_is_caught(tmp_path: Path, case: str, fault: Any, shows: set[str]) -> None:
    with running(tmp_path, **CASES[case]) as run:
        try:
            wrong = play(run, fault).wrong
        except (KeyError, IndexError):
            return  # a sample of something that never happened
        assert shows <= {what for what, n in wrong.items() if n > 20}, wrong
