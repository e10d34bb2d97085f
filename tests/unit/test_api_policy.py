"""A loaded policy acts on what an environment returns, and legally where that is a question."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tuitrain.api import Policy
from tuitrain.config.schema import Config
from tuitrain.envs.grouping import agent_spec
from tuitrain.envs.spaces import BadObservation
from tuitrain.envs.spec import EnvSpec
from tuitrain.workers.build import policies_for

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)
MASK = spaces.Box(0, 1, (4,), np.int8)
SEEN = np.array([0.5, -0.5, 0.25], np.float32)


def loaded(space: Any) -> Policy:
    spec = agent_spec(space, spaces.Discrete(4), "default", "here")
    env = EnvSpec("x", 1, {"default": spec})
    config = Config.model_validate(
        {"env": {"id": "x"}, "learner": {"network_kwargs": {"hidden": [8]}}}
    )
    return Policy(policies_for(config, env, "cpu")["default"], spec, 1)


def test_a_dictionary_is_read_as_the_actors_do_and_its_mask_binds() -> None:
    policy = loaded(spaces.Dict({"observation": BOX, "action_mask": MASK}))
    chosen = []
    allowed = np.ones(4, np.int8)
    for _ in range(4):  # the best one, then the best of those that are left
        action, _ = policy.act({"observation": SEEN, "action_mask": allowed})
        chosen.append(action)
        allowed[action] = 0
    values = policy._acting.values(SEEN[None, None]).ravel()
    assert chosen == np.argsort(-values, kind="stable").tolist()


def test_masks_for_a_batch_are_given_beside_it() -> None:
    policy = loaded(spaces.Dict({"observation": BOX, "action_mask": MASK}))
    actions, state = policy.act(np.stack([SEEN, SEEN]), None, np.eye(4, dtype=np.bool_)[[3, 1]])
    assert np.asarray(actions).tolist() == [3, 1]
    actions, _ = policy.act(np.stack([SEEN, SEEN]), state, np.eye(4)[[0, 2]])
    assert np.asarray(actions).tolist() == [0, 2]


def test_who_does_not_say_what_is_legal_is_told_so() -> None:
    policy = loaded(spaces.Dict({"observation": BOX, "action_mask": MASK}))
    with pytest.raises(ValueError, match="needs `legal`"):
        policy.act(SEEN)
    for wrong in (np.ones(3), np.zeros(4), np.ones((2, 4))):
        with pytest.raises(ValueError, match=r"legal must be bool \[1, 4\]"):
            policy.act(SEEN, None, wrong)


def test_parts_side_by_side_are_what_the_network_knows() -> None:
    policy = loaded(spaces.Dict({"where": BOX, "what": spaces.Discrete(3, start=1)}))
    action, _ = policy.act({"where": SEEN, "what": 2})
    same, _ = policy.act(np.array([0.0, 1.0, 0.0, *SEEN], np.float32))
    assert action == same
    with pytest.raises(BadObservation, match="part 'what'"):
        policy.act({"where": SEEN, "what": 7})


@pytest.mark.parametrize(
    ("space", "observation", "row"),
    [
        (spaces.Discrete(3), 2, [0, 0, 1]),
        (spaces.Discrete(3), np.int64(1), [0, 1, 0]),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 0]), [0, 1, 1, 0, 0]),
        (spaces.MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1]),
    ],
)
def test_a_choice_is_read_as_the_actors_do(space: Any, observation: Any, row: list[int]) -> None:
    policy = loaded(space)
    action, state = policy.act(observation)
    assert state.history.stack().ravel().tolist() == row
    assert policy.act(np.array(row, np.float32))[0] == action
