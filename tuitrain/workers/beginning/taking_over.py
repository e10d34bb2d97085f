"""What of a checkpoint's state a resumed run takes over: all, the replay alone, or nothing of it.

Asked by the probe, once, so that every worker goes by the same answer. All: the run goes on as if
it had never been interrupted. The replay alone: it learns on at once, with new episodes and new
random streams. Nothing: it warms up again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tuitrain.checkpoint.manifest import states_of
from tuitrain.checkpoint.state import StateFile
from tuitrain.config.differences import deciding, differences, is_reproducible
from tuitrain.config.loaded import version_changes
from tuitrain.config.provenance import changed_since_launch, changed_sources
from tuitrain.config.runs import RunFolder
from tuitrain.workers.beginning.state_files import SCHEMA, layouts
from tuitrain.workers.blueprint import Base, Blueprint


def with_state(base: Base, payload: dict[str, Any], blueprint: Blueprint) -> tuple[Base, str]:
    """`base` with the state of its checkpoint, as far as this run can take it over.

    Args:
        base, payload: of ``resuming.read_base``.
        blueprint: of this run, but for its base.

    Returns:
        Also what is taken over and what not, in words; empty for a run that begins.

    Raises:
        CheckpointError: the state has been damaged since it was looked at.
    """
    if base.checkpoint is None:
        return base, ""
    checkpoint = Path(base.checkpoint)
    trees: dict[str, dict[str, Any]] = {}
    paths: dict[str, str] = {}
    for state in states_of(checkpoint):
        paths[state.worker] = str(checkpoint.with_name(state.file))
        with StateFile(Path(paths[state.worker])) as file:
            trees[state.worker] = file.tree
    blueprint = replace(blueprint, base=replace(base, laid_out=payload.get("laid_out", "")))
    changes = _changes(payload, blueprint)
    since = f". Changed since it was saved: {'; '.join(changes)}" if changes else ""
    if why := _not_usable(trees, payload, blueprint):
        return (
            base,
            f"the replay is not taken over: {why}; it is filled anew before the next update{since}",
        )
    versions = {
        name: max(version, *(tree["versions"][name] for tree in trees.values()))
        for name, version in base.versions.items()
    }
    base = replace(
        base,
        versions=versions,
        states=paths,
        since_steps=payload["since_steps"],
        since_inserts=payload["since_inserts"],
        since_updates=payload["since_updates"],
        laid_out=payload.get("laid_out", ""),
        ratios=payload.get("ratios", {}),
        began=payload.get("began", {}),
    )
    if why := _not_exact(trees, payload, blueprint):
        return base, f"goes on with the replay it had; episodes begin anew: {why}{since}"
    exact = replace(
        base,
        exact=True,
        reproducible=is_reproducible(
            exact=True, before=_was_reproducible(payload, trees), changes=changes
        ),
        stream=payload["stream"],
        evaluations=payload["evaluations"],
    )
    how = "as if it had not been interrupted"
    if changes:
        how = f"but for what has been changed since: {'; '.join(changes)}"
    elif blueprint.config.eval.enabled:
        how += " (evaluations too, if environments obey reset(seed))"
    return exact, f"goes on exactly where it was saved, {how}"


def _not_usable(
    trees: dict[str, dict[str, Any]], payload: dict[str, Any], blueprint: Blueprint
) -> str:
    """Why rows cannot be taken over; empty if they can."""
    if not trees or "since_steps" not in payload:
        return "the checkpoint was written without it"
    if other := [t["schema"] for t in trees.values() if t["schema"] != SCHEMA]:
        return f"its state has schema {other[0]}, this version of tuitrain reads {SCHEMA}"
    here = layouts(blueprint)
    for worker in (f"a{i}" for i in range(blueprint.n_actors)):
        there = trees[worker]["layouts"] if worker in trees else {}
        for policy, fields in here.items():
            before = there.get(policy)
            if before is None:
                return f"it holds nothing of {worker}, {policy}"
            if differing := [key for key in fields if fields[key] != before.get(key)]:
                key = differing[0]
                return f"{key} of {policy} was {before.get(key)} and is {fields[key]} now"
    return ""


def _not_exact(
    trees: dict[str, dict[str, Any]], payload: dict[str, Any], blueprint: Blueprint
) -> str:
    """Why the run does not go on as if it had not been interrupted; empty if it does."""
    if blueprint.config.run.schedule == "async":
        return "in async nothing is repeatable"
    moments = {payload["moment"], *(tree["moment"] for tree in trees.values())}
    if len(moments) > 1 or None in moments:
        return "it was saved at no boundary between rounds"
    for worker, tree in trees.items():
        if tree["actor"]["environments"] is None:
            return f"the environments of {worker} were not saved ({tree['unsaved']})"
    return ""


def _was_reproducible(payload: dict[str, Any], trees: dict[str, dict[str, Any]]) -> bool:
    """Of the training by which the checkpoint was made, also if a change was taken back since."""
    before = bool(payload.get("reproducible", False))
    exact = not any(tree.get("begun_anew") for tree in trees.values())
    return is_reproducible(exact=exact, before=before, changes=deciding(payload.get("changes", ())))


def _changes(payload: dict[str, Any], blueprint: Blueprint) -> list[str]:
    """What is not as it was when the checkpoint was made, and decides how training goes on.

    Earlier versions of tuitrain have written checkpoints that do not say all of it.
    """
    unsaid = "perhaps: the checkpoint does not say what it was made with"
    changes = [f"the config, {unsaid}"]
    if "config" in payload:
        changes = differences(payload["config"], blueprint.config, payload.get("changes"))
    if "software" not in payload:
        launched = RunFolder(Path(blueprint.run_dir)).provenance_json
        sources = changed_since_launch(launched, blueprint.config)
        return [*changes, f"versions of torch and other packages, {unsaid}", *sources]
    changes += version_changes(payload["software"], blueprint.software)
    return [*changes, *changed_sources(payload["sources"], blueprint.config)]
