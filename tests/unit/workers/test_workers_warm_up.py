"""No row is overwritten before the first update, though one actor alone does all the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.replay.helpers import Memory, NullLock
from tests.unit.replay.limiter_world import new_table
from tuitrain.config.schema import Config
from tuitrain.envs.spec import EnvSpec, PolicySpec
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.layout import HEADER_TAIL, ReplayLayout
from tuitrain.replay.limiter import Limiter
from tuitrain.workers.blueprint import Blueprint

NAME = "default"


def blueprint(**tables: dict[str, Any]) -> Blueprint:
    spec = EnvSpec("e", 1, {NAME: PolicySpec((1,), "uint8", 2, ("agent",))})
    config = Config.model_validate({"run": {"total_steps": 10**9}, **tables})
    return Blueprint("0", "/r", "/l", config, spec, {})


def warm_up(run: Blueprint, episode_steps: int, *, dies: bool) -> tuple[int, int]:
    """Rows that actor 0 makes before it must wait for the first update, and its shard's tail.

    Args:
        episode_steps: transitions of every episode; its end takes one row more.
        dies: the other actors die with a chunk reserved, and only actor 0's goes on.
    """
    rule, layout = run.limiter_rule(NAME), run.replay_layout(NAME)
    memory: Any = Memory(layout.nbytes)
    replay = PolicyReplay(layout, memory, [NullLock()] * run.n_actors)
    replay.initialise()
    table = new_table(1, run.n_actors)
    shared = Limiter(table, [rule], NullLock(), 10**9, run.n_actors)
    writer, rows, chunk = replay.writer(0), 0, run.config.actors.chunk_steps
    asked = run.chunk_inserts(NAME)
    for other in range(1, run.n_actors):
        if dies and shared.reserve(other, [asked], asked):
            shared.cancel(other)
    while shared.reserve(0, [asked], asked):
        writer.begin(chunk)
        made = range(rows, rows + chunk)
        rows += chunk
        writer.commit(rows)
        brought = sum(row % (episode_steps + 1) < episode_steps for row in made)
        shared.commit(0, [brought * run.lanes(NAME)], brought * run.lanes(NAME))
    assert shared.updates_due(0) >= 1, "nothing but the learner may be waited for"
    return rows, int(replay.columns.header[0, HEADER_TAIL])


@st.composite
def sizes(draw: st.DrawFn) -> Blueprint:
    starts = draw(st.integers(1, 600))
    actors = {
        "count": draw(st.integers(1, 3)),
        "envs_per_actor": draw(st.integers(1, 6)),
        "chunk_steps": draw(st.integers(1, 20)),
    }
    replay = {
        "learning_starts": starts,
        "capacity": starts + draw(st.integers(0, 300)),
        "max_lead": draw(st.sampled_from([1.0, 1.5, 4.0])),
    }
    learner = {"replay_ratio": draw(st.sampled_from([0.01, 0.3, 1.0, 4.0])), "batch_size": 1}
    return blueprint(actors=actors, replay=replay, learner=learner)


@settings(max_examples=100, deadline=None)
@given(sizes(), st.sampled_from([1, 2, 30]), st.booleans())
def test_one_actor_alone_overwrites_nothing(run: Blueprint, episode_steps: int, dies: bool) -> None:
    rows, tail = warm_up(run, episode_steps, dies=dies)
    assert tail == 0
    assert rows * run.lanes(NAME) >= run.config.replay.learning_starts


def test_a_ring_for_the_capacity_alone_would_be_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the rows for warm-up are for: a shard's share of the capacity is not enough."""
    tables: dict[str, dict[str, Any]] = {
        "actors": {"count": 4, "envs_per_actor": 2, "chunk_steps": 8},
        "replay": {"learning_starts": 400, "capacity": 400},
    }
    assert warm_up(blueprint(**tables), 1, dies=True)[1] == 0
    monkeypatch.setattr(ReplayLayout, "ring_rows", property(_share))
    assert warm_up(blueprint(**tables), 1, dies=True)[1] > 0


def _share(layout: ReplayLayout) -> int:
    share = int(np.ceil(layout.capacity / (layout.n_actors * layout.lanes)))
    return share + share // 4 + layout.n_frames + layout.n_step + 2 * (layout.chunk_steps + 1)
