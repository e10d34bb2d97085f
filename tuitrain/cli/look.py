"""Looking at an environment before there is a run: what `tuitrain new` makes its config from."""

from __future__ import annotations

from typing import Any

from tuitrain.cli.aside import AsideError, ask
from tuitrain.cli.errors import Refused
from tuitrain.config.schema import EnvConfig
from tuitrain.config.starter import Seen, SeenPolicy

DEADLINE_S = 120.0
"""As long as a worker may take to start (`supervisor.startup_deadline_s`)."""


def look_at(config: EnvConfig, deadline_s: float = DEADLINE_S) -> Seen:
    """Build, reset and step an environment in a process of its own.

    Raises:
        Refused: it cannot be built, is not supported, crashed, or took longer than `deadline_s`.
    """
    found: list[dict[str, Any]] = []

    def answered(said: dict[str, Any]) -> bool:
        found.append(said["seen"])
        return True

    try:
        ask("tuitrain.workers.asides.look", config.model_dump_json(), answered, deadline_s)
    except AsideError as error:
        raise Refused(str(error)) from error
    return _seen(config, found[0])


def _seen(config: EnvConfig, data: dict[str, Any]) -> Seen:
    played = ("absent", "rewarded", "episodes", "return_mean", "length_mean")
    policies = {
        name: SeenPolicy(
            shape=tuple(policy["shape"]),
            dtype=policy["dtype"],
            high=policy["high"],
            n_actions=policy["n_actions"],
            agents=tuple(policy["agents"]),
            masked=policy["masked"],
            layout=tuple(policy["layout"]),
            **{key: policy[key] for key in played},
        )
        for name, policy in data.pop("policies").items()
    }
    return Seen(config.id, policies, config.kwargs, **data)
