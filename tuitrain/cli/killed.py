"""What the files of a run say that was killed with its supervisor, and so has no summary."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tuitrain.checkpoint.choice import returning_to
from tuitrain.checkpoint.files import checkpoints
from tuitrain.config.problems import ConfigError
from tuitrain.config.runs import RunFolder, RunFolderError
from tuitrain.metrics.rewind import is_number
from tuitrain.metrics.sinks import last_steps, read_jsonl

NOT_STARTED = "not started"


def last_seen(folder: RunFolder) -> dict[str, Any]:
    """How far it had come.

    Returns:
        `state` (`killed`, or `not started` if its supervisor has never written an event), `steps`
        and `total_steps`, `seen_s` (unix time of its last sign of life), `last_checkpoint` (path),
        `last_checkpoint_s` (unix time) and `last_checkpoint_steps`: of the newest, or of the one
        that it was on its way back to. What is not known is None.
    """
    try:
        total = folder.load_config().run.total_steps
    except (RunFolderError, ConfigError):
        total = None
    newest = _resumed_from(folder)
    signs = [_written_s(path) for path in (folder.metrics_jsonl, folder.events_jsonl)]
    return {
        "state": "killed" if folder.events_jsonl.is_file() else NOT_STARTED,
        "steps": last_steps(folder.metrics_jsonl),
        "total_steps": total,
        "seen_s": max((sign for sign in signs if sign is not None), default=None),
        "last_checkpoint": str(newest[0]) if newest else None,
        "last_checkpoint_s": _written_s(newest[0]) if newest else None,
        "last_checkpoint_steps": _steps_in(newest[0], folder) if newest else None,
    }


def _resumed_from(folder: RunFolder) -> list[Path]:
    """The checkpoint that a resume goes on from, or none."""
    back = returning_to(folder.checkpoints)
    return [back] if back is not None else checkpoints(folder.checkpoints)[-1:]


def killed_lines(folder: RunFolder, seen: dict[str, Any]) -> list[str]:
    """The same for a person, and what can be done."""
    if seen["state"] == "killed":
        lines = [
            f"{folder.name}: killed: its supervisor ended without a word (SIGKILL, reboot, or no "
            "room to write its summary?)"
        ]
    else:
        lines = [f"{folder.name}: {seen['state']}: its supervisor has not said anything yet"]
    if seen["steps"] is not None:
        of = "" if seen["total_steps"] is None else f" of {seen['total_steps']:,}"
        lines.append(f"  last seen at {seen['steps']:,}{of} environment steps{_at(seen['seen_s'])}")
    if seen["last_checkpoint"] is not None:
        written = _at(seen["last_checkpoint_s"])
        which = "newest checkpoint"
        if returning_to(folder.checkpoints) is not None:
            which = "on its way back to checkpoint"
        lines.append(f"  {which} {seen['last_checkpoint']}{written}")
        lines.append(f"  `tuitrain resume {folder.name}` goes on from it{_made_again(seen)}")
    else:
        lines.append(
            f"  it has no checkpoint; `tuitrain launch {folder.config_toml}` starts a new run with "
            "its config"
        )
    return lines


def _made_again(seen: dict[str, Any]) -> str:
    """What a resume costs, as far as it is known."""
    reached, kept = seen["steps"], seen["last_checkpoint_steps"]
    if reached is None or kept is None:
        return ""
    lost = max(0, reached - kept)
    return f", at {kept:,} steps: {lost:,} that came after it are made again"


def _steps_in(checkpoint: Path, folder: RunFolder) -> int | None:
    """Environment steps of a checkpoint, by the event that told of it."""
    for event in reversed(list(read_jsonl(folder.events_jsonl))):
        data = event.get("data")
        if isinstance(data, dict) and Path(str(data.get("checkpoint"))).name == checkpoint.name:
            steps = data.get("saved_steps")
            return int(steps) if is_number(steps) else None
    return None


def _at(unix_s: float | None) -> str:
    if unix_s is None:
        return ""
    return time.strftime(", %Y-%m-%d %H:%M:%S", time.localtime(unix_s))


def _written_s(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
