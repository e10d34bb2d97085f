"""What a config plans, for checks to hold against what is measured. Pure, and without torch."""

from __future__ import annotations

import math

from tuitrain.config.resolve import planned_updates
from tuitrain.config.schema import Config
from tuitrain.learning.exploration import actor_epsilon, epsilon_at
from tuitrain.learning.lr import lr_at
from tuitrain.learning.target_rule import target_period

MIN_PLANNED_UPDATES = 500
"""A run that makes fewer is a try: how its schedules would end is not judged."""

_LR_SPENT = 0.01
"""Of its first value: a learning rate that ends at or below this share learns next to nothing."""

_LR_MEASURED_UPDATES = 32
"""A record's learning rate is that of one of so many updates before it."""

_ACTIONS = 1000
"""More actions than anybody has: entropy grows with their logarithm alone."""


def lr_planned(lr: float, updates: int, config: Config) -> float | None:
    """The planned learning rate that is nearest to `lr`, of the updates shortly before `updates`.

    None where the length of the schedule depends on how often agents are there.
    """
    learner = config.learner
    length = learner.lr_schedule_updates
    if learner.lr_schedule != "constant" and length is None:
        return None
    first = max(0, updates - _LR_MEASURED_UPDATES)
    ends = [lr_at(update, learner, length or 1) for update in (first, updates)]
    return min(max(lr, min(ends)), max(ends))


def learned_share(config: Config, agents: int) -> float | None:
    """Share of the run's transitions that come after `learning_starts`; None for tries.

    Args:
        agents: of one environment that share the policy.
    """
    transitions = config.run.total_steps * agents
    if transitions * config.learner.updates_per_transition < MIN_PLANNED_UPDATES:
        return None
    return max(0.0, 1 - config.replay.learning_starts / transitions)


def weight_move(config: Config, agents: int) -> float | None:
    """About the most that all planned updates together can move a weight; None for tries.

    Args:
        agents: of one environment that share the policy.
    """
    updates = planned_updates(config, agents)
    return None if updates < MIN_PLANNED_UPDATES else config.learner.lr * updates


def lr_spent_share(config: Config, agents: int) -> float | None:
    """Share of the planned updates that come after the learning rate has ended at next to nothing.

    Args:
        agents: of one environment that share the policy.

    Returns:
        0 to 1; None for tries.
    """
    learner, updates = config.learner, planned_updates(config, agents)
    if updates < MIN_PLANNED_UPDATES:
        return None
    if learner.lr_schedule == "constant" or learner.lr_end > _LR_SPENT * learner.lr:
        return 0.0
    return max(0, updates - (learner.lr_schedule_updates or updates)) / updates


def most_epsilon(config: Config) -> float | None:
    """The largest epsilon that any actor has at any step.

    None where networks explore, where weights of another run are begun with, and for tries.
    """
    if config.algorithm.noisy or config.run.init_from or _is_try(config):
        return None
    return max(epsilon_at(at, config.exploration) for at in (0, config.run.total_steps))


def evals_planned(config: Config) -> int | None:
    """Evaluations that are due while the run goes on; None if none are wanted, and for tries."""
    if not config.eval.enabled or _is_try(config):
        return None
    return config.run.total_steps // config.eval.every_steps


def final_epsilon(config: Config) -> float | None:
    """Epsilon of the least exploring actor after all steps.

    None where networks explore, and for tries.
    """
    if config.algorithm.noisy or _is_try(config):
        return None
    epsilon, n = epsilon_at(config.run.total_steps, config.exploration), _actors(config)
    alpha = config.exploration.ladder_alpha
    return min(actor_epsilon(epsilon, i, n, alpha) for i in range(n))


def epsilon_off(epsilon: float, index: int, steps: float, slack: float, config: Config) -> float:
    """How far the epsilon of an actor is from every value that it may have about now.

    Args:
        index: of the actor.
        steps: environment steps of the whole run.
        slack: steps that the actor may be behind or ahead of that.
    """
    exploration, n = config.exploration, _actors(config)
    low, high = sorted(
        actor_epsilon(epsilon_at(max(0, int(at)), exploration), index, n, exploration.ladder_alpha)
        for at in (steps - slack, steps + slack)
    )
    return max(0.0, low - epsilon, epsilon - high)


def target_kept_at_end(config: Config, agents: int) -> float | None:
    """Share of its first weights that the target network holds after all planned updates.

    Args:
        agents: of one environment that share the policy.

    Returns:
        0 to 1; None if the run is too short to say.
    """
    updates = planned_updates(config, agents)
    if updates < MIN_PLANNED_UPDATES:
        return None
    if config.learner.tau is not None:
        return float((1 - config.learner.tau) ** updates)
    return float(updates < target_period(config.learner))


def q_bound(returns_abs_max: float, config: Config) -> float | None:
    """The largest |Q| that there can be if no n-step return is larger; None without discount.

    Munchausen's addition to rewards, and what `c51` can say at all, are allowed for.
    """
    how = config.algorithm
    discount = config.learner.gamma**config.learner.n_step
    if discount >= 1:
        return None
    added = 0.0
    if how.munchausen:
        added = -how.munchausen_scale * how.munchausen_clip
        added += how.munchausen_temperature * math.log(_ACTIONS)
    bound = (returns_abs_max + added) / (1 - discount)
    return max(bound, abs(how.v_min), abs(how.v_max)) if how.name == "c51" else bound


def _is_try(config: Config) -> bool:
    return planned_updates(config) < MIN_PLANNED_UPDATES


def _actors(config: Config) -> int:
    count = config.actors.count
    return 1 if count == "auto" else count
