"""Copies of an environment that all see and do the same, and what that is.

Knows nothing of how environments are stepped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from tuitrain.envs.masks import mask_in
from tuitrain.envs.spaces import EnvError
from tuitrain.envs.spec import EnvSpec, PolicySpec
from tuitrain.seeding import GlobalRandom

Tell = Callable[[Any], Iterator[Mapping[str, Any]]]
"""``tell(env)`` resets an environment and plays it on, for as long as it is asked to.

It yields the infos of those who are to act, by agent.
"""

_LOOK_MOMENTS = 1_000
"""For how long agents are waited for that are not there after the first reset."""


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
    spec: EnvSpec, told: EnvSpec | None, envs: list[Any], tell: Tell
) -> EnvSpec:
    """The spec with its last question answered: do infos say which actions are legal?

    No space declares that, so it is seen in what agents are told when they are first there: after a
    reset, or, if anybody has a mask then, as the others come. The probe looks; whoever builds the
    same environment for a run is told by the probe's spec, so that no copy that is trained on is
    reset once more than it would be without masks.

    Args:
        spec: what spaces declare.
        told: the run's; None is to look, at ``envs[0]``, under a random state of its own.
        envs: closed if that fails.
        tell: plays one of them.
    """
    if told is not None:
        masked = {name: policy.masked for name, policy in told.policies.items()}
    else:
        try:
            with GlobalRandom(np.random.SeedSequence(0)):
                masked = _masked_by_infos(spec, tell(envs[0]))
        except BaseException:
            close_all(envs)
            raise

    def settled(name: str, policy: PolicySpec) -> PolicySpec:
        return replace(policy, masked=policy.masked or masked[name])

    return replace(spec, policies={n: settled(n, policy) for n, policy in spec.policies.items()})


def _masked_by_infos(spec: EnvSpec, moments: Iterator[Mapping[str, Any]]) -> dict[str, bool]:
    """Whether the agents of each policy have masks in their infos, as they are first there."""
    policy_of = {agent: name for name, part in spec.policies.items() for agent in part.agents}
    found: dict[str, bool] = {}
    for infos in islice(moments, _LOOK_MOMENTS):
        now: dict[str, bool] = {}
        for agent, info in infos.items():
            name = policy_of.get(agent)
            if name is None:
                continue  # nobody that is known
            now[name] = now.get(name, False) or mask_in(info) is not None
        found = now | found
        # where nobody has a mask nothing is played
        if len(found) == len(spec.policies) or not any(found.values()):
            break
    # who has not come by now is as the others are
    return {name: found.get(name, any(found.values())) for name in spec.policies}


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
