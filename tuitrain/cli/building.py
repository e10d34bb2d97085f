"""Environment and network of a config, built in a process of their own: what it says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuitrain.config.schema import Config

DEADLINE_S = 120.0


def build(config: Config | None, tell: Callable[[str], None]) -> tuple[dict[str, Any], str]:
    """Have them built (``workers.asides.examine``).

    Args:
        config: resolved; None asks for torch alone.
        tell: shown what is being done.

    Returns:
        What was said, `torch` and `report` among it, and why there is no more; empty if all is.
    """
    from tuitrain.cli.aside import AsideError, ask
    from tuitrain.supervisor.supervisor import THREAD_VARIABLES

    said: dict[str, Any] = {}

    def answered(line: dict[str, Any]) -> bool:
        said.update(line)
        tell("building environment and network")
        return "report" in line

    question = None if config is None else json.loads(config.model_dump_json())
    threads = "1" if config is None else str(config.run.threads_per_process)
    try:
        ask(
            "tuitrain.workers.asides.examine",
            json.dumps({"config": question}),
            answered,
            DEADLINE_S,
            dict.fromkeys(THREAD_VARIABLES, threads),
        )
    except AsideError as failure:
        return said, str(failure)
    return said, ""
