"""Which agents act under which policy, and what each policy then sees and does.

Knows nothing of how environments are stepped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from tuitrain.config.schema import is_pattern
from tuitrain.envs.observations import form_of
from tuitrain.envs.spaces import EnvError, action_count
from tuitrain.envs.spec import EnvSpec, PolicySpec

PolicyMap = str | Mapping[str, str]
"""`policies.map` of a config: "each", "shared", or agent or pattern -> policy."""

SHARED = "shared"
"""Name of the policy that all agents have in common under `policies.map = "shared"`."""

_POLICY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Policy names become parts of names of files and shared-memory segments."""


def agents_of(env: Any) -> dict[str, Any]:
    """The environment's own agent objects by name: they need not be strings."""
    return {str(agent): agent for agent in env.possible_agents}


def spec_of_agents(env: Any, env_id: str, n_frames: int, policy_map: PolicyMap) -> EnvSpec:
    """What the agents of `env` see and do, where each of them may be absent.

    Raises:
        EnvError, UnsupportedSpace: see ``policies_of``.
    """
    policies = policies_of(env, f"environment {env_id!r}", policy_map)
    coming = {name: replace(policy, absences=True) for name, policy in policies.items()}
    return EnvSpec(env_id, n_frames, coming)


def policies_of(env: Any, where: str, policy_map: PolicyMap) -> dict[str, PolicySpec]:
    """Group the agents of `env` by policy, in the order of `possible_agents`.

    Raises:
        EnvError: no agents, two of one name, an entry of `policy_map` that fits no agent, or agents
            of one policy whose spaces differ.
        UnsupportedSpace: an agent's spaces are not supported.
    """
    agents = agents_of(env)
    if not agents:
        raise EnvError(f"{where}: its possible_agents is empty.")
    if len(agents) != len(env.possible_agents):
        names = [str(agent) for agent in env.possible_agents]
        twice = next(name for name in names if names.count(name) > 1)
        raise EnvError(
            f"{where}: {twice!r} is in its possible_agents more than once. Every agent needs a "
            "name of its own."
        )
    chosen = dict(_policy_names(list(agents), where, policy_map))
    specs: dict[str, PolicySpec] = {}
    for name, agent in agents.items():
        at = f"{where}, agent {name!r}"
        policy = chosen[name]
        if not _POLICY_NAME.fullmatch(policy):
            raise EnvError(
                f"{at}: {policy!r} cannot be a policy's name (letters, digits, '.', '_', '-', at "
                "most 64). Name its policy in policies.map."
            )
        spec = agent_spec(env.observation_space(agent), env.action_space(agent), name, at)
        if policy in specs:
            spec = _joined(specs[policy], spec, f"{where}: policy {policy!r}")
        specs[policy] = spec
    return specs


def agent_spec(observation_space: Any, action_space: Any, agent: str, where: str) -> PolicySpec:
    """What a policy of one agent sees and does.

    Raises:
        UnsupportedSpace: one of its spaces is not supported.
    """
    n_actions = action_count(action_space, where)
    form = form_of(observation_space, n_actions, where)
    return PolicySpec(
        form.shape, form.dtype, n_actions, (agent,), masked=form.masked, parts=form.parts
    )


def _policy_names(
    agents: Sequence[str], where: str, policy_map: PolicyMap
) -> Iterator[tuple[str, str]]:
    """The policy of each agent, by the rules of `policies.map`."""
    table: Mapping[str, str] = {}
    if not isinstance(policy_map, str):
        table = policy_map
    elif policy_map == SHARED:
        table = {"*": SHARED}
    patterns = {agent: policy for agent, policy in table.items() if is_pattern(agent)}
    unknown = [
        agent
        for agent in table
        if agent not in agents and not any(fnmatchcase(name, agent) for name in agents)
    ]
    if unknown:
        raise EnvError(
            f"{where}: policies.map names {', '.join(unknown)}; its agents are {', '.join(agents)}."
        )
    named: dict[str, str] = {}
    for name in agents:
        fitting = (policy for pattern, policy in patterns.items() if fnmatchcase(name, pattern))
        policy = table[name] if name in table else next(fitting, None)
        if policy is not None:
            named[name] = policy
    for name in agents:
        sharing = [agent for agent, policy in named.items() if policy == name]
        if name not in named and sharing:
            raise EnvError(
                f"{where}: in policies.map the policy of {', '.join(sharing)} is called {name!r}, "
                f"but so is that of agent {name!r}, which is not named there and has one of its "
                f'own. If they are to share it, add "{name}" = "{name}"; if not, call it otherwise.'
            )
        yield name, named.get(name, name)


def _joined(policy: PolicySpec, agent: PolicySpec, where: str) -> PolicySpec:
    """The spec of a policy that one more agent acts under.

    Raises:
        EnvError: it sees or does something else.
    """
    agents = (*policy.agents, *agent.agents)
    joined = replace(policy, agents=agents)
    if joined != replace(agent, agents=agents):
        raise EnvError(
            f"{where} has agents with different spaces: {policy.agents[0]!r} has "
            f"{policy.described()}; {agent.agents[0]!r} has {agent.described()}. "
            "Give them policies of their own in policies.map."
        )
    return joined
