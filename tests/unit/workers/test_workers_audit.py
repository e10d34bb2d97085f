"""The live audit of real actors: honest ones of every kind pass, faults have their own names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parity.cases import ENVIRONMENTS
from tests.unit.workers.one_actor import CHUNK_STEPS, N_FRAMES, SEQUENCES, Run, one_actor
from tests.unit.workers.test_workers_stacks import OwnMemory
from tuitrain.metrics.phases import Phases
from tuitrain.replay.auditor import Auditor
from tuitrain.replay.layout import BOUNDARY, CUT, HEADER_AUDITS
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.acting.episodes import Episodes
from tuitrain.workers.acting.row_audit import RowAudit

ALWAYS = 1e9
CHUNKS = 80
MOVES = {"id": "tests.envs.aec:Moves"}
TAGS = {"id": "tests.envs:TurnTags", "kwargs": {"p_end": 0.2}}

HONEST: dict[str, dict[str, Any]] = {
    "floats": {"env": {"id": "CartPole-v1"}},
    "floats-stack-nstep": {"env": {"id": "CartPole-v1"}, "n_frames": 3, "n_step": 5},
    "images": {**ENVIRONMENTS["image"], "n_frames": 2, "n_step": 3},
    "sequences": SEQUENCES,
    "two-policies": {**ENVIRONMENTS["two-policies"], "n_frames": 2},
    "several-agents": {"env": {"id": "tests.envs:SequenceAgents"}, "n_frames": 4, "n_step": 3},
    "turns": {"env": TAGS, "n_frames": 3, "n_step": 2, "policies": {"map": "each"}},
    "turns-shared": {"env": TAGS, "n_frames": 2, "policies": {"map": "shared"}},
    "moves": {"env": MOVES, "policies": {"map": "each"}},
    "moves-stack-masks": {
        "env": MOVES | {"kwargs": {"p_leave": 0.05, "masked": True}},
        "n_frames": 3,
        "n_step": 3,
        "replay": {"capacity": 200},
        "policies": {"map": "shared"},
    },
    "moves-that-wait": {
        "env": MOVES | {"kwargs": {"turns": "random"}},
        "n_step": 3,
        "policies": {"map": "each"},
    },
}


class Watch:
    """An actor that notes something in every chunk, and readers with time for everything."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rng = np.random.default_rng(0)
        self.readers = {n: r.reader(0, 0.9, None, ALWAYS) for n, r in run[1].replays.items()}
        self.actor = self.hire()

    def hire(self) -> Actor:
        self.actor = build_actor(*self.run, 0)
        self.actor.audit = RowAudit(
            self.actor.parts, self.run[0].spec.n_frames, bool(self.actor._ahead), ALWAYS
        )
        return self.actor

    def play(self, chunks: int = CHUNKS, after: Callable[[int], None] = lambda chunk: None) -> None:
        """Act, and look at what is drawn after every chunk."""
        for chunk in range(chunks):
            self.act(chunk)
            after(chunk)
            self.look()

    def act(self, chunk: int) -> None:
        actor = self.actor
        actor.pull()
        actor.begin(Ticket(0, (chunk,) * len(actor.parts)), CHUNK_STEPS)
        actor.rollout(CHUNK_STEPS, lambda: None)
        actor.commit()

    def look(self) -> None:
        for reader in self.readers.values():
            window = reader.pin()
            if window.sampleable:
                auditor_of(reader).look(reader.sample(window, 300, self.rng))
            reader.unpin()

    def counts(self) -> dict[str, int]:
        """All policies' together; what is wrong, and `audited`."""
        every = [vars(auditor_of(reader).counts) for reader in self.readers.values()]
        return {name: sum(counts[name] for counts in every) for name in every[0]}

    def only(self, name: str) -> bool:
        """Whether this was wrong, and nothing else was."""
        found = self.counts()
        del found["audited"]
        return found.pop(name) > 0 and not any(found.values())


def auditor_of(reader: Any) -> Auditor:
    found: Auditor = reader.auditor
    return found


@pytest.fixture
def sequences(tmp_path: Path) -> Any:
    with one_actor(tmp_path, **SEQUENCES) as run:
        yield run


# ---- honest ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_actor_passes(tmp_path: Path, kind: str) -> None:
    """Through several wraps of the ring, and with a successor amid its episodes."""
    with one_actor(tmp_path, **HONEST[kind]) as run:
        watch = Watch(run)
        watch.play(CHUNKS // 2)
        watch.actor.close()
        watch.hire()
        watch.play(CHUNKS // 2)
        watch.actor.close()
        found = watch.counts()
        assert found.pop("audited") > 300, "hardly anything was looked at"
        news = [text for reader in watch.readers.values() for text in auditor_of(reader).news()]
        assert not any(found.values()), news
        rests = lanes = 0
        for replay in run[1].replays.values():
            columns = replay.columns
            assert columns.header[0, 0] > 0, "the ring has not wrapped"
            noted = columns.audits[0, : columns.header[0, HEADER_AUDITS]]
            lanes += len(set(noted["lane"].tolist()))
            rests += (noted["history"] < 0).sum()
        assert lanes > len(run[1].replays)
        # in games played in cycles nobody acts at an end or while it is absent
        assert rests > 0 or kind.startswith("moves"), "ends must be noted too"


def test_rows_that_moved_on_are_noted_as_none(tmp_path: Path) -> None:
    with one_actor(tmp_path, **HONEST["moves-that-wait"]) as run:
        watch = Watch(run)
        moved, known = 0, dict.fromkeys(run[1].replays, 0)
        for chunk in range(CHUNKS):
            watch.act(chunk)
            for name, replay in run[1].replays.items():
                columns, count = replay.columns, int(replay.columns.header[0, HEADER_AUDITS])
                if count == known[name]:
                    continue
                known[name] = count
                last = columns.audits[0, (count - 1) % len(columns.audits[0])]
                row, lane, rows = int(last["row"]), int(last["lane"]), replay.layout.ring_rows
                flags = columns.flags[0, :, lane]
                if flags[row % rows] & BOUNDARY and flags[(row + 1) % rows] & CUT:
                    moved += 1
                    assert last["history"] == -1
        assert moved > 3
        watch.actor.close()


def test_every_place_of_a_chunk_has_its_turn(sequences: Run) -> None:
    watch = Watch(sequences)
    columns = sequences[1].replays["default"].columns
    seen = set()
    for chunk in range(60):
        watch.act(chunk)
        last = columns.audits[0, (int(columns.header[0, HEADER_AUDITS]) - 1) % 128]
        seen.add((int(last["row"]) % CHUNK_STEPS, int(last["lane"])))
    watch.actor.close()
    assert len(seen) == CHUNK_STEPS * columns.action.shape[2]


def test_a_share_of_nothing_notes_nothing(tmp_path: Path) -> None:
    with one_actor(tmp_path, **SEQUENCES, checks={"audit_share": 0.0}) as run:
        actor = build_actor(*run, 0)
        actor.pull()
        actor.begin(Ticket(0, (0,)), CHUNK_STEPS)
        actor.rollout(CHUNK_STEPS, lambda: None)
        actor.commit()
        actor.close()
        assert run[1].replays["default"].columns.header[0, HEADER_AUDITS] == 0


def test_the_time_it_takes_is_a_phase_of_its_own(sequences: Run) -> None:
    watch = Watch(sequences)
    actor, phases = watch.actor, Phases()
    actor.pull()
    actor.begin(Ticket(0, (0,)), CHUNK_STEPS)
    actor.rollout(CHUNK_STEPS, lambda: None, phases)
    actor.commit(phases)
    actor.close()
    assert phases.read()["audit"] > 0
    assert phases.enter("act") == "commit"


# ---- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "memory",
    [
        pytest.param({"clear_every": CHUNK_STEPS}, id="cleared-every-chunk"),
        pytest.param({}, id="never-cleared"),
        pytest.param({"shift": 1}, id="a-row-behind"),
    ],
)
def test_a_memory_of_the_actors_own_is_a_disagreement(
    sequences: Run, memory: dict[str, int]
) -> None:
    watch = Watch(sequences)
    (part,) = watch.actor.parts.values()
    own, act, row = OwnMemory(**memory), part.policy.act, 0

    def misled(stack: Any, *args: Any) -> Any:
        nonlocal row
        row += 1
        return act(own(row - 1, stack), *args)

    part.policy.act = misled  # type: ignore[method-assign]
    watch.play()
    watch.actor.close()
    assert watch.only("stack_disagreements")


def forget_boundaries(after: Any) -> Any:
    return after._replace(flags=after.flags & ~np.uint8(BOUNDARY))


def forget_ages(after: Any) -> Any:
    return after._replace(age=after.age + N_FRAMES)


@pytest.mark.parametrize("forget", [forget_boundaries, forget_ages])
def test_a_settle_that_forgets_where_an_episode_ends_crosses(
    sequences: Run, forget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Episodes.follow
    monkeypatch.setattr(Episodes, "follow", lambda *args, **more: forget(honest(*args, **more)))
    watch = Watch(sequences)
    watch.play()
    watch.actor.close()
    assert watch.only("cross_episode_samples")


def test_damage_after_the_commit_is_a_checksum(sequences: Run) -> None:
    watch = Watch(sequences)
    columns = sequences[1].replays["default"].columns

    def damage(chunk: int) -> None:
        entry = columns.audits[0, (int(columns.header[0, HEADER_AUDITS]) - 1) % 128]
        rows = columns.action.shape[1]
        columns.observation[0, int(entry["row"]) % rows, int(entry["lane"]), -1] += 1

    watch.play(after=damage)
    watch.actor.close()
    assert watch.only("checksum_failures")
