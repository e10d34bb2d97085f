"""What ``import tuitrain`` offers: train a config, use what was trained.

``train`` starts the same supervisor process that `tuitrain launch --headless` starts, so a script
needs no ``if __name__ == "__main__"`` guard (no worker ever imports it) and a notebook works too.
"""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain import regular
from tuitrain.config.schema import Config
from tuitrain.envs.spec import PolicySpec


class TrainingFailed(RuntimeError):
    """The run ended by a failure; the message is its cause, `run_dir` holds its logs."""

    def __init__(self, message: str, run_dir: Path) -> None:
        super().__init__(message)
        self.run_dir = run_dir


@dataclass(frozen=True)
class RunResult:
    """How a run ended, where everything is, and all that summary.json says."""

    run_dir: Path
    state: str
    steps: int
    summary: dict[str, Any] = field(repr=False)


def train(
    config: Config | Mapping[str, Any] | str | Path,
    overrides: Sequence[str] = (),
    *,
    quiet: bool = False,
) -> RunResult:
    """Train to the end in the foreground.

    Runs are made where `tuitrain launch` makes them: in `run.out_dir` or, where no config names it,
    in `$TUITRAIN_RUNS_DIR`.

    Args:
        config: a ``Config``, a nested mapping like the TOML's tables, or the path of a TOML file.
        overrides: as `--set`, e.g. ``["learner.lr=1e-3", "run.schedule=sequential"]``.
        quiet: don't print the headless progress lines.

    Raises:
        ConfigError: something in the config is wrong; nothing has been created.
        TrainingFailed: a worker failed.
        KeyboardInterrupt: Ctrl-C; the run has been stopped with a checkpoint.
    """
    from tuitrain.config.load import config_from, load_config
    from tuitrain.config.resolve import resolve, with_runs_dir
    from tuitrain.config.runs import create_run
    from tuitrain.supervisor.ready import command_line
    from tuitrain.supervisor.stop_signals import held_back

    source = "config"
    if isinstance(config, str | Path):
        loaded, source = load_config(Path(config), overrides), str(config)
    else:
        given = with_runs_dir(config).model_dump() if isinstance(config, Config) else dict(config)
        loaded = config_from(given, overrides)
    run = create_run(resolve(with_runs_dir(loaded), source=source))
    output = subprocess.DEVNULL if quiet else None
    with held_back():
        process = subprocess.Popen(
            command_line(run.path, "--headless"), stdin=subprocess.DEVNULL, stdout=output
        )
    try:
        code = process.wait()
    except KeyboardInterrupt:
        # On a terminal it has been interrupted too and takes no notice of this; a notebook or an
        # editor interrupts this process alone.
        process.terminate()
        process.wait()
        raise
    summary = _read_summary(run.path)
    if code != 0:
        cause = summary.get("cause") or f"the supervisor ended with exit code {code}"
        raise TrainingFailed(f"{cause} (logs in {run.path / 'logs'})", run.path)
    return RunResult(run.path, summary["state"], summary["steps"], summary)


def _read_summary(run_dir: Path) -> dict[str, Any]:
    try:
        summary: dict[str, Any] = json.loads(regular.read(run_dir / "summary.json"))
    except (OSError, ValueError):
        return {}
    return summary


class ActState:
    """The frames a policy remembers between two calls of ``act``."""

    def __init__(self, spec: PolicySpec, n_frames: int, n_envs: int) -> None:
        from tuitrain.workers.evaluating.history import FrameHistory

        self.n_envs = n_envs
        self.history = FrameHistory(spec, n_frames, n_envs)


class Policy:
    """A trained policy, acting greedily as the run's evaluator does."""

    def __init__(self, acting: Any, spec: PolicySpec, n_frames: int) -> None:
        self.spec = spec
        self.n_frames = n_frames
        self._acting = acting

    def act(
        self, obs: Any, state: ActState | None = None, legal: NDArray[np.bool_] | None = None
    ) -> tuple[int | NDArray[np.int64], ActState]:
        """Greedy actions for one observation, or for a batch of environments in step.

        Args:
            obs: what one environment returned, be it a dictionary, a tuple or a number; or an array
                [*observation_shape], or [B, *observation_shape] for B environments.
            state: what the call before returned; None at the start of an episode.
            legal: bool [n_actions] or [B, n_actions], where the environment says which actions
                are; a dictionary's "action_mask" is read without being named.

        Returns:
            The action (int, or int64[B]) and the state for the next call.

        Raises:
            ValueError: the observation's shape or dtype is not the spec's, or it is not said what
                is legal.
            BadObservation: a part of a dictionary or tuple is not as declared.
        """
        if isinstance(obs, dict | tuple) or self._is_whole(obs):
            obs, said = self._row_of(obs)
            legal = said if legal is None else legal
        obs = np.asarray(obs)
        shape = self.spec.observation_shape
        single = obs.shape == shape
        batch = obs[None] if single else obs
        if batch.shape[1:] != shape:
            several = ", ".join(str(size) for size in ("B", *shape))
            raise ValueError(
                f"the policy takes observations of shape {shape} or ({several}), got {obs.shape}"
            )
        if not np.can_cast(batch.dtype, self.spec.dtype, "same_kind"):
            raise ValueError(
                f"the policy takes {self.spec.observation_dtype} observations as its environment "
                f"makes them, got {batch.dtype}"
            )
        first = state is None
        if state is None:
            one_agent = replace(self.spec, agents=("",), masked=False)
            state = ActState(one_agent, self.n_frames, len(batch))
        if state.n_envs != len(batch):
            raise ValueError(f"this state belongs to {state.n_envs} environments, not {len(batch)}")
        stacked = state.history.push(batch.astype(self.spec.dtype, copy=False), first)
        actions = self._acting.greedy(stacked, self._legal(legal, len(batch)))
        return (int(actions[0]) if single else actions), state

    def _is_whole(self, obs: Any) -> bool:
        """Whether it is a choice (Discrete, MultiDiscrete), which becomes a row of more numbers."""
        return any(
            part.kind == "one_hot" and not part.path and np.shape(obs) == part.shape
            for part in self.spec.parts
        )

    def _row_of(self, obs: Any) -> tuple[NDArray[Any], Any]:
        """The parts of an observation side by side, as they are kept; the mask in it, or None."""
        from tuitrain.envs.masks import mask_in
        from tuitrain.envs.observations import writer_of

        rows = np.zeros((1, *self.spec.observation_shape), self.spec.dtype)
        writer_of(self.spec)(rows, 0, obs, "act()")
        return rows[0], mask_in(obs)

    def _legal(self, legal: Any, rows: int) -> NDArray[np.bool_] | None:
        if legal is None:
            if self.spec.masked:
                raise ValueError(
                    "the policy was trained where not every action is legal: act() needs `legal`"
                )
            return None
        given = np.atleast_2d(np.asarray(legal) != 0)
        if given.shape != (rows, self.spec.n_actions) or not given.any(1).all():
            raise ValueError(
                f"legal must be bool [{rows}, {self.spec.n_actions}] with something legal in every "
                f"row, got shape {np.shape(legal)}"
            )
        return given


def load_policy(
    run: str | Path = "latest",
    policy: str | None = None,
    *,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
) -> Policy:
    """A policy of a run, live or ended, as of its newest checkpoint or of another one.

    Args:
        run: `latest` or a run's name, looked for in `$TUITRAIN_RUNS_DIR` or `runs`; or the path of
            its folder.
        policy: which one, if the run has several.
        checkpoint: `best` (weights of the run's best evaluation), a number of updates or a file;
            the newest sound one if not given.

    Raises:
        RunFolderError: no such run.
        FileNotFoundError: it has no checkpoint yet, or not that one.
        CheckpointError: the one named is damaged.
        ValueError: no such policy, or several and none named.

    Warns:
        UserWarning: a newer checkpoint is damaged, and an older one is used.
    """
    from tuitrain.config.places import runs_dir
    from tuitrain.config.runs import find_run
    from tuitrain.workers.asides.trained import load_trained, named

    path = find_run(str(run), runs_dir()).path
    which = None if checkpoint is None else named(path, str(checkpoint))
    trained = load_trained(path, which, device)
    for reason in trained.passed_over:
        warnings.warn(f"{reason}; {trained.checkpoint.name} is used instead", stacklevel=2)
    names = list(trained.policies)
    if policy is None and len(names) > 1:
        raise ValueError(f"this run has several policies, name one of {names}")
    name = policy if policy is not None else names[0]
    if name not in trained.policies:
        raise ValueError(f"this run has no policy {name!r}, it has {names}")
    return Policy(trained.policies[name], trained.spec.policies[name], trained.spec.n_frames)
