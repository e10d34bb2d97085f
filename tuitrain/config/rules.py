"""Rules between keys: values that are each allowed but do not go together.

Every rule names the keys it reads. It is run whenever those are valid, also when others are not,
so that one run of the loader shows everything. Pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from tuitrain.config.problems import Problem
from tuitrain.config.schema import Config, is_pattern
from tuitrain.metrics.phases import WORKING_PHASES

NETWORKS = ("mlp", "nature", "minatar")
"""Networks with a name of their own; anything with a colon is a reference to a factory."""

Finder = Callable[[Config], Iterator[Problem]]


@dataclass(frozen=True)
class Rule:
    """`find` yields problems; it is called only if none of `keys` is wrong by itself."""

    keys: tuple[str, ...]
    find: Finder


_RULES: list[Rule] = []


def _rule(*keys: str) -> Callable[[Finder], Finder]:
    def register(find: Finder) -> Finder:
        _RULES.append(Rule(keys, find))
        return find

    return register


def check(config: Config, wrong: Collection[str] = ()) -> list[Problem]:
    """All problems between keys of `config`, skipping rules that read a key in `wrong`.

    A table in `wrong` stands for all its keys.
    """
    return [
        problem
        for rule in _RULES
        if not any(key in wrong or key.split(".")[0] in wrong for key in rule.keys)
        for problem in rule.find(config)
    ]


@_rule("learner.tau", "learner.target_update_every_updates")
def _one_target_rule(config: Config) -> Iterator[Problem]:
    learner = config.learner
    if learner.tau is not None and learner.target_update_every_updates is not None:
        yield Problem(
            "learner.tau",
            repr(learner.tau),
            "cannot be given together with learner.target_update_every_updates = "
            f"{learner.target_update_every_updates}: the target network is updated either softly "
            "in every update or by a copy every so many.",
            "Remove one of them.",
        )


@_rule("replay.learning_starts", "replay.capacity")
def _warm_up_fits(config: Config) -> Iterator[Problem]:
    replay = config.replay
    if replay.learning_starts > replay.capacity:
        yield Problem(
            "replay.learning_starts",
            str(replay.learning_starts),
            f"must be at most replay.capacity = {replay.capacity}, or learning never starts.",
        )


@_rule("replay.learning_starts", "run.total_steps", "policies.map")
def _learning_starts_in_time(config: Config) -> Iterator[Problem]:
    # Agents that share a policy each add a transition per environment step. The policy with the
    # fewest has the least time; how many a pattern names only the environment can tell.
    lanes = _fewest_agents(config)
    if lanes is None:
        return
    if config.replay.learning_starts >= config.run.total_steps * lanes:
        yield Problem(
            "replay.learning_starts",
            str(config.replay.learning_starts),
            f"must be less than run.total_steps = {config.run.total_steps}"
            + (f" × {lanes} agents of a policy" if lanes > 1 else "")
            + ", or training ends before learning starts.",
        )


@_rule("learner.batch_size", "replay.learning_starts")
def _first_batch_exists(config: Config) -> Iterator[Problem]:
    if config.learner.batch_size > config.replay.learning_starts:
        yield Problem(
            "learner.batch_size",
            str(config.learner.batch_size),
            f"must be at most replay.learning_starts = {config.replay.learning_starts}, "
            "so that the first batch can be drawn.",
        )


@_rule("learner.n_step", "replay.learning_starts")
def _n_step_fits(config: Config) -> Iterator[Problem]:
    if config.learner.n_step >= config.replay.learning_starts:
        yield Problem(
            "learner.n_step",
            str(config.learner.n_step),
            f"must be less than replay.learning_starts = {config.replay.learning_starts}, "
            "so that the first update finds a complete return.",
        )


@_rule(
    "actors.count",
    "actors.envs_per_actor",
    "actors.chunk_steps",
    "policies.map",
    "learner.n_step",
    "replay.learning_starts",
)
def _first_return_is_complete(config: Config) -> Iterator[Problem]:
    actors, n_step = config.actors, config.learner.n_step
    lanes = _lanes(config)
    if lanes is None or actors.chunk_steps > n_step:
        return
    if config.replay.learning_starts <= n_step * lanes:
        yield Problem(
            "replay.learning_starts",
            str(config.replay.learning_starts),
            f"must be more than learner.n_step × lanes = {n_step} × {lanes} = {n_step * lanes} "
            f"(or actors.chunk_steps more than {n_step}), so that the first update finds a "
            "complete return.",
        )


@_rule(
    "actors.count",
    "actors.envs_per_actor",
    "actors.chunk_steps",
    "policies.map",
    "env.n_frames",
    "learner.n_step",
    "replay.capacity",
)
def _replay_holds_whole_transitions(config: Config) -> Iterator[Problem]:
    chunk_steps, lanes = config.actors.chunk_steps, _lanes(config)
    rows = config.env.n_frames + config.learner.n_step
    if lanes is None or chunk_steps >= rows:
        return
    # Capacity is exact to one chunk of every actor.
    least = (rows + chunk_steps) * lanes
    if config.replay.capacity < least:
        yield Problem(
            "replay.capacity",
            str(config.replay.capacity),
            f"must be at least {least}: (env.n_frames + learner.n_step + actors.chunk_steps) × "
            f"lanes = ({config.env.n_frames} + {config.learner.n_step} + {chunk_steps}) × {lanes}, "
            "or no transition is in it with all its frames and rewards.",
        )


@_rule(
    "actors.count",
    "actors.envs_per_actor",
    "actors.chunk_steps",
    "policies.map",
    "replay.capacity",
)
def _chunks_fit(config: Config) -> Iterator[Problem]:
    lanes, chunk_steps = _lanes(config), config.actors.chunk_steps
    if lanes is None:
        return
    if lanes * chunk_steps > config.replay.capacity:
        yield Problem(
            "replay.capacity",
            str(config.replay.capacity),
            "must hold one chunk of every actor: lanes × actors.chunk_steps = "
            f"{lanes} × {chunk_steps} = {lanes * chunk_steps}.",
        )


@_rule("exploration.epsilon_start", "exploration.epsilon_end")
def _epsilon_falls(config: Config) -> Iterator[Problem]:
    exploration = config.exploration
    if exploration.epsilon_end > exploration.epsilon_start:
        yield Problem(
            "exploration.epsilon_end",
            repr(exploration.epsilon_end),
            f"must be at most exploration.epsilon_start = {exploration.epsilon_start}.",
        )


@_rule("learner.lr", "learner.lr_end", "learner.lr_schedule")
def _lr_falls(config: Config) -> Iterator[Problem]:
    learner = config.learner
    if learner.lr_schedule != "constant" and learner.lr_end > learner.lr:
        yield Problem(
            "learner.lr_end",
            repr(learner.lr_end),
            f"must be at most learner.lr = {learner.lr} with lr_schedule = "
            f'"{learner.lr_schedule}".',
        )


@_rule("learner.network")
def _network_is_known(config: Config) -> Iterator[Problem]:
    network = config.learner.network
    if ":" not in network and network not in NETWORKS:
        near = difflib.get_close_matches(network, NETWORKS, n=1, cutoff=0.5)
        yield Problem(
            "learner.network",
            f'"{network}"',
            'must be "mlp", "nature", "minatar", "package.module:factory" or "file.py:factory".',
            f'Did you mean "{near[0]}"?' if near else "",
        )


@_rule("learner.network", "learner.dueling")
def _dueling_is_ours(config: Config) -> Iterator[Problem]:
    learner = config.learner
    if learner.dueling and ":" in learner.network:
        yield Problem(
            "learner.dueling",
            "true",
            f'applies to {", ".join(NETWORKS)} only, not to learner.network = "{learner.network}".',
            "A network factory of your own makes its own heads.",
        )


@_rule("algorithm.name", "learner.network")
def _distribution_needs_our_heads(config: Config) -> Iterator[Problem]:
    name, network = config.algorithm.name, config.learner.network
    if name != "dqn" and ":" in network:
        yield Problem(
            "algorithm.name",
            f'"{name}"',
            f'needs learner.network = {", ".join(NETWORKS)}, not "{network}", which gives one '
            "value per action.",
        )


@_rule("algorithm.noisy", "learner.network")
def _noise_needs_our_heads(config: Config) -> Iterator[Problem]:
    network = config.learner.network
    if config.algorithm.noisy and ":" in network:
        yield Problem(
            "algorithm.noisy",
            "true",
            f'applies to {", ".join(NETWORKS)} only, not to learner.network = "{network}".',
        )


@_rule("algorithm.v_min", "algorithm.v_max")
def _support_has_extent(config: Config) -> Iterator[Problem]:
    how = config.algorithm
    if how.v_min >= how.v_max:
        yield Problem(
            "algorithm.v_max", repr(how.v_max), f"must be more than algorithm.v_min = {how.v_min}."
        )


@_rule("algorithm.munchausen", "algorithm.name")
def _munchausen_has_no_atoms(config: Config) -> Iterator[Problem]:
    if config.algorithm.munchausen and config.algorithm.name == "c51":
        yield Problem(
            "algorithm.munchausen",
            "true",
            'goes with dqn, qr-dqn and iqn, not algorithm.name = "c51".',
        )


@_rule("algorithm.munchausen", "learner.n_step")
def _munchausen_takes_one_step(config: Config) -> Iterator[Problem]:
    n_step = config.learner.n_step
    if config.algorithm.munchausen and n_step > 1:
        yield Problem(
            "algorithm.munchausen",
            "true",
            "adds the log-probability of one action to one reward, but learner.n_step = "
            f"{n_step} sums several.",
            "Set learner.n_step = 1.",
        )


@_rule("supervisor.heartbeat_s", "supervisor.phase_deadline_s")
def _phases_outlast_two_heartbeats(config: Config) -> Iterator[Problem]:
    supervisor = config.supervisor
    for name, seconds in supervisor.phase_deadline_s.items():
        if supervisor.heartbeat_s * 2 > seconds:
            yield Problem(
                f"supervisor.phase_deadline_s.{name}",
                repr(seconds),
                f"must be at least twice supervisor.heartbeat_s = {supervisor.heartbeat_s}, or "
                "healthy workers are taken for hung.",
            )


@_rule("supervisor.phase_deadline_s")
def _phases_have_names(config: Config) -> Iterator[Problem]:
    for name, seconds in config.supervisor.phase_deadline_s.items():
        if name in WORKING_PHASES:
            continue
        near = difflib.get_close_matches(name, WORKING_PHASES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        if name == "start":
            hint = " Of starting it is supervisor.startup_deadline_s."
        yield Problem(
            f"supervisor.phase_deadline_s.{name}",
            repr(seconds),
            f"no such phase of work; there are {', '.join(WORKING_PHASES)}.{hint}",
        )


@_rule("supervisor.heartbeat_s", "supervisor.progress_deadline_s")
def _beats_before_deadline(config: Config) -> Iterator[Problem]:
    supervisor = config.supervisor
    if supervisor.heartbeat_s * 2 > supervisor.progress_deadline_s:
        yield Problem(
            "supervisor.progress_deadline_s",
            repr(supervisor.progress_deadline_s),
            "must be at least twice supervisor.heartbeat_s = "
            f"{supervisor.heartbeat_s}, or healthy workers are taken for hung.",
        )


@_rule("stop.eval_return", "stop.no_improvement_evals", "eval.enabled")
def _stopping_needs_evaluations(config: Config) -> Iterator[Problem]:
    if config.eval.enabled:
        return
    for key in ("eval_return", "no_improvement_evals"):
        value = getattr(config.stop, key)
        if value is not None:
            yield Problem(
                f"stop.{key}",
                repr(value),
                "looks at evaluations, but eval.enabled = false: it would never end the run.",
            )
            return


@_rule("stop.policy", "stop.eval_return", "stop.no_improvement_evals")
def _stop_policy_is_asked_for(config: Config) -> Iterator[Problem]:
    stop = config.stop
    if stop.policy is not None and stop.eval_return is None and stop.no_improvement_evals is None:
        yield Problem(
            "stop.policy",
            f'"{stop.policy}"',
            "says whose evaluations count, but neither stop.eval_return nor "
            "stop.no_improvement_evals is given.",
        )


def _agents_named(config: Config) -> dict[str, int]:
    """By policy, how many agents `policies.map` names; 0 where only patterns do."""
    table = config.policies.map
    named: dict[str, int] = {}
    if not isinstance(table, str):
        for agent, policy in table.items():
            named[policy] = named.get(policy, 0) + (not is_pattern(agent))
    return named


def _fewest_agents(config: Config) -> int | None:
    """Agents of one environment under the policy that has fewest; None if that is not known."""
    table = config.policies.map
    if table == "shared":
        return None
    known = _agents_named(config)
    for agent, policy in [] if isinstance(table, str) else table.items():
        if is_pattern(agent):
            known.pop(policy, None)
    return min(known.values(), default=None if table and table != "each" else 1)


def _agents(config: Config) -> int:
    """Agents of one environment under the policy that has most of them, as far as is known."""
    return max(_agents_named(config).values(), default=1) or 1


def _lanes(config: Config) -> int | None:
    """Lanes of all actors under that policy; None while `actors.count` is open."""
    count = config.actors.count
    return count * config.actors.envs_per_actor * _agents(config) if count != "auto" else None
