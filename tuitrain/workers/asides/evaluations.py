"""What `env.eval_kwargs` change of the game, tried out in a process of its own before the run."""

from __future__ import annotations

import json
from typing import Any

from tuitrain.config.schema import Config
from tuitrain.envs.paired import Paired, paired
from tuitrain.envs.spec import EnvSpec
from tuitrain.workers.asides.forked import asked

LIMIT_S = 20.0
"""Playing takes about a second; what an environment takes to build is added four times."""

MAX_WHAT = 200
"""Of the words that say what is different."""


def tried_evaluations(
    config: Config, spec: EnvSpec, limit_s: float = LIMIT_S
) -> dict[str, Any] | None:
    """How evaluations and training compare where the same is done from the same seeds.

    Args:
        spec: as the probe has found it.
        limit_s: the trial is ended after so long.

    Returns:
        `words`, half a sentence on what was found, and whether it is `suspect`: more than nothing,
        or another size of rewards. None if nothing can be said, whatever the reason: the
        environment does not follow from its seeds, is slow, crashes.
    """
    env = config.env

    def trial() -> str:
        found = paired(env, env.of_evaluations, config.policies.map, spec)
        if found is None:
            return ""
        suspect = found.step is not None and not found.signs
        return json.dumps({"words": in_words(found), "suspect": suspect})

    try:
        answer = json.loads(asked(trial, limit_s))
    except ValueError:  # nothing can be said, or words on what has become of the process
        return None
    return answer if isinstance(answer, dict) else None


def in_words(found: Paired) -> str:
    """What was found, as half a sentence."""
    what = found.what[:MAX_WHAT]
    alike = "from the same seed, with the same actions,"
    if found.step is None:
        return f"{alike} nothing differed in {found.steps:,} steps of random play"
    if found.paid:
        but = ", though never in sign" if found.signs else ""
        return f"{alike} rewards differ from step {found.step:,} on{but}: {what}"
    return f"{alike} they lead elsewhere from step {found.step:,} on: {what}"
