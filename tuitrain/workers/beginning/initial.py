"""The weights that a new run begins with, where `run.init_from` names a checkpoint.

The probe reads them once, refuses what does not fit before any worker is started, and leaves them
in the run folder for the learners, who may be restarted when the checkpoint is long gone. Weights
alone are taken over: optimizer, counters, replay and exploration begin at zero. Never runs code
from the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tuitrain import regular
from tuitrain.checkpoint.payload import CheckpointError, load, write
from tuitrain.config.initial import WEIGHTS_NAME
from tuitrain.envs.spec import EnvSpec, PolicySpec
from tuitrain.learning.saved import RestoreError, check_modules_fit

Weights = dict[str, dict[str, Tensor]]
"""State of the online network, by policy."""


class CannotBegin(RuntimeError):
    """The weights do not fit this run; the message says whose, and in what."""


def read_initial(
    run_dir: Path, path: Path, spec: EnvSpec, networks: Mapping[str, nn.Module]
) -> list[str]:
    """Take the weights of all policies out of a checkpoint and leave them in the run folder.

    Args:
        path: of the checkpoint. Not looked at where the weights have been taken before.
        networks: of this run, by policy.

    Returns:
        What to tell the user.

    Raises:
        CannotBegin: it cannot be read, is not what it was at launch, lacks a policy, or was made
            with other observations, actions or networks.
    """
    if (run_dir / WEIGHTS_NAME).is_file():
        return []
    _check_unchanged(run_dir, path)
    held, steps = check_initial(path, spec, networks)
    try:
        write(run_dir / WEIGHTS_NAME, {"policies": {name: held[name] for name in networks}})
    except CheckpointError as error:
        raise CannotBegin(f"run.init_from: its weights cannot be kept: {error}") from error
    unused = [name for name in held if name not in networks]
    more = f"; those of {', '.join(unused)} are not used" if unused else ""
    return [f"begins with the weights in {path}, of {steps:,} environment steps{more}"]


def check_initial(
    path: Path, spec: EnvSpec, networks: Mapping[str, nn.Module]
) -> tuple[Weights, int]:
    """The weights of a checkpoint, which a run of this environment and networks can begin with.

    Returns:
        The weights of all its policies, and the environment steps that they were trained for.

    Raises:
        CannotBegin: they do not fit, or cannot be read.
    """
    try:
        payload = load(path)
        there = EnvSpec.from_dict(payload["spec"])
        held = {name: state["dqn"]["online"] for name, state in payload["policies"].items()}
    except CheckpointError as error:
        raise CannotBegin(f"run.init_from: {error}") from error
    except (KeyError, TypeError) as error:
        raise CannotBegin(f"run.init_from: {path} is no checkpoint of a run") from error
    if lacking := [name for name in networks if name not in held]:
        raise CannotBegin(
            f"run.init_from: {path} has no weights of {', '.join(lacking)}; it has those of "
            f"{', '.join(held) or 'nobody'}"
        )
    different = [
        f"{name}: {text}"
        for name in networks
        for text in _differences(spec, there, spec.policies[name], there.policies[name])
    ]
    if different:
        raise CannotBegin(
            f"run.init_from: {path} was made with another environment than this run has (here: "
            f"this run; there: the checkpoint): {'; '.join(different)}"
        )
    for name, network in networks.items():
        try:
            check_modules_fit("online", network.state_dict(), held[name])
        except RestoreError as error:
            raise CannotBegin(
                f"run.init_from: the weights of {name} in {path} do not fit the network that "
                f"learner.network, learner.dueling and [algorithm] give: {error}"
            ) from error
    return held, int(payload["steps"])


def initial_weights(run_dir: Path) -> Weights:
    """What ``read_initial`` has left.

    Raises:
        CheckpointError: it is gone or damaged.
    """
    weights: Weights = load(run_dir / WEIGHTS_NAME)["policies"]
    return weights


def _differences(spec: EnvSpec, there: EnvSpec, mine: PolicySpec, theirs: PolicySpec) -> list[str]:
    """What a network would see or do otherwise. How many agents act under it is no matter."""
    pairs: dict[str, tuple[Any, Any]] = {
        "frames": (spec.n_frames, there.n_frames),
        "observation shape": (mine.observation_shape, theirs.observation_shape),
        "observation dtype": (mine.observation_dtype, theirs.observation_dtype),
        "parts of an observation": (mine.layout(), theirs.layout()),
        "actions": (mine.n_actions, theirs.n_actions),
    }
    return [f"{key}: {a} here, {b} there" for key, (a, b) in pairs.items() if a != b]


def _check_unchanged(run_dir: Path, path: Path) -> None:
    """The file must be the one that provenance.json names, where there is something to compare."""
    try:
        told = json.loads(regular.read(run_dir / "provenance.json"))["init_from"]["sha256"]
        now = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return
    if told not in (None, now):
        raise CannotBegin(
            f"run.init_from: {path} has changed since the run was launched (SHA-256 {told[:12]}… "
            f"then, {now[:12]}… now); launch again to begin with what it is now"
        )
