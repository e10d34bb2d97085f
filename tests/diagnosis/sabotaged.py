"""Ten configs and environments of somebody whose run does not learn: files in ``sabotaged/``.

Each can be looked at by hand: ``cd tests/diagnosis && tuitrain launch sabotaged/tau.toml``.
"""

from __future__ import annotations

from tests.diagnosis.cases import HERE, Case

FOLDER = HERE / "sabotaged"


def of_run(name: str, fault: str, check: str) -> Case:
    """A config whose run goes on and does not learn."""
    return Case(name, fault, check, file=FOLDER / f"{name}.toml")


RUNS: tuple[Case, ...] = (
    of_run("ends", "the goal is told as a time limit", "episode_ends"),
    of_run("reward", "rewards are a million times too large", "reward_scale"),
    of_run("actions", "actions are shuffled", "action_effect"),
    of_run("constant", "every observation is the same", "observations"),
    of_run("epsilon", "epsilon never falls", "exploration"),
    of_run("lr-allowed", "the learning rate is 0.9", "lr"),
    of_run("tau", "tau is 1e-7", "target_network"),
    of_run("evaluation", "evaluations play another game", "evaluation_env"),
)
"""Of the run `tuitrain diagnose RUN` names this check first."""

UNBUILT: tuple[Case, ...] = (
    of_run("frames", "n_frames is known to the network only", "processes"),
)
"""Of the run, which never begins, it names this check first."""

REFUSED: dict[str, str] = {"lr": "learner.lr", "starts": "replay.learning_starts"}
"""Of the config `tuitrain diagnose CONFIG` names this key first."""
