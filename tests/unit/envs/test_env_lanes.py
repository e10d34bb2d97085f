"""Vector steps and rows map 1:1: against a hand simulation, with the mutant that breaks it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from tests.envs import SequenceEnv, decode
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.vector import GymLanes, Lanes, empty_step
from tuitrain.envs.make import build_env, make_lanes

SEEDS = [11, 2**24 - 1, 5]
STEPS = 300


@dataclass
class Row:
    """One row of one lane, as replay would hold it."""

    observation: np.ndarray
    action: int
    reward: float
    terminated: bool
    truncated: bool
    boundary: bool
    age: int


def rows_by_hand(env: SequenceEnv, seed: int, actions: np.ndarray) -> list[Row]:
    """The contract, spelled out for one plain environment."""
    rows = []
    observation, _ = env.reset(seed=seed)
    age, over = 0, False
    for action in actions:
        if over:
            rows.append(Row(observation, int(action), 0.0, False, False, True, age))
            observation, _ = env.reset()
            age, over = 0, False
        else:
            after, reward, terminated, truncated, _ = env.step(int(action))
            rows.append(Row(observation, int(action), reward, terminated, truncated, False, age))
            observation, age, over = after, age + 1, terminated or truncated
    return rows


def rows_by_lanes(lanes: Lanes, actions: np.ndarray) -> list[list[Row]]:
    """What an actor would write, lane by lane."""
    n = lanes.n_envs
    rows: list[list[Row]] = [[] for _ in range(n)]
    pending = lanes.reset(SEEDS)["default"].observation.copy()
    age, boundary = np.zeros(n, int), np.zeros(n, bool)
    for step_actions in actions:
        result = lanes.step({"default": step_actions})["default"]
        for lane in range(n):
            rows[lane].append(
                Row(
                    pending[lane],
                    int(step_actions[lane]),
                    float(result.reward[lane]),
                    bool(result.terminated[lane]),
                    bool(result.truncated[lane]),
                    bool(boundary[lane]),
                    int(age[lane]),
                )
            )
        age = np.where(boundary, 0, age + 1)
        boundary = result.terminated | result.truncated
        pending = result.observation.copy()
    return rows


def check_against_hand(lanes: Lanes, image: bool) -> list[list[Row]]:
    actions = np.random.default_rng(0).integers(3, size=(STEPS, lanes.n_envs))
    got = rows_by_lanes(lanes, actions)
    for lane, seed in enumerate(SEEDS):
        wanted = rows_by_hand(SequenceEnv(image=image), seed, actions[:, lane])
        for row, expected in zip(got[lane], wanted, strict=True):
            np.testing.assert_array_equal(row.observation, expected.observation)
            assert row.observation.dtype == expected.observation.dtype
            row.observation = expected.observation
            assert row == expected
    return got


@pytest.mark.parametrize("image", [False, True], ids=["vector", "image"])
def test_rows_equal_a_hand_simulation(image: bool) -> None:
    lanes = make_lanes(EnvConfig(id="tests.envs:SequenceEnv", kwargs={"image": image}), 3)
    rows = check_against_hand(lanes, image)
    # The simulation met what it is about: both kinds of end, and boundaries on every lane.
    flat = [row for lane in rows for row in lane]
    assert any(row.terminated and not row.truncated for row in flat)
    assert any(row.truncated and not row.terminated for row in flat)
    assert all(any(row.boundary for row in lane) for lane in rows)


class SameStepLanes(GymLanes):
    """The other usage: the step that ends an episode returns the next one's first observation."""

    def step(self, actions: Any, out: Any = None) -> Any:
        result = super().step(actions, out)
        for lane in np.flatnonzero(self._over):
            self._reset_one(int(lane), None, result["default"])
        return result


def test_hand_simulation_catches_another_autoreset_mode() -> None:
    lanes = SameStepLanes([SequenceEnv] * 3, "SequenceEnv", 1)
    with pytest.raises(AssertionError):
        check_against_hand(lanes, image=False)


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("CartPole-v1", {"max_episode_steps": 20}),
        ("Acrobot-v1", {"max_episode_steps": 30}),
        ("tests.envs:SequenceEnv", {"image": True}),
        ("tests.envs:Catch", {}),
    ],
)
@pytest.mark.parametrize("in_place", [False, True])
def test_every_step_is_that_of_gymnasiums_vector(
    env_id: str, kwargs: dict[str, Any], in_place: bool
) -> None:
    config = EnvConfig(id=env_id, kwargs=kwargs)
    lanes = make_lanes(config, 3)
    theirs: SyncVectorEnv[Any, Any] = SyncVectorEnv(
        [lambda: build_env(config)] * 3, autoreset_mode=AutoresetMode.NEXT_STEP
    )
    wanted, _ = theirs.reset(seed=SEEDS)
    np.testing.assert_array_equal(lanes.reset(SEEDS)["default"].observation, wanted)
    policy = lanes.spec.policies["default"]
    out = {"default": empty_step(policy, 3)} if in_place else None
    rng, ends = np.random.default_rng(3), 0
    for _ in range(STEPS):
        if out:
            for array in out["default"].arrays():
                array.fill(1)  # what a slot of the ring held before
        actions = rng.integers(policy.n_actions, size=3)
        got = lanes.step({"default": actions}, out)
        if out:
            assert got is out
        observation, reward, terminated, truncated, _ = theirs.step(actions)
        for mine, their in zip(
            got["default"].arrays(),
            (observation, reward.astype(np.float32), terminated, truncated),
            strict=True,
        ):
            np.testing.assert_array_equal(mine, their, strict=True)
        ends += int((terminated | truncated).sum())
    assert ends > 10
    lanes.close()
    theirs.close()


class OneBuffer(SequenceEnv):
    """Returns the same array from every step of every copy, as some emulators do."""

    shared: ClassVar[np.ndarray] = np.empty(3, np.float32)

    def step(self, action: int) -> Any:
        observation, *rest = super().step(action)
        self.shared[:] = observation
        return (self.shared, *rest)


def test_an_environment_may_use_its_observation_again() -> None:
    config = EnvConfig(id="tests.envs:SequenceEnv")
    actions = np.random.default_rng(0).integers(3, size=(STEPS, 3))
    honest = rows_by_lanes(make_lanes(config, 3), actions)
    for got, wanted in zip(
        rows_by_lanes(GymLanes([OneBuffer] * 3, "OneBuffer", 1), actions), honest, strict=True
    ):
        assert [r.observation.tolist() for r in got] == [r.observation.tolist() for r in wanted]


def test_boundary_row_holds_the_final_observation_and_the_next_row_starts_anew() -> None:
    lanes = make_lanes(EnvConfig(id="tests.envs:SequenceEnv", kwargs={"max_steps": 4}), 3)
    actions = np.random.default_rng(1).integers(3, size=(STEPS, 3))
    for lane, rows in enumerate(rows_by_lanes(lanes, actions)):
        for row, after in itertools.pairwise(rows):
            instance, episode, step = decode(row.observation)
            assert instance == SEEDS[lane]
            assert step == row.age
            if row.boundary:
                assert row.reward == 0.0
                assert not row.terminated
                assert not row.truncated
                assert decode(after.observation) == (instance, episode + 1, 0)
                assert after.age == 0
            else:
                assert decode(after.observation) == (instance, episode, step + 1)
                assert after.boundary == (row.terminated or row.truncated)


def test_reset_with_the_same_seeds_repeats_everything() -> None:
    lanes = make_lanes(EnvConfig(id="tests.envs:SequenceEnv"), 3)
    actions = np.random.default_rng(2).integers(3, size=(50, 3))
    first, second = rows_by_lanes(lanes, actions), rows_by_lanes(lanes, actions)
    assert [[r.reward for r in lane] for lane in first] == [
        [r.reward for r in lane] for lane in second
    ]


def test_reset_after_an_end_forgets_the_pending_autoreset() -> None:
    config = EnvConfig(id="tests.envs:SequenceEnv", kwargs={"p_terminate": 1.0})
    lanes = make_lanes(config, 3)
    lanes.reset(SEEDS)
    actions = {"default": np.zeros(3, np.int64)}
    assert lanes.step(actions)["default"].terminated.all()
    lanes.reset(SEEDS)
    assert lanes.step(actions)["default"].terminated.all()  # a step, not a reset


def test_reward_is_float32_and_observation_keeps_its_dtype() -> None:
    lanes = make_lanes(EnvConfig(id="CartPole-v1"), 2)
    assert lanes.reset([0, 1])["default"].observation.dtype == np.float32
    step = lanes.step({"default": np.zeros(2, np.int64)})["default"]
    assert step.reward.dtype == np.float32
    assert step.reward.tolist() == [1.0, 1.0]
    assert step.observation.shape == (2, 4)
    assert step.terminated.dtype == step.truncated.dtype == np.bool_


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros(2, np.int32), "int64"),
        (np.zeros(3, np.int64), r"int64\[2\], not shape \(3,\)"),
        (np.array([0, 2]), r"0 … 1, not 0 … 2"),
        (np.array([-1, 0]), r"0 … 1, not -1 … 0"),
        ([0, 0], "not list"),
    ],
)
def test_wrong_actions_are_refused(actions: object, message: str) -> None:
    lanes = make_lanes(EnvConfig(id="CartPole-v1"), 2)
    lanes.reset([0, 1])
    with pytest.raises(ValueError, match=message):
        lanes.step({"default": actions})


def test_reset_wants_one_seed_per_environment() -> None:
    with pytest.raises(ValueError, match="one seed per environment: 2, not 1"):
        make_lanes(EnvConfig(id="CartPole-v1"), 2).reset([1])
