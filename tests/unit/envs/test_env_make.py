"""Environments by id, module and file; whatever is not supported is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tuitrain.config.schema import EnvConfig
from tuitrain.envs.make import BadObservation, EnvError, UnsupportedSpace, inspect, make_lanes
from tuitrain.envs.spaces import SUPPORTED
from tuitrain.envs.spec import EnvSpec, PolicySpec
from tuitrain.loading import load_object

BAD = str(Path(__file__).parent / "bad_envs.py")


def bad(name: str = "make", **kwargs: object) -> EnvConfig:
    return EnvConfig(id=f"{BAD}:{name}", kwargs=kwargs)


def test_gymnasium_id() -> None:
    assert inspect(EnvConfig(id="CartPole-v1", n_frames=3)) == EnvSpec(
        "CartPole-v1", 3, {"default": PolicySpec((4,), "float32", 2, ("default",))}
    )


def test_gymnasium_kwargs_reach_the_environment() -> None:
    lanes = make_lanes(EnvConfig(id="CartPole-v1", kwargs={"max_episode_steps": 3}), 1)
    lanes.reset([0])
    action = {"default": np.zeros(1, np.int64)}
    assert [bool(lanes.step(action)["default"].truncated[0]) for _ in range(3)] == [0, 0, 1]


def test_gymnasium_module_syntax_goes_to_gymnasium() -> None:
    spec = inspect(EnvConfig(id="gymnasium.envs.classic_control:CartPole-v1"))
    assert spec.policies["default"].n_actions == 2


@pytest.mark.parametrize("reference", ["tests.envs:Chain", "tests/envs/learned.py:Chain"])
def test_module_and_file_factories_with_kwargs(
    reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    spec = inspect(EnvConfig(id=reference, kwargs={"length": 9}))
    assert spec.policies["default"] == PolicySpec((9,), "float32", 2, ("default",))


@pytest.mark.parametrize("layout", ["HW", "HWC", "CHW"])
def test_image_observations(layout: str) -> None:
    spec = inspect(EnvConfig(id="tests.envs:Catch", kwargs={"layout": layout, "channels": 3}))
    shape = {"HW": (8, 8), "HWC": (8, 8, 3), "CHW": (3, 8, 8)}[layout]
    assert spec.policies["default"] == PolicySpec(shape, "uint8", 3, ("default",))


@pytest.mark.parametrize(
    ("space", "found"),
    [
        ("longdouble", "dtype float128"),
        ("scalar", r"shape \(\)"),
        ("video", r"shape \(2, 8, 8, 3\)"),
        ("empty", r"shape \(0,\)"),
        ("text", r"its observation space is Text"),
        ("dict", r"part 'b.0' of its observation space is Text"),
        ("wide", r"part 'a' of its observation space is Box.*float128"),
        ("nothing", r"nothing to see in Tuple\(\)"),
        ("only_mask", "nothing to see in Dict"),
    ],
)
def test_observation_spaces_refused_by_name(space: str, found: str) -> None:
    with pytest.raises(UnsupportedSpace, match=found) as error:
        inspect(bad(space=space))
    assert (SUPPORTED if space != "longdouble" else "known are uint8") in str(error.value)
    assert BAD in str(error.value)


@pytest.mark.parametrize(
    ("space", "given", "stored"),
    [
        ("bool", np.array([True, False, True, True]), np.array([1, 0, 1, 1], np.uint8)),
        ("float64", np.array([0.1, -1.0, 1 / 3, 1e-300]), np.array([0.1, -1, 1 / 3, 0], "f4")),
        ("float64", np.full(4, 0.1, np.float32), np.full(4, 0.1, np.float32)),
        ("int64", np.array([3, -2, 0, 1]), np.array([3, -2, 0, 1], np.float32)),
    ],
)
def test_bool_is_kept_as_uint8_and_other_numbers_as_float32(
    space: str, given: np.ndarray, stored: np.ndarray
) -> None:
    lanes = make_lanes(bad(space=space), 2)
    spec = lanes.spec.policies["default"]
    assert spec.observation_dtype == space
    assert spec.dtype == stored.dtype
    for env in load_object(f"{BAD}:built")[-2:]:
        env._observation = given
    first = lanes.reset([0, 1])["default"].observation
    assert first.dtype == stored.dtype
    assert first.tolist() == [stored.tolist()] * 2
    later = lanes.step({"default": np.zeros(2, np.int64)})["default"].observation
    assert later.tolist() == [stored.tolist()] * 2


@pytest.mark.parametrize(
    ("space", "observation"), [("bool", "right"), ("float64", "list"), ("vector", "float64")]
)
def test_what_is_cast_must_still_be_as_declared(space: str, observation: str) -> None:
    with pytest.raises(BadObservation):
        inspect(bad(space=space, observation=observation))


@pytest.mark.parametrize(
    ("actions", "found"),
    [
        ("from_one", r"Discrete\(3, start=1\)"),
        ("continuous", "action space is Box"),
        ("many", "action space is MultiDiscrete"),
    ],
)
def test_action_spaces_refused_by_name(actions: str, found: str) -> None:
    with pytest.raises(UnsupportedSpace, match=found) as error:
        inspect(bad(actions=actions))
    assert SUPPORTED in str(error.value)


@pytest.mark.parametrize(
    ("observation", "got"),
    [
        ("row", r"shape \(1, 4\), dtype float32"),
        ("column", r"shape \(4, 1\), dtype float32"),
        ("float64", r"shape \(4,\), dtype float64"),
        ("list", "a list"),
    ],
)
def test_an_observation_that_is_not_as_declared_is_refused(observation: str, got: str) -> None:
    with pytest.raises(BadObservation, match=got) as error:
        inspect(bad(observation=observation))
    assert "declares shape (4,), dtype float32" in str(error.value)


def test_a_later_observation_is_checked_too() -> None:
    lanes = make_lanes(bad(), 1)
    lanes.reset([0])
    built = load_object(f"{BAD}:built")
    built[-1]._observation = np.zeros((1, 4), np.float32)
    with pytest.raises(BadObservation, match=r"step\(\)"):
        lanes.step({"default": np.zeros(1, np.int64)})


@pytest.mark.parametrize(
    ("reward", "found"),
    [
        (float("nan"), "the reward is nan, not a finite"),
        (-1e39, r"the reward is -1e\+39, not a finite"),
        ("much", "the reward is 'much', not a number"),
        ([1.0, 2.0], r"the reward is \[1.0, 2.0\], not a number"),
    ],
)
def test_a_reward_that_would_spoil_every_weight_is_refused(reward: object, found: str) -> None:
    lanes = make_lanes(bad("pays", reward=reward), 1)
    lanes.reset([0])
    with pytest.raises(EnvError, match=rf"step\(\): {found}"):
        lanes.step({"default": np.zeros(1, np.int64)})


def test_old_gym_apis_are_named() -> None:
    lanes = make_lanes(bad("old_step_api"), 1)
    lanes.reset([0])
    with pytest.raises(EnvError, match=r"step\(\) returned 4 values"):
        lanes.step({"default": np.zeros(1, np.int64)})
    with pytest.raises(EnvError, match=r"reset\(\) must return"):
        inspect(bad("old_reset_api"))


def test_one_object_for_two_lanes_is_refused() -> None:
    make_lanes(bad("same_every_time"), 1)
    with pytest.raises(EnvError, match="returned the same environment twice"):
        make_lanes(bad("same_every_time"), 2)


def test_copies_that_differ_are_refused() -> None:
    with pytest.raises(EnvError, match="its copies differ"):
        make_lanes(bad("grows"), 2)


def test_each_copy_has_its_own_kwargs() -> None:
    config = bad("edits_its_kwargs", items=[1])
    make_lanes(config, 3)
    assert config.kwargs == {"items": [1]}


def test_what_was_built_is_closed_when_the_rest_fails() -> None:
    built = load_object(f"{BAD}:built")
    built.clear()
    with pytest.raises(UnsupportedSpace):
        make_lanes(bad(space="longdouble"), 3)
    assert [env.closed for env in built] == [True]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EnvConfig(id="CartPool-v1"), "'CartPool-v1' cannot be built.*CartPole"),
        (EnvConfig(id="CartPole-v1", kwargs={"colour": 1}), "env.kwargs {'colour': 1}"),
        (EnvConfig(id="nowhere.at_all:make"), "cannot be loaded"),
        (EnvConfig(id="/nowhere/at_all.py:make"), "cannot be loaded"),
        (bad("missing"), "cannot be loaded"),
        (bad("not_callable"), "is a int, not a factory"),
        (bad("fails"), "OSError: the level file is missing"),
        (bad("make", nonsense=1), "TypeError.*nonsense"),
        (bad("a_number"), "is of type int; supported: gymnasium.Env, multi-agent"),
        (bad("a_vector"), "Return a single environment"),
        (bad("an_aec"), "lacks observation_space, action_space, reset, last, step"),
    ],
)
def test_what_cannot_be_built_says_why(config: EnvConfig, message: str) -> None:
    with pytest.raises(EnvError, match=f"(?s){message}"):
        make_lanes(config, 1)


def test_one_agent_has_nobody_to_share_with() -> None:
    with pytest.raises(EnvError, match=r"has one agent, but policies\.map names a"):
        make_lanes(EnvConfig(id="CartPole-v1"), 1, {"a": "b"})
    assert make_lanes(EnvConfig(id="CartPole-v1"), 1, "shared").spec.policies.keys() == {"default"}


def test_the_same_environment_has_the_same_hash_and_another_names_the_difference() -> None:
    chain = inspect(EnvConfig(id="tests.envs:Chain"))
    again = inspect(EnvConfig(id="tests.envs:Chain"))
    longer = inspect(EnvConfig(id="tests.envs:Chain", kwargs={"length": 7}))
    frames = inspect(EnvConfig(id="tests.envs:Chain", n_frames=2))
    assert chain.spec_hash() == again.spec_hash() == EnvSpec.from_dict(chain.to_dict()).spec_hash()
    assert len({chain.spec_hash(), longer.spec_hash(), frames.spec_hash()}) == 3
    assert chain.differences(longer) == [
        "policies.default.observation_shape: (6,) here, (7,) there"
    ]
    assert chain.differences(frames) == ["n_frames: 1 here, 2 there"]


def test_a_factory_without_a_return_is_recognised() -> None:
    with pytest.raises(EnvError, match=r"returned nothing \(None\); does it lack a return\?"):
        inspect(bad("lacks_a_return"))
