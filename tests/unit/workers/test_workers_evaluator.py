"""Evaluations count episodes, not agents."""

from __future__ import annotations

from typing import Any

from tuitrain.config.schema import Config
from tuitrain.envs.make import inspect, make_lanes
from tuitrain.workers.build import policies_for
from tuitrain.workers.evaluator import Evaluator


def test_agents_that_share_a_policy_play_one_episode_together() -> None:
    given: dict[str, Any] = {
        "env": {
            "id": "tests.envs:SequenceAgents",
        },
        "policies": {"map": {"*": "team"}},
        "eval": {"episodes": 6},
    }
    config = Config.model_validate(given)
    spec = inspect(config.env, config.policies.map)
    assert len(spec.policies["team"].agents) == 3
    policies = policies_for(config, spec, "cpu")
    evaluator = Evaluator(
        config, spec, policies, lambda n: make_lanes(config.env, n, config.policies.map)
    )
    (result,) = evaluator.evaluate(1, lambda: None)
    assert result.episodes == 6
    evaluator.close()
