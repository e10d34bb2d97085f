"""Whether the run's environment can save its state, tried out in a process of its own.

The trial plays the environment further than the probe does, so it may crash or hang here that would
have done so later, or never. That must be a reason and not the end of a run that has not begun.
"""

from __future__ import annotations

from tuitrain.config.schema import Config
from tuitrain.envs.saving.trial import why_not
from tuitrain.envs.spec import EnvSpec
from tuitrain.workers.asides.forked import asked

LIMIT_S = 10.0
"""A trial takes half a second; what an environment takes to build is added four times."""


def why_unsaved(config: Config, spec: EnvSpec, limit_s: float = LIMIT_S) -> str:
    """Why checkpoints cannot hold the state of this environment, in words; "" if they can.

    Args:
        spec: as the probe has found it.
        limit_s: the trial is ended after so long.
    """
    return asked(lambda: why_not(config.env, config.policies.map, spec), limit_s)
