"""Epsilon as a pure function of the global step count and the actor.

Nothing is counted here and nothing is sent around, so an actor's epsilon cannot become stale.
No torch: actors, the supervisor and the checks all evaluate the same functions.
"""

from __future__ import annotations

from tuitrain.config.schema import ExplorationConfig


def epsilon_at(step: int, config: ExplorationConfig) -> float:
    """Epsilon before any ladder, after `step` environment steps over all actors.

    Linear from ``epsilon_start`` at step 0 to exactly ``epsilon_end`` at ``epsilon_decay_steps``
    (Mnih et al. 2015), constant afterwards.
    """
    if step >= config.epsilon_decay_steps:
        return config.epsilon_end
    share = step / config.epsilon_decay_steps
    return config.epsilon_start + (config.epsilon_end - config.epsilon_start) * share


def actor_epsilon(epsilon: float, index: int, n_actors: int, alpha: float) -> float:
    """Epsilon of one actor: epsilon^(1 + alpha * i / (N - 1)) (Horgan et al. 2018, Ape-X).

    Actor 0 uses `epsilon` itself, the last one the smallest; a single actor, or alpha 0, gives
    `epsilon` unchanged.

    Raises:
        ValueError: `index` is not below `n_actors`.
    """
    if not 0 <= index < n_actors:
        raise ValueError(f"actor {index} of {n_actors}")
    if index == 0 or alpha == 0:
        return epsilon
    return float(epsilon ** (1.0 + alpha * index / (n_actors - 1)))
