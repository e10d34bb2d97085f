"""The weights of the best evaluation, kept beside the checkpoints as `best.pt`.

Written by whoever evaluates, so they are the very weights that earned the score, and no learner
waits. A checkpoint's form without optimizer and target: to be played, loaded and begun with, not to
be gone on from. How good the best so far is stands in the file itself, so a resumed run and a new
evaluator go on with it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tuitrain.checkpoint.files import BEST
from tuitrain.checkpoint.payload import CheckpointError, load, write
from tuitrain.learning.policy import Policy
from tuitrain.learning.saved import to_cpu
from tuitrain.learning.weights import Published
from tuitrain.workers.beginning.resuming import CHECKPOINT_SCHEMA
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.evaluating.evaluator import EvalResult


@dataclass(frozen=True)
class Told:
    """What a user should read; `best` is for the supervisor, see ``protocol.BestView``."""

    text: str
    level: Literal["info", "warning"] = "info"
    best: dict[str, Any] | None = None


class Best:
    """The best evaluation of a run, on the disk.

    Args:
        blueprint: of the run. Only one process of a run may have this at a time.

    Attributes:
        score: of the weights in the file; None where there are none yet.
        found: what the file of an earlier session, or evaluator, has given to tell.
    """

    def __init__(self, blueprint: Blueprint) -> None:
        self._blueprint = blueprint
        self._of = blueprint.config.stop.policy
        self._path = Path(blueprint.run_dir) / "checkpoints" / BEST
        self.score: float | None = None
        self.found: Told | None = None
        for left in self._path.parent.glob(f".{self._path.stem}.*.tmp"):  # a killed writer's
            with contextlib.suppress(OSError):
                left.unlink()
        if self._path.exists():
            self.found = self._read()

    def consider(
        self,
        results: Sequence[EvalResult],
        policies: Mapping[str, Policy],
        held: Mapping[str, Published],
        steps: int,
    ) -> Told | None:
        """Keep the weights that have been evaluated if none were better.

        The score is the mean return, over all policies or of `stop.policy` alone. An evaluation in
        which one of these has had no episode has no score.

        Args:
            policies: with the weights that were evaluated.
            held: which those are.
            steps: environment steps at which they were.

        Returns:
            What to tell; None if they are not the best. A disk that is full costs the file.
        """
        score = _score({r.policy: r.return_mean for r in results}, self._of)
        if score is None or (self.score is not None and score <= self.score):
            return None
        try:
            path = self._blueprint.checkpoints() / BEST
            write(path, self._payload(results, policies, held, steps))
        except CheckpointError as error:
            return Told(
                f"the best weights so far, {self._words(score, steps)}, could not be kept: "
                f"{error}; training goes on",
                "warning",
            )
        self.score = score
        return self._tell("best so far", score, steps)

    def _payload(
        self,
        results: Sequence[EvalResult],
        policies: Mapping[str, Policy],
        held: Mapping[str, Published],
        steps: int,
    ) -> dict[str, Any]:
        blueprint = self._blueprint
        return {
            "schema": CHECKPOINT_SCHEMA,
            "run_id": blueprint.run_id,
            "spec_hash": blueprint.spec.spec_hash(),
            "spec": blueprint.spec.to_dict(),
            "session": blueprint.base.session,
            "steps": steps,
            "updates": {name: held[name].updates for name in policies},
            "versions": {name: held[name].version for name in policies},
            "returns": {r.policy: r.return_mean for r in results},
            "ci95": {r.policy: r.return_ci95 for r in results},
            "episodes": {r.policy: r.episodes for r in results},
            "policies": {
                name: {"dqn": {"online": to_cpu(policy.state_dict())}}
                for name, policy in policies.items()
            },
        }

    def _read(self) -> Told:
        try:
            payload = load(self._path)
            score, steps = _score(payload["returns"], self._of), int(payload["steps"])
        except (CheckpointError, KeyError, TypeError, ValueError, AttributeError) as error:
            return Told(f"{self._path} cannot be read and will be replaced: {error}", "warning")
        if score is None:
            return Told(f"{self._path} has no score of {self._of} and will be replaced", "warning")
        self.score = score
        return self._tell("best until now", score, steps)

    def _tell(self, what: str, score: float, steps: int) -> Told:
        best = {"path": str(self._path), "score": score, "steps": steps, "policy": self._of}
        return Told(f"{what}: {self._words(score, steps)} ({self._path.name})", best=best)

    def _words(self, score: float, steps: int) -> str:
        whose = f" of {self._of}" if self._of else ""
        return f"mean return {score:.4g}{whose} at {steps:,} environment steps"


def _score(returns: Mapping[str, float], policy: str | None) -> float | None:
    """The number that is compared: larger is better; None where it is not known."""
    values = list(returns.values()) if policy is None else [returns.get(policy, math.nan)]
    score = math.fsum(values) / len(values) if values else math.nan
    return score if math.isfinite(score) else None
