"""The probe: builds environment and networks once, so that sizes are known before anything is made.

It is a worker like the others because an environment may crash, hang or print, and none of that may
happen in the supervisor. Its report is what a ``Blueprint`` is made from.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import gymnasium
import torch
from torch import nn

import tuitrain
from tuitrain.checkpoint.files import CheckpointError
from tuitrain.config import loaded
from tuitrain.config.problems import ConfigError, Problem
from tuitrain.config.provenance import source_hashes
from tuitrain.config.resolve import planned_updates
from tuitrain.config.rules import check
from tuitrain.config.schema import Config, PoliciesConfig
from tuitrain.disk import write_atomically
from tuitrain.envs.make import inspect
from tuitrain.envs.spaces import EnvError
from tuitrain.envs.spec import EnvSpec, PolicySpec
from tuitrain.learning.bodies import NetworkError
from tuitrain.learning.flatten import layout_of
from tuitrain.learning.network_probe import Examined, examine
from tuitrain.workers.asides.evaluations import tried_evaluations
from tuitrain.workers.asides.savable import why_unsaved
from tuitrain.workers.beginning.initial import CannotBegin, check_initial, read_initial
from tuitrain.workers.beginning.resuming import (
    CannotResume,
    check_environment,
    check_network,
    read_base,
    settle_best,
)
from tuitrain.workers.beginning.taking_over import with_state
from tuitrain.workers.blueprint import REPORT_NAME, Blueprint
from tuitrain.workers.build import SpecMismatch, checked_lanes, network_for
from tuitrain.workers.child import ChildArgs, Refused
from tuitrain.workers.link import Link

EXPECTED = (
    EnvError, NetworkError, ConfigError, CheckpointError, CannotResume, CannotBegin, SpecMismatch,
)  # fmt: skip
"""What ``probe`` raises whose message says enough."""


def run(args: ChildArgs, link: Link) -> None:
    """Leave the report in the run folder, say so, and end.

    Raises:
        Refused: environment, network, config or checkpoint cannot be used, and no code of the
            user's took part in finding that out: the traceback would show none but tuitrain's.
    """
    try:
        report = probe(args.config, Path(args.run_dir))
    except EXPECTED as error:
        if says_all(error):
            raise Refused from error
        raise
    if "resumes" in report:
        link.notice(report["resumes"])
    for text in [*report.pop("best"), *report.pop("init_from")]:
        link.notice(text)
    spec = EnvSpec.from_dict(report["spec"])
    for text in [*seen(spec), *planned_for_nobody_absent(args.config, spec, report["base"])]:
        link.notice(text)
    if others := args.config.env.eval_kwargs:
        report["evaluations"] = tried = tried_evaluations(args.config, spec)
        text = "evaluations play the environment with other settings than training: "
        words = f"; {tried['words']}" if tried else ""
        link.notice(f"{text}env.eval_kwargs = {others}{words}")
    report["unsaved_environment"] = ""
    if _wants_environments(args.config, report):
        report["unsaved_environment"] = why_unsaved(args.config, spec)
    skipped = report.pop("skipped")
    # a file, because the table of a large network's weights does not fit a message
    try:
        write_atomically(Path(args.run_dir) / REPORT_NAME, json.dumps(report))
    except OSError as error:
        raise Refused from error
    link.ready(device=report["device"], data={"report": REPORT_NAME, "skipped": skipped})


def probe(config: Config, run_dir: Path | None) -> dict[str, Any]:
    """What `Blueprint.from_probe` needs.

    Args:
        run_dir: of the run; None where there is none yet, and nothing is to be left anywhere.

    Raises:
        whatever the environment or network factory raises; UnsupportedSpace; NetworkError also of a
            network that cannot learn rightly (``network_probe``); ConfigError if values
            do not go together, now that it is known which policies there are and how many agents
            share one; CannotResume if the run's checkpoint was made with something else,
            CannotBegin if that of `run.init_from` was; SpecMismatch if `env.eval_kwargs` lead to
            an environment that the networks do not fit.
    """
    spec = inspect(config.env, config.policies.map)
    _check_with_agents(config, spec)
    if config.eval.enabled and config.env.eval_kwargs:  # now, not when all workers are up
        checked_lanes(config, spec, 1, for_evaluation=True).close()
    base, checkpoint, skipped = read_base(None if run_dir is None else run_dir / "checkpoints")
    check_environment(checkpoint, spec)
    weights, networks, examined = {}, {}, {}
    for name in spec.policies:
        network = networks[name] = network_for(config, spec, name)
        check_network(checkpoint, name, network)
        weights[name] = layout_of(network).to_dict()
        examined[name] = asdict(_examined(config, spec, name, network))
    told: list[str] = []
    if config.run.init_from is not None and base.checkpoint is None:
        path = Path(config.run.init_from)
        if run_dir is None:
            check_initial(path, spec, networks)
        else:
            told = read_initial(run_dir, path, spec, networks)
    report = {
        "spec": spec.to_dict(),
        "weights": weights,
        "networks": examined,
        "device": resolve_device(config.learner.device),
        "base": asdict(base),
        "skipped": skipped,
        "best": [],
        "init_from": told,
        "software": loaded.versions(sys.modules),
        "sources": source_hashes(config, loaded.files(sys.modules)),
    }
    if base.checkpoint is not None:
        blueprint = Blueprint.from_probe(
            run_id="", run_dir=str(run_dir), lock_path="", config=config, report=report
        )
        base, report["resumes"] = with_state(base, checkpoint, blueprint)
        report["base"] = asdict(base)
        if run_dir is not None:
            report["best"] = settle_best(run_dir / "checkpoints", base)
    return report


def _examined(config: Config, spec: EnvSpec, policy: str, network: nn.Module) -> Examined:
    """What is wrong with a policy's network.

    Raises:
        NetworkError: something with which nothing could be learned rightly.
    """
    part = spec.policies[policy]
    found = examine(
        network,
        network_for(config, spec, policy),
        (spec.n_frames, *part.observation_shape),
        part.observation_dtype,
        part.parts if part.is_row else (),
    )
    for fault in found.faults:
        if fault.state == "refused":
            whose = f" of policy {policy}" if len(spec.policies) > 1 else ""
            name = config.learner.network
            raise NetworkError(f"{name}: the network{whose} {fault.says}: {fault.advice}")
    return found


def _wants_environments(config: Config, report: dict[str, Any]) -> bool:
    """Whether checkpoints of this run hold its environments, if they can be saved."""
    if config.run.schedule == "async":
        return False
    try:
        blueprint = Blueprint.from_probe(
            run_id="", run_dir="", lock_path="", config=config, report=report
        )
    except ConfigError:
        return False  # the run is refused, in a moment and by whoever makes its blueprint
    return blueprint.saves_state


def says_all(error: BaseException) -> bool:
    """Whether neither the error nor what has led to it comes from code of the user's."""
    seen: BaseException | None = error
    while seen is not None:
        # the message of a syntax error lacks the line that its traceback shows
        if isinstance(seen, SyntaxError) or not all(map(_is_ours, _files(seen.__traceback__))):
            return False
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return True


_OURS = tuple(f"{Path(str(package.__file__)).parent}{os.sep}" for package in (tuitrain, gymnasium))
"""Folders of those who explain in words what they refuse."""


def _is_ours(file: str) -> bool:
    return file.startswith((*_OURS, "<frozen importlib")) or file == importlib.__file__


def _files(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename
        trace = trace.tb_next


def _check_with_agents(config: Config, spec: EnvSpec) -> None:
    """The rules between keys once more: `policies.map` may have left open who shares a policy,
    and which policies there are."""
    named = {agent: name for name, policy in spec.policies.items() for agent in policy.agents}
    settled = config.model_copy(update={"policies": PoliciesConfig(map=named)})
    problems = check(settled)
    wanted, names = config.stop.policy, ", ".join(spec.policies)
    if wanted is not None and wanted not in spec.policies:
        what = f"must be one of the run's policies ({names})."
        problems.append(Problem("stop.policy", f'"{wanted}"', what))
    if problems:
        raise ConfigError(problems, f"config with {len(named)} agents")


def seen(spec: EnvSpec) -> list[str]:
    """What a user should know of how observations and actions are taken; policies alike as one."""
    told: dict[str, list[str]] = {}
    for name, policy in spec.policies.items():
        for text in _told_of(policy):
            told.setdefault(text, []).append(name)
    return [f"{', '.join(names)}: {text}"[:_MAX_NOTICE] for text, names in told.items()]


def planned_for_nobody_absent(config: Config, spec: EnvSpec, base: dict[str, Any]) -> Iterator[str]:
    """What a user should know of schedules that the policies of absent agents may not end.

    Args:
        base: fields of the ``Base`` that the run goes on from.
    """
    for name, policy in spec.policies.items():
        planned = planned_updates(config, len(policy.agents))
        courses = ["replay.priority_beta"] if config.replay.prioritized else []
        if config.learner.lr_schedule != "constant" and (
            config.learner.lr_schedule_updates in (None, planned)
        ):
            courses.append("learner.lr_schedule (its learner.lr_schedule_updates can be set lower)")
        if courses and policy.absences:
            made = base["updates"].get(name)
            so_far = "" if made is None else f" (so far {made:,} in {base['steps']:,} steps)"
            yield (
                f"{name}: planned for {planned:,} updates, as many as are made if its agents are "
                f"never absent{so_far}: {' and '.join(courses)}"
            )


_MAX_NOTICE = 4_000


def _told_of(policy: PolicySpec) -> Iterator[str]:
    declared, kept = policy.observation_dtype, policy.dtype.name
    if policy.is_row:
        yield f"an observation is a row of {policy.observation_shape[0]} numbers: " + "; ".join(
            policy.layout()
        )
    elif declared not in (kept, "bool"):
        yield f"observations are declared {declared}; they are kept, and learned from, as {kept}"
    if policy.masked:
        yield "the environment says which actions are legal; no other is chosen"


def resolve_device(device: str) -> str:
    """`auto` becomes `cuda` if there is one.

    Raises:
        RuntimeError: a CUDA device is asked for that torch cannot use.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise RuntimeError(
                f"learner.device = {device!r}, but torch {torch.__version__} finds no CUDA device; "
                'set learner.device = "auto" or "cpu"'
            )
        index = torch.device(device).index or 0
        if index >= torch.cuda.device_count():
            raise RuntimeError(
                f"learner.device = {device!r}, but there are {torch.cuda.device_count()} devices"
            )
    return device
