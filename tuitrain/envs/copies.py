"""Copies of an environment that all see and do the same, and what that is.

Knows nothing of how environments are stepped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tuitrain.envs.masks import mask_in
from tuitrain.envs.spaces import EnvError
from tuitrain.envs.spec import EnvSpec, PolicySpec
from tuitrain.seeding import GlobalRandom


def build_copies(
    factories: Sequence[Callable[[], Any]], where: str, spec_of: Callable[[Any], EnvSpec]
) -> tuple[list[Any], EnvSpec]:
    """Call every factory; what all of them see and do.

    Raises:
        EnvError: two calls gave the same object, or copies differ; those built are closed.
    """
    envs: list[Any] = []
    specs: list[EnvSpec] = []
    try:
        for factory in factories:
            envs.append(factory())
            # Two lanes over one object would reset and step each other's episodes.
            if any(_innermost(envs[-1]) is _innermost(env) for env in envs[:-1]):
                raise EnvError(
                    f"{where}: its factory returned the same environment twice. "
                    "It must build a new one in every call."
                )
            specs.append(spec_of(envs[-1]))
            differences = specs[0].differences(specs[-1])
            if _order(envs[0]) != _order(envs[-1]):
                differences.append(f"agents in order {_order(envs[0])} and {_order(envs[-1])}")
            if differences:
                raise EnvError(
                    f"{where}: its copies differ: {'; '.join(differences)}. What its factory "
                    "builds must see and do the same every time, wherever agents are placed."
                )
    except BaseException:
        close_all(envs)
        raise
    return envs, specs[0]


def with_masks_of_infos(
    spec: EnvSpec, told: EnvSpec | None, envs: list[Any], info_of: Callable[[Any, str], Any]
) -> EnvSpec:
    """The spec with its last question answered: do infos say which actions are legal?

    No space declares that, so it is seen in what a first reset tells. The probe looks; whoever
    builds the same environment for a run is told by the probe's spec, so that no copy that is
    trained on is reset once more than it would be without masks.

    Args:
        spec: what spaces declare.
        told: the run's; None is to look, at ``envs[0]``, under a random state of its own.
        envs: closed if that fails.
        info_of: the info of an agent, in what ``reset`` returned as infos; or, where it returns
            none (PettingZoo's AEC), in the attribute ``infos``.
    """
    if told is not None:
        found = {name for name, policy in told.policies.items() if policy.masked}
    else:
        try:
            with GlobalRandom(np.random.SeedSequence(0)):
                result = envs[0].reset(seed=0, options=None)
        except BaseException:
            close_all(envs)
            raise
        infos = result[1] if isinstance(result, tuple) and len(result) == 2 else {}
        infos = infos or getattr(envs[0], "infos", {})
        found = {
            name
            for name, policy in spec.policies.items()
            if any(mask_in(info_of(infos, agent)) is not None for agent in policy.agents)
        }

    def settled(name: str, policy: PolicySpec) -> PolicySpec:
        return replace(policy, masked=policy.masked or name in found)

    return replace(spec, policies={n: settled(n, policy) for n, policy in spec.policies.items()})


def close_all(envs: list[Any]) -> None:
    """Close every environment that can be closed, once: the list is empty afterwards."""
    while envs:
        close = getattr(envs.pop(0), "close", None)
        if close is not None:
            close()


def _innermost(env: Any) -> Any:
    return getattr(env, "unwrapped", env)


def _order(env: Any) -> list[str]:
    return [str(agent) for agent in getattr(env, "possible_agents", ())]
