"""The runs that parity is proven on: small, quick, and each with something easy to get wrong."""

from __future__ import annotations

from typing import Any

from tuitrain.config.schema import Config

ROUNDS = 18
CHUNK_STEPS = 5

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "cartpole": {"env": {"id": "CartPole-v1"}},
    "image": {
        "env": {"id": "tests.envs:Catch", "kwargs": {"size": 12}},
        "learner": {"network": "minatar", "network_kwargs": {"channels": "first"}},
    },
    "two-policies": {"env": {"id": "tests.envs:TwoPolicies", "kwargs": {"p_terminate": 0.1}}},
    "global-random": {"env": {"id": "tests.envs:GlobalRandomEnv"}},
}


def config(
    environment: str,
    schedule: str,
    *,
    actors: int = 2,
    envs_per_actor: int = 4,
    n_frames: int = 1,
    n_step: int = 1,
    seed: int = 1,
    **tables: dict[str, Any],
) -> Config:
    """A run of about ``ROUNDS`` rounds in which the replay ring wraps and targets are copied."""
    per_round = actors * envs_per_actor * CHUNK_STEPS
    given = ENVIRONMENTS[environment]
    base: dict[str, dict[str, Any]] = {
        "run": {
            "seed": seed,
            "schedule": schedule,
            "total_steps": int(per_round * (ROUNDS - 0.5)),
            "fingerprint": True,
        },
        "env": {"n_frames": n_frames},
        "actors": {
            "count": actors,
            "envs_per_actor": envs_per_actor,
            "chunk_steps": CHUNK_STEPS,
        },
        "exploration": {"epsilon_decay_steps": per_round * 8, "epsilon_start": 0.6},
        "replay": {
            "capacity": per_round * 4,
            "learning_starts": max(per_round + 1, 9),
            "max_lead": 1.0,
        },
        "learner": {
            "n_step": n_step,
            "batch_size": 8,
            "replay_ratio": 0.3,
            "target_update_every_updates": 3,
            "dueling": True,
            "network_kwargs": {"hidden": [32]},
            "lr": 1e-2,
            # Huber's gradient does not depend on the target while the error is large
            "loss": "mse",
        },
        "eval": {"every_steps": per_round * 4, "episodes": 3},
    }
    base["eval"]["max_episode_steps"] = 60
    if "network" in given.get("learner", {}):
        base["learner"]["network_kwargs"] = {}
    for source in (given, tables):
        for table, values in source.items():
            base[table] = base.get(table, {}) | values
    return Config.model_validate(base)
