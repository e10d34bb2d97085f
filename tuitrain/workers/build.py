"""Building a role's parts from the blueprint, the same way in every process.

A worker that finds another environment than the probe found refuses here, before it has touched
any shared state.
"""

from __future__ import annotations

import traceback

from torch import nn

from tuitrain.config.schema import Config
from tuitrain.envs.lanes.turns import AnyLanes
from tuitrain.envs.make import make_lanes
from tuitrain.envs.spec import EnvSpec
from tuitrain.learning.networks import build_network
from tuitrain.learning.policy import Policy
from tuitrain.parts import the
from tuitrain.seeding import stream


class SpecMismatch(RuntimeError):
    """This process sees another environment than the probe did."""


def checked_lanes(
    config: Config, spec: EnvSpec, n_envs: int, *, for_evaluation: bool = False
) -> AnyLanes:
    """Build `n_envs` environments and compare their spec with the run's.

    Args:
        for_evaluation: with `env.eval_kwargs` laid over `env.kwargs`.

    Raises:
        SpecMismatch: with one line per field that differs.
    """
    env = config.env.of_evaluations if for_evaluation else config.env
    lanes = the(make_lanes)(env, n_envs, config.policies.map, told=spec)
    check_spec(lanes, config, spec, for_evaluation=for_evaluation)
    return lanes


def check_spec(lanes: AnyLanes, config: Config, spec: EnvSpec, *, for_evaluation: bool) -> None:
    """Close `lanes` and raise ``SpecMismatch`` if their spec is not the run's."""
    if lanes.spec.spec_hash() == spec.spec_hash():
        return
    lanes.close()
    built, hint = "this process built an environment that differs from the probed one", ""
    if for_evaluation and (changed := config.env.eval_kwargs):
        built = "evaluations would play another environment than training"
        hint = f" (env.eval_kwargs = {changed} must not change that)"
    raise SpecMismatch(f"{built}: {'; '.join(lanes.spec.differences(spec))}{hint}")


def close_lanes(lanes: AnyLanes) -> None:
    """Close environments. One that fails at it is told of in the worker's log: its work is done."""
    try:
        lanes.close()
    except Exception:
        traceback.print_exc()


def network_for(config: Config, spec: EnvSpec, policy: str) -> nn.Module:
    """The network of `policy`, on the CPU, with the run's initial weights.

    Every process builds the same bytes: the seed depends on run seed and policy only.
    """
    part = spec.policies[policy]
    index = list(spec.policies).index(policy)
    return build_network(
        config.learner.network,
        (spec.n_frames, *part.observation_shape),
        part.observation_dtype,
        part.n_actions,
        config.learner.dueling,
        config.learner.network_kwargs,
        int(stream(config.run.seed, "network", index).generate_state(1)[0]),
        config.algorithm,
    )


def policies_for(
    config: Config, spec: EnvSpec, device: str, *, with_noise: bool = False
) -> dict[str, Policy]:
    """One acting policy per name, with initial weights (version -1 until some are pulled).

    Args:
        with_noise: whether noisy layers explore: for actors, not for evaluation.
    """
    return {
        name: the(Policy)(
            network_for(config, spec, name), part.n_actions, device, with_noise=with_noise
        )
        for name, part in spec.policies.items()
    }
