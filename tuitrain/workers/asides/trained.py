"""Policies of a run, live or ended, read back from its folder.

What `eval` plays and what ``load_policy`` returns are made here, from a checkpoint and the stored
config alone, so a run can be used long after its processes and shared memory are gone.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tuitrain.checkpoint.choice import NoSuchCheckpoint, choose
from tuitrain.checkpoint.files import (
    BEST,
    MANIFEST_SUFFIX,
    CheckpointError,
    checkpoints,
)
from tuitrain.checkpoint.manifest import parts_of
from tuitrain.checkpoint.parts import PART_SUFFIX
from tuitrain.checkpoint.payload import load, newest
from tuitrain.config.runs import RunFolder
from tuitrain.config.schema import Config
from tuitrain.envs.spec import EnvSpec
from tuitrain.learning.policy import Policy
from tuitrain.workers.build import checked_lanes, network_for
from tuitrain.workers.evaluating.evaluator import EvalResult, Evaluator

STANDALONE_EVALUATION = 0
"""Number (and so seed) of an evaluation outside a run; a run's own start at 1."""


@dataclass(frozen=True)
class Trained:
    """A run's config and spec, and its policies as of one checkpoint.

    Attributes:
        updates: that each policy had made by then.
        checkpoint: which it is.
        passed_over: one line for each newer checkpoint that is damaged; show them to the user.
    """

    config: Config
    spec: EnvSpec
    policies: dict[str, Policy]
    steps: int
    updates: dict[str, int]
    checkpoint: Path
    passed_over: tuple[str, ...] = ()


def load_trained(run_dir: Path, which: Path | None = None, device: str = "cpu") -> Trained:
    """Read the newest good checkpoint of a run, or the one named.

    Raises:
        FileNotFoundError: the run has no checkpoint yet.
        CheckpointError: it is not sound, or what is named is only a part of one.
        RunFolderError, ConfigError: the run's config.toml cannot be read, or says something wrong.
    """
    config = RunFolder(run_dir).load_config()
    passed_over: list[str] = []
    if which is None:
        found = newest(run_dir / "checkpoints")
        if found is None:
            raise FileNotFoundError(
                f"{run_dir} has no checkpoint; `tuitrain checkpoint` makes one while it runs"
            )
        which, payload, passed_over = found
    else:
        _refuse_part(which)
        payload = load(which)
    spec = EnvSpec.from_dict(payload["spec"])
    policies = {}
    for name, part in spec.policies.items():
        network = network_for(config, spec, name)
        network.load_state_dict(payload["policies"][name]["dqn"]["online"])
        policies[name] = Policy(network, part.n_actions, device)
    updates = {name: payload["updates"][name] for name in spec.policies}  # in the run's order
    return Trained(config, spec, policies, payload["steps"], updates, which, tuple(passed_over))


def named(run_dir: Path, text: str) -> Path:
    """The checkpoint that a person means: `best`, a number of updates, or a file.

    Raises:
        FileNotFoundError: there is none; lists those that there are.
    """
    folder = run_dir / "checkpoints"
    if text == Path(BEST).stem:
        if not (folder / BEST).is_file():
            raise FileNotFoundError(
                f"{run_dir.name} has no {BEST}: it has not been evaluated, or by a version of "
                "tuitrain that did not keep the best weights"
            )
        return folder / BEST
    if Path(text).exists() or os.sep in text:
        return Path(text)
    if (folder / text).is_file():
        return folder / text
    try:
        return choose(folder, text)
    except NoSuchCheckpoint as error:
        best = f", {Path(BEST).stem} ({BEST})" if (folder / BEST).is_file() else ""
        raise FileNotFoundError(f"{error}{best}") from error


def _refuse_part(path: Path) -> None:
    """What one of several learner processes has written holds some of the policies only."""
    if path.suffix != PART_SUFFIX:
        return
    whole = [
        manifest
        for manifest in checkpoints(path.parent)
        if manifest.suffix == MANIFEST_SUFFIX
        and path.name in (part.file for part in parts_of(manifest))
    ]
    what = (
        f"Name the whole one: {whole[-1]}"
        if whole
        else "No checkpoint beside it was made of it; name another, or none for the newest"
    )
    raise CheckpointError(f"{path} is what one learner process wrote of a checkpoint. {what}.")


def evaluate_run(
    trained: Trained, episodes: int, number: int = STANDALONE_EVALUATION
) -> list[EvalResult]:
    """Evaluate a run's checkpoint in this process, as the run's own evaluator would.

    Raises:
        SpecMismatch: the environment is not any more what the policies were trained on.
    """
    limits = trained.config.eval.model_copy(update={"episodes": episodes})
    config = trained.config.model_copy(update={"eval": limits})
    spec = trained.spec
    evaluator = Evaluator(
        config,
        spec,
        trained.policies,
        lambda n: checked_lanes(config, spec, n, for_evaluation=True),
    )
    with closing(evaluator):
        return evaluator.evaluate(number, lambda: None)
