"""The config that `tuitrain new` writes: it loads, says why on every line, suits what was seen."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from tuitrain.config.load import parse_config
from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config
from tuitrain.config.starter import (
    MAX_REPLAY_BYTES,
    Seen,
    SeenPolicy,
    choose_network,
    name_for,
    starter,
)

VECTOR = SeenPolicy((4,), "float32", 0.0, 2, ("default",))
IMAGE = SeenPolicy((84, 84), "uint8", 255.0, 6, ("default",))
PLANES = SeenPolicy((10, 10, 4), "bool", 1.0, 3, ("default",))


def seen(*policies: SeenPolicy, **fields: object) -> Seen:
    named = {f"p{i}" if len(policies) > 1 else "default": p for i, p in enumerate(policies)}
    return replace(Seen("CartPole-v1", named), **fields)


def written(*policies: SeenPolicy, cores: int = 4, **fields: object) -> Config:
    return resolve(parse_config(starter(seen(*policies, **fields), "x")), cores=cores)


@pytest.mark.parametrize(
    ("shape", "network"),
    [
        ((4,), "mlp"),
        ((500,), "mlp"),
        ((2, 40), "mlp"),
        ((3, 3), "minatar"),
        ((10, 10, 4), "minatar"),
        ((4, 10, 10), "minatar"),
        ((35, 35), "minatar"),
        ((36, 36), "nature"),
        ((210, 160, 3), "nature"),
        ((3, 96, 96), "nature"),
        ((96, 96, 2), "nature"),
    ],
)
def test_the_network_follows_from_the_shape(shape: tuple[int, ...], network: str) -> None:
    policy = replace(VECTOR, shape=shape)
    assert choose_network([policy]) == network
    assert written(policy).learner.network == network


def test_policies_that_see_different_things_get_the_network_that_takes_all() -> None:
    assert choose_network([IMAGE, replace(IMAGE, shape=(64, 64, 3))]) == "nature"
    assert choose_network([IMAGE, VECTOR]) == "mlp"


@pytest.mark.parametrize("cores", [1, 64])
@pytest.mark.parametrize("policy", [VECTOR, IMAGE, PLANES], ids=["vector", "image", "planes"])
@pytest.mark.parametrize("step_s", [0.0, 1e-5, 5e-3, 1.0])
def test_it_always_loads(policy: SeenPolicy, cores: int, step_s: float) -> None:
    config = written(policy, cores=cores, step_s=step_s, kwargs={"a b": [1, {"c": "#"}]})
    assert config.env.kwargs == {"a b": [1, {"c": "#"}]}
    if step_s == 1.0:  # a chunk is a pause of the learner's and of every command
        assert config.actors.envs_per_actor * config.actors.chunk_steps <= 8


@pytest.mark.parametrize("policy", [VECTOR, IMAGE, PLANES], ids=["vector", "image", "planes"])
def test_every_line_says_what_it_is_for(policy: SeenPolicy) -> None:
    text = starter(seen(policy, policy, kwargs={"n": 1}), "x")
    lines = [line for line in text.splitlines() if line and line[0] not in "[#"]
    assert len(lines) > 20
    assert [line for line in lines if not re.search(r"  # \S", line)] == []


def test_what_random_actions_bring_is_told() -> None:
    played = replace(VECTOR, episodes=3, return_mean=21.5, length_mean=9.0)
    text = starter(seen(played, steps=2000), "x")
    assert "\n#   random actions return 21.5 in 9 steps (mean of 3 episodes)\n" in text
    assert "no episode ended under random actions" in starter(seen(VECTOR, steps=2000), "x")
    assert "under random actions" not in starter(seen(VECTOR), "x"), "none was tried"


def test_episodes_without_any_reward_are_warned_of() -> None:
    unpaid = replace(VECTOR, episodes=83, return_mean=0.0, length_mean=24.0, rewarded=False)
    assert unpaid.unpaid().startswith(
        "WARNING: every reward in 83 episodes of random actions was 0"
    )
    assert not replace(unpaid, rewarded=True).unpaid(), "wins and losses add up to 0"
    assert not replace(unpaid, episodes=0).unpaid(), "it may come at the end"


def test_of_several_policies_each_is_told_by_name() -> None:
    first = replace(VECTOR, episodes=3, return_mean=1.5, length_mean=9.0)
    second = replace(VECTOR, episodes=2, return_mean=-4.0, length_mean=5.0, absent=True)
    assert (
        "# policy p0: observations float32[4], 2 actions\n"
        "#   random actions return 1.5 in 9 steps (mean of 3 episodes)\n"
        "# policy p1: observations float32[4], 2 actions; may be absent while others are there\n"
        "#   random actions return -4 in 5 steps (mean of 2 episodes)\n"
    ) in starter(seen(first, second, steps=9), "x")


@pytest.mark.parametrize(
    ("policy", "scale"),
    [
        (IMAGE, None),
        (replace(IMAGE, high=15.0), 15.0),
        (replace(IMAGE, shape=(10, 10)), 255.0),
        (replace(IMAGE, shape=(10, 10), high=1.0), None),
        (replace(IMAGE, shape=(10, 10), high=0.0), None),
        (replace(VECTOR, dtype="uint8", high=3.0), 3.0),
        (replace(VECTOR, dtype="float32", high=3.0), None),
        (PLANES, None),
    ],
)
def test_inputs_are_scaled_to_one_where_the_network_would_not(
    policy: SeenPolicy, scale: float | None
) -> None:
    assert written(policy).learner.network_kwargs.get("input_scale") == scale


@pytest.mark.parametrize("shape", [(84, 84), (210, 160, 3), (1000, 1000, 3)])
def test_replay_fits_a_machine(shape: tuple[int, ...]) -> None:
    replay = written(replace(IMAGE, shape=shape)).replay
    least = 2 * replay.learning_starts
    assert replay.capacity * math.prod(shape) <= MAX_REPLAY_BYTES or replay.capacity == least


def test_images_of_one_moment_are_stacked() -> None:
    assert written(IMAGE).env.n_frames == 4
    assert written(replace(IMAGE, shape=(84, 84, 3))).env.n_frames == 4
    assert written(replace(IMAGE, shape=(4, 84, 84))).env.n_frames == 1, "stacked already"
    assert written(VECTOR).env.n_frames == written(PLANES).env.n_frames == 1


def test_how_agents_share_a_policy_is_shown() -> None:
    team = replace(VECTOR, agents=("a", "b c"))
    assert re.search(r'\nmap = "each" +# "shared": one for all', starter(seen(team), "x"))
    assert written(VECTOR, VECTOR).policies.map == "each"
    assert "[policies]" not in starter(seen(VECTOR), "x")


def test_what_a_row_is_made_of_and_that_masks_bind_is_told() -> None:
    row = replace(VECTOR, masked=True, layout=("0…1: at, float32[2]", "2…3: way, one-hot of 2"))
    text = starter(seen(row, replace(VECTOR, agents=("b",))), "x")
    assert (
        "# policy p0: observations float32[4], 2 actions; the environment says which are legal\n"
        "#   columns 0…1: at, float32[2]\n"
        "#   columns 2…3: way, one-hot of 2\n"
        "# policy p1: observations float32[4], 2 actions\n"
    ) in text
    parse_config(text)


@pytest.mark.parametrize(
    ("env_id", "name"),
    [
        ("CartPole-v1", "cartpole"),
        ("MinAtar/SpaceInvaders-v1", "spaceinvaders"),
        ("gymnasium.envs.classic_control:CartPole-v1", "cartpole"),
        ("tests.envs:Chain", "chain"),
        ("my_package.maze:make", "maze"),
        ("some/folder/my_env.py:make_env", "my_env"),
        ("../x.py:TwoRooms", "tworooms"),
        ("é:ü", "run"),
    ],
)
def test_runs_are_called_like_the_environment(env_id: str, name: str) -> None:
    assert name_for(env_id) == name
    assert parse_config(starter(seen(VECTOR), name)).run.name == name
