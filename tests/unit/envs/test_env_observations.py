"""Observations of several parts: their layout, their numbers, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.envs import SequenceAgents, TurnTags
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.turns import TurnLanes, empty_row
from tuitrain.envs.make import BadObservation, UnsupportedSpace, inspect, make_lanes
from tuitrain.envs.observations import form_of, writer_of
from tuitrain.envs.spec import EnvSpec, PolicySpec

BOX = spaces.Box(-1, 1, (2,), np.float32)
IMAGE = spaces.Box(0, 255, (3, 4, 2), np.uint8)
MIXED = spaces.Dict(
    {
        "walls": IMAGE,
        "at": spaces.Box(0, 9, (2,), np.int64),
        "heading": spaces.Discrete(4, start=-1),
        "inner": spaces.Tuple(
            (
                spaces.MultiDiscrete([3, 2], start=[1, 0]),
                spaces.MultiDiscrete(np.array([[2, 3], [2, 2]])),
                spaces.Dict({"flags": spaces.MultiBinary((2, 2)), "speed": spaces.Box(0, 1, ())}),
                spaces.Box(-1, 1, (1, 2, 1, 2), np.float64),
            )
        ),
    }
)


def policy(space: spaces.Space[Any], n_actions: int = 3) -> PolicySpec:
    form = form_of(space, n_actions, "here")
    return PolicySpec(form.shape, form.dtype, n_actions, ("a",), form.masked, parts=form.parts)


def row_of(space: spaces.Space[Any], observation: Any) -> np.ndarray:
    spec = policy(space)
    rows = np.full((2, *spec.observation_shape), 7, spec.dtype)  # what was there before
    writer_of(spec)(rows, 1, observation, "here")
    assert (rows[0] == 7).all()
    return rows[1]


@pytest.mark.parametrize(
    "space",
    [
        MIXED,
        spaces.Discrete(5),
        spaces.Discrete(1),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(4),
        spaces.Tuple((BOX, BOX)),
        spaces.Tuple((spaces.Discrete(2),)),
        spaces.Dict({"b": spaces.Discrete(2), "a": BOX}),
        spaces.Dict({"a": spaces.Box(0, 1, (1, 1, 1, 2), np.float32)}),
    ],
    ids=lambda space: str(space)[:30],
)
def test_the_row_is_what_gymnasium_flattens_it_to(space: spaces.Space[Any]) -> None:
    space.seed(3)
    for _ in range(50):
        sample = space.sample()
        row = row_of(space, sample)
        assert row.dtype == np.float32
        np.testing.assert_array_equal(row, spaces.flatten(space, sample).astype(np.float32))


def test_the_layout_is_told_and_goes_through_json() -> None:
    spec = EnvSpec("e", 1, {"p": policy(MIXED)})
    assert spec.policies["p"].layout() == [
        "0…1: at, int64[2]",
        "2…5: heading, one-hot of 4 values",
        "6…10: inner.0, one-hots of [3, 2] values",
        "11…19: inner.1, one-hots of [2, 3, 2, 2] values",
        "20…23: inner.2.flags, int8[2, 2]",
        "24: inner.2.speed, float32[]",
        "25…28: inner.3, float64[1, 2, 1, 2]",
        "29…52: walls, uint8[3, 4, 2], not divided by 255",
    ]
    assert spec.policies["p"].observation_shape == (53,)
    again = EnvSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert again.spec_hash() == spec.spec_hash()
    old = {"observation_shape": [2], "observation_dtype": "uint8", "n_actions": 3, "agents": ["a"]}
    older = EnvSpec.from_dict({"env_id": "e", "n_frames": 1, "policies": {"p": old}})
    assert older.policies["p"] == PolicySpec((2,), "uint8", 3, ("a",))


def test_another_order_of_keys_is_another_spec() -> None:
    parts = {"a": spaces.Box(-1, 1, (2,)), "b": spaces.Box(-1, 1, (2,))}
    orders = [spaces.Dict([(key, parts[key]) for key in keys]) for keys in ("ab", "ba")]
    one, other = (EnvSpec("e", 1, {"p": policy(space)}) for space in orders)
    assert one.policies["p"].observation_shape == other.policies["p"].observation_shape
    assert one.spec_hash() != other.spec_hash()
    assert "policies.p.parts.0.path: ('a',) here, ('b',) there" in one.differences(other)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda space: spaces.Dict({"see": space}),
        lambda space: spaces.Dict({"see": space, "action_mask": spaces.MultiBinary(3)}),
        lambda space: spaces.Dict({"in": spaces.Tuple((spaces.Dict({"see": space}),))}),
    ],
    ids=["alone", "mask", "deep"],
)
@pytest.mark.parametrize("space", [BOX, IMAGE, spaces.Box(0, 1, (3,), np.bool_)], ids=str)
def test_the_only_box_keeps_its_form(wrap: Any, space: spaces.Box) -> None:
    whole = wrap(space)
    spec = policy(whole)
    assert (spec.observation_shape, spec.observation_dtype) == (space.shape, space.dtype.name)
    assert spec.masked == ("action_mask" in getattr(whole, "spaces", {}))
    whole.seed(1)
    sample = whole.sample()
    inner = sample["see"] if "see" in sample else sample["in"][0]["see"]
    np.testing.assert_array_equal(row_of(whole, sample), inner)
    with pytest.raises(BadObservation, match=r"here, part '(see|in\.0\.see)': an observation has"):
        row_of(whole, {"see": inner[0], "in": ({"see": inner[0]},)})
    with pytest.raises(BadObservation, match=r"no part '(see|in\.0\.see)'"):
        row_of(whole, {})


def test_a_mask_is_nothing_to_see() -> None:
    space = spaces.Dict({"a": BOX, "action_mask": spaces.MultiBinary(3), "b": BOX})
    spec = policy(space)
    assert (spec.masked, spec.observation_shape) == (True, (4,))
    # deeper down, the name means nothing
    below = spaces.Dict({"action_mask": spaces.MultiBinary(3)})
    inner = spaces.Dict({"a": BOX, "b": below})
    assert (policy(inner).masked, policy(inner).observation_shape) == (False, (5,))
    both = spaces.Dict({"b": below, "action_mask": spaces.MultiBinary(3)})
    assert (policy(both).masked, policy(both).observation_shape) == (True, (3,))


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiBinary(4),
        spaces.Discrete(3),
        spaces.Box(0, 1, (3,), np.float32),
        spaces.Box(0, 1, (3, 1), np.int8),
    ],
    ids=str,
)
def test_a_mask_that_is_none_is_refused(space: spaces.Space[Any]) -> None:
    with pytest.raises(UnsupportedSpace, match=r"'action_mask' of its observation space is.*3 act"):
        policy(spaces.Dict({"see": BOX, "action_mask": space}))


def changed(path: tuple[Any, ...], value: Any) -> Any:
    """A sample of ``MIXED`` with one part changed, or (None) left out."""
    MIXED.seed(5)
    sample = MIXED.sample()
    sample["inner"] = list(sample["inner"])
    inner = sample
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return sample


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("walls",), None, "here: an observation has no part 'walls', which its"),
        (("inner", 3), None, "here: an observation has no part 'inner.3', which its"),
        (("inner",), 3, "here: an observation has no part 'inner.0', which its"),
        (("walls",), np.zeros((3, 4, 2)), "part 'walls': an observation has shape.*float64"),
        (("walls",), np.zeros((4, 2), np.uint8), r"part 'walls': .*shape \(4, 2\)"),
        (("at",), [0, 1], "part 'at': an observation has a list"),
        (("at",), np.zeros(2, np.float32), "part 'at': an observation has shape.*float32"),
        (("heading",), 3, "part 'heading': it is 3; its space allows -1 to 2"),
        (("heading",), -2, "part 'heading': it is -2; its space allows -1 to 2"),
        (("heading",), 0.0, "part 'heading': it is 0.0, not a whole number"),
        (("heading",), np.zeros(2, int), "part 'heading': it is array.*, not a whole number"),
        (("inner", 0), np.array([0, 0]), r"part 'inner.0': it is \[0 0\]; .* \[1, 0\] to \[3, 1\]"),
        (("inner", 0), np.array([1, 2]), r"part 'inner.0': it is \[1 2\]; .* \[1, 0\] to \[3, 1\]"),
        (("inner", 0), np.zeros(3, int), r"part 'inner.0': an observation has shape \(3,\)"),
        (
            ("inner", 2, "flags"),
            np.full((2, 2), 2, np.int8),
            "part 'inner.2.flags': .*allows 0 and 1",
        ),
        (("inner", 2, "speed"), 0.5, "part 'inner.2.speed': an observation has a float"),
    ],
)
def test_a_part_that_is_not_as_declared_is_named(
    path: tuple[Any, ...], value: Any, message: str
) -> None:
    with pytest.raises(BadObservation, match=message):
        row_of(MIXED, changed(path, value))


@pytest.mark.parametrize("value", [1, np.int8(1), np.array(1), np.array(1, np.uint8)], ids=repr)
def test_a_choice_may_be_any_whole_number(value: Any) -> None:
    assert row_of(spaces.Discrete(3), value).tolist() == [0, 1, 0]


def test_keys_must_be_text() -> None:
    space = spaces.Dict([(1, BOX), (2, BOX)])
    with pytest.raises(UnsupportedSpace, match="1 is a key of its observation space"):
        policy(space)


# ---- in lanes of every kind ------------------------------------------------------------------

SEEN = spaces.Dict({"step": spaces.Discrete(6), "who": spaces.Box(0, 9, (1,), np.float32)})


def seen(step: int, who: int) -> dict[str, Any]:
    return {"step": np.int64(step), "who": np.array([who], np.float32)}


def row(step: int, who: int) -> list[float]:
    return [float(place == step) for place in range(6)] + [float(who)]


class Alone(gymnasium.Env[Any, Any]):
    """Five steps an episode."""

    observation_space = SEEN
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.steps = 0
        return seen(0, 0), {}

    def step(self, action: int) -> Any:
        self.steps += 1
        return seen(self.steps, 0), 0.0, self.steps == 5, False, {}


class Together(SequenceAgents):
    def observation_space(self, agent: str) -> Any:
        return SEEN

    def _observe(self) -> Any:
        return {agent: seen(self.steps, "abc".index(agent)) for agent in self.possible_agents}


class InTurn(TurnTags):
    def observation_space(self, agent: str) -> Any:
        return SEEN

    def pov(self, agent: str) -> Any:
        return seen(self.turn, "abc".index(agent))


@pytest.mark.parametrize(("name", "agents"), [("Alone", 1), ("Together", 3), ("InTurn", 3)])
def test_lanes_of_every_kind_write_rows(name: str, agents: int) -> None:
    kwargs = {} if name == "Alone" else {"p_end" if name == "InTurn" else "p_terminate": 0.0}
    config = EnvConfig(id=f"{__file__}:{name}", kwargs=kwargs)
    lanes = make_lanes(config, 2, "shared")
    (policy_name,) = lanes.spec.policies
    assert inspect(config, "shared") == lanes.spec
    told = []
    if isinstance(lanes, TurnLanes):
        lanes.reset([1, 2])
        rows = {policy_name: empty_row(lanes.spec.policies[policy_name], 2)}
        for _ in range(3):
            lanes.turn(lambda policy, place: np.zeros(2, np.int64), rows)
            told.append(rows[policy_name].observation.tolist())
    else:
        told.append(lanes.reset([1, 2])[policy_name].observation.tolist())
        for _ in range(2):
            step = lanes.step({policy_name: np.zeros(2 * agents, np.int64)})
            told.append(step[policy_name].observation.tolist())
    assert told == [[row(k, who) for _ in range(2) for who in range(agents)] for k in range(3)]
    lanes.close()
