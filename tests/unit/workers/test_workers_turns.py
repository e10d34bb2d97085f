"""Agents that take turns: what they act on, and what is learned from it.

Observations say which agent looks, in which turn, and how many moves have been made before. So
every sample can be checked against what happened: its next observation is the same agent's own next
turn, after all the others have moved, or its own view of the final world. Lanes that get one of
these wrong must show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.envs import TurnTag, TurnTags
from tests.unit.workers.one_actor import CHUNK_STEPS, Run, die_after, one_actor
from tuitrain.api import ActState
from tuitrain.api import Policy as LoadedPolicy
from tuitrain.config.schema import Config
from tuitrain.envs.lanes.turns import TurnLanes, TurnRow, empty_row
from tuitrain.envs.make import inspect, make_lanes
from tuitrain.replay.layout import CUT
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.seeding import stream
from tuitrain.workers.build import policies_for
from tuitrain.workers.evaluating.evaluator import Evaluator

CHUNKS, GAMMA = 30, 0.5
SHARED = {"a": "team", "c": "team"}

Wrap = Callable[[Any], Any]


def tags(frames: Any) -> list[TurnTag]:
    return [TurnTag(*map(int, frame)) for frame in frames]


@pytest.fixture(params=[(1, 1, {}), (3, 3, SHARED)], ids=["plain", "frames-nstep-shared"])
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    n_frames, n_step, policies = request.param
    with one_actor(
        tmp_path,
        n_frames=n_frames,
        n_step=n_step,
        env={
            "id": "tests.envs:TurnTags",
            "kwargs": {"p_end": 0.08},
            "n_frames": n_frames,
        },
        policies={"map": policies},
        replay={"capacity": 200},
    ) as made:
        yield made


class Tally:
    """Samples compared; which were wrong in what; kinds of transitions that have been seen."""

    def __init__(self) -> None:
        self.compared = 0
        kinds = ("state", "next", "action", "return", "discount", "acted", "stats")
        self.wrong = dict.fromkeys(kinds, 0)
        self.terminated = self.truncated = 0


def play(run: Run, wrap: Wrap = lambda lanes: lanes) -> Tally:
    """Let one actor play, and check what a reader samples of every policy."""
    blueprint, shared = run
    TurnTags.log.clear()
    actor = build_actor(blueprint, shared, 0)
    assert actor._turning is not None
    actor._turning = wrap(actor._turning)
    acted: dict[tuple[int, int, int, int], bytes] = {}
    for part in actor.parts.values():
        part.policy.act = noting(part.policy.act, acted)
    readers = {n: replay.reader(0, gamma=GAMMA) for n, replay in shared.replays.items()}
    rng, tally = np.random.default_rng(0), Tally()
    for chunk in range(CHUNKS):
        actor.pull()
        actor.begin(Ticket(0, (chunk,) * len(actor.parts)), CHUNK_STEPS)
        actor.rollout(CHUNK_STEPS, lambda: None)
        actor.commit()
        for name, reader in readers.items():
            window = reader.pin()
            if not window.sampleable:
                continue
            batch = reader.sample(window, 60, rng)
            agents = blueprint.spec.policies[name].agents
            lanes = reader.origin(batch).lane.tolist()
            check(batch, [agents[lane % len(agents)] for lane in lanes], blueprint, acted, tally)
            reader.unpin()
    for replay in shared.replays.values():
        assert int(replay.columns.header[0, 0]) > 0, "the ring has not wrapped"
    finished = [episode for episode in TurnTags.log.values() if episode.over]
    for name, part in actor.parts.items():
        at = ["abc".index(agent) for agent in blueprint.spec.policies[name].agents]
        returns = [sum(episode.rewards[number]) for episode in finished for number in at]
        told = part.stats.take()
        tally.wrong["stats"] += told["episodes"] != len(returns)
        tally.wrong["stats"] += told["return_mean"] != pytest.approx(np.mean(returns))
    actor.close()
    return tally


def noting(act: Any, acted: dict[tuple[int, int, int, int], bytes]) -> Any:
    def note(stack: Any, *args: Any) -> Any:
        for frames in stack:
            tag = tags(frames)[-1]
            # a final view may have the number of moves of a turn's first one: kept out
            if tag.moves == 3 * tag.turn + tag.number:
                acted.setdefault(tag[:4], np.ascontiguousarray(frames).tobytes())
        return act(stack, *args)

    return note


def due_view(now: TurnTag, seat: int, turns: int, at: int) -> TurnTag:
    """What the agent in `seat` sees in turn `at` of the episode of `now`, which has `turns`."""
    at = max(at, 0)
    moves = 3 * at + (0 if at == turns else now.number)
    return TurnTag(now.instance, now.episode, at, seat, moves)


def check(batch: Any, agents: list[str], blueprint: Any, acted: Any, tally: Tally) -> None:
    n_frames, n_step = blueprint.spec.n_frames, blueprint.config.learner.n_step
    for i, agent in enumerate(agents):
        tally.compared += 1
        state, after = tags(batch.state[i]), tags(batch.next_state[i])
        now, seat = state[-1], "abc".index(agent)
        turn, past = now.turn, TurnTags.log[now.instance, now.episode]
        rewards = past.rewards[seat]
        view = partial(due_view, now, seat, len(rewards))
        steps = min(n_step, len(rewards) - turn)
        ended = turn + steps == len(rewards)
        returns = sum(GAMMA**k * rewards[turn + k] for k in range(steps))
        tally.wrong["state"] += state != [view(turn - k) for k in range(n_frames - 1, -1, -1)]
        tally.wrong["next"] += after != [
            view(turn + steps - k) for k in range(n_frames - 1, -1, -1)
        ]
        tally.wrong["action"] += batch.action[i] != rewards[turn] % 8  # see ``turn_reward``
        tally.wrong["return"] += batch.returns[i] != np.float32(returns)
        terminated = ended and past.terminated
        tally.wrong["discount"] += batch.discount[i] != (0.0 if terminated else GAMMA**steps)
        seen = np.ascontiguousarray(batch.state[i]).tobytes()
        tally.wrong["acted"] += acted.get(state[-1][:4]) != seen
        tally.terminated += terminated
        tally.truncated += ended and not past.terminated


def test_the_next_observation_is_the_agents_own_next_turn(run: Run) -> None:
    tally = play(run)
    assert not any(tally.wrong.values()), tally.wrong
    assert tally.compared > 3_000
    assert min(tally.terminated, tally.truncated) > 50, "too few ends to prove anything about them"


def test_after_a_death_in_a_turn_nothing_leads_into_the_successors_first_one(run: Run) -> None:
    blueprint, shared = run
    TurnTags.log.clear()
    die_after(2, run, more=2)
    began = 2 * CHUNK_STEPS
    for replay in shared.replays.values():
        columns = replay.columns
        assert (columns.flags[0, began] == CUT).all()
        assert (columns.age[0, began] == 0).all()
        reader = replay.reader(0, gamma=GAMMA)
        batch = reader.sample(reader.pin(), 500, np.random.default_rng(0))
        reader.unpin()
        n_step = blueprint.config.learner.n_step
        before = batch.rows < began
        assert before.any()
        assert not before.all()
        for row, state, after in zip(batch.rows, batch.state, batch.next_state, strict=True):
            now, then = tags(state)[-1], tags(after)[-1]
            assert (now.instance, now.episode) == (then.instance, then.episode)
            assert 1 <= then.turn - now.turn <= n_step
            if row == began:
                assert {(tag.episode, tag.turn) for tag in tags(state)} == {(0, 0)}


class Wrong:
    """Lanes that get one thing wrong; the world is still asked for everything in order."""

    def __init__(self, lanes: TurnLanes):
        self._lanes = lanes
        self.spec, self.n_envs = lanes.spec, lanes.n_envs
        self.reset, self.close = lanes.reset, lanes.close

    def turn(self, choose: Any, into: Mapping[str, TurnRow]) -> None:
        raise NotImplementedError


class LooksTooEarly(Wrong):
    """All agents look when the turn begins, before the others have moved."""

    def turn(self, choose: Any, into: Mapping[str, TurnRow]) -> None:
        seats = self._lanes._seats
        worlds = self._lanes._worlds
        early = {s.agent: [w.pov(s.agent).copy() for w in worlds] for s in seats}
        agents = {(s.policy, s.place): s for s in seats}

        def later(policy: str, place: int) -> Any:
            seat = agents[policy, place]
            into[policy].observation[seat.lanes] = early[seat.agent]
            return choose(policy, place)

        self._lanes.turn(later, into)


class PaysTheNext(Wrong):
    """An agent's reward goes to the one after it."""

    def turn(self, choose: Any, into: Mapping[str, TurnRow]) -> None:
        self._lanes.turn(choose, into)
        seats = self._lanes._seats
        paid = [into[s.policy].reward[s.lanes].copy() for s in seats]
        for seat, reward in zip(seats, paid[-1:] + paid[:-1], strict=True):
            into[seat.policy].reward[seat.lanes] = reward


class AnothersEnd(Wrong):
    """In the turn that shows an end, every agent has the first one's view."""

    def turn(self, choose: Any, into: Mapping[str, TurnRow]) -> None:
        ended = [env for env, over in enumerate(self._lanes._over) if over]
        self._lanes.turn(choose, into)
        for policy, row in into.items():
            count = len(self.spec.policies[policy].agents)
            for env in ended:
                row.observation[env * count : (env + 1) * count, 3] = 0


class ResetsTooEarly(Wrong):
    """The world begins anew before the agents have seen its end."""

    def turn(self, choose: Any, into: Mapping[str, TurnRow]) -> None:
        for env, over in enumerate(self._lanes._over):
            if over:
                world = self._lanes._worlds[env]
                world.reset(None)
                world.episode -= 1  # so that nothing else gives it away
        self._lanes.turn(choose, into)


@pytest.mark.parametrize(
    ("fault", "shows"),
    [
        (LooksTooEarly, {"state", "next"}),
        (PaysTheNext, {"return"}),
        (AnothersEnd, {"next"}),
        (ResetsTooEarly, {"next"}),
    ],
)
def test_a_world_that_gets_it_wrong_is_caught(run: Run, fault: Wrap, shows: set[str]) -> None:
    wrong = play(run, fault).wrong
    assert shows <= {what for what, count in wrong.items() if count > 20}, wrong


def evaluated(policies: Any = "each", **env: Any) -> tuple[Evaluator, Config]:
    given: dict[str, Any] = {
        "run": {"seed": 5},
        "env": env,
        "policies": {"map": policies},
        "learner": {"network_kwargs": {"hidden": [16], "input_scale": 1.0}},
        "eval": {"episodes": 7},
    }
    config = Config.model_validate(given)
    spec = inspect(config.env, config.policies.map)
    acting = policies_for(config, spec, "cpu")
    return Evaluator(config, spec, acting, lambda n: make_lanes(config.env, n, policies)), config


def test_an_evaluation_counts_what_each_agent_was_paid_and_shows_each_its_own_turn() -> None:
    evaluator, _ = evaluated(SHARED, id="tests.envs:TurnTags", kwargs={"p_end": 0.2}, n_frames=3)
    shown: set[TurnTag] = set()
    for policy in evaluator.policies.values():
        act = policy.act

        def note(stack: Any, *args: Any, act: Any = act) -> Any:
            for frames in stack:
                instance, episode, turn, number, moves = tags(frames)[-1]
                shown.add(TurnTag(instance, episode, turn, number, moves - 3 * turn))
                assert [t.turn for t in tags(frames)] == [max(0, turn - k) for k in (2, 1, 0)]
                assert {t[:2] for t in tags(frames)} == {(instance, episode)}
            return act(stack, *args)

        policy.act = note
    TurnTags.log.clear()
    team, b = evaluator.evaluate(1, lambda: None)
    finished = [e for (_, episode), e in TurnTags.log.items() if episode == 0]
    assert len(finished) == team.episodes == b.episodes == 7
    sums = np.array([[sum(rewards) for rewards in e.rewards] for e in finished])
    assert b.return_mean == pytest.approx(sums[:, 1].mean())
    assert team.return_mean == pytest.approx(sums[:, [0, 2]].mean())
    assert b.length_mean == np.mean([len(e.rewards[1]) for e in finished])
    lengths = {key: len(e.rewards[0]) for key, e in TurnTags.log.items()}
    final = {tag for tag in shown if tag.turn == lengths[tag.instance, tag.episode]}
    assert all(tag.moves == 0 for tag in final)
    assert all(tag.moves == tag.number for tag in shown - final)
    assert {tag.number for tag in final} == {0, 1, 2}
    evaluator.close()


@pytest.mark.parametrize("simultaneous", [False, True])
def test_policies_that_are_loaded_play_as_the_evaluator_did(simultaneous: bool) -> None:
    evaluator, config = evaluated(
        id="tuitrain.envs.treasurehunt:make",
        kwargs={"turns": 8, "gem_chance": 0.2, "simultaneous_moves": simultaneous},
        n_frames=3,
    )
    spec = evaluator.spec
    seeds, _, _ = stream(config.run.seed, "evaluation_environment", 1, 0).spawn(3)
    played: list[Any] = []
    for number, policy in enumerate(evaluator.policies.values()):
        # A fresh network prefers the same action everywhere; one with large weights does not.
        weights = np.random.default_rng(number).normal(size=policy.buffer.size // 4)
        policy.load(weights.astype(np.float32).view(np.uint8), 0)
        act = policy.act

        def keep(*given: Any, act: Any = act) -> Any:
            played.append(act(*given))
            return played[-1]

        policy.act = keep
    evaluator.n_envs = 3
    evaluator._lanes = make_lanes(config.env, 3)
    results = evaluator.evaluate(1, lambda: None, episodes=3)

    lanes = make_lanes(config.env, 3)
    assert isinstance(lanes, TurnLanes)
    rows = {name: empty_row(part, 3) for name, part in spec.policies.items()}
    loaded = {n: LoadedPolicy(p, spec.policies[n], 3) for n, p in evaluator.policies.items()}
    states: dict[str, ActState | None] = dict.fromkeys(loaded)
    mine: list[Any] = []

    def choose(policy: str, place: int) -> Any:
        actions, states[policy] = loaded[policy].act(rows[policy].observation, states[policy])
        mine.append(actions)
        return actions

    lanes.reset([int(seed) for seed in seeds.generate_state(3)])
    returns = dict.fromkeys(rows, 0.0)
    for _ in range(8):
        lanes.turn(choose, rows)
        for name, row in rows.items():
            returns[name] += float(row.reward.mean())
    np.testing.assert_array_equal(mine, played)
    assert {r.policy: r.return_mean for r in results} == pytest.approx(returns)
    assert len({tuple(actions) for actions in mine}) > 5, "policies that always do the same"
