"""Looking at runs without the terminal UI: one look, the list, and what dead ones left."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuitrain.checkpoint.files import BEST
from tuitrain.cli.commands import DEFAULT_RUNS
from tuitrain.cli.errors import Refused, explained
from tuitrain.cli.find import Found, RunArgument, RunsDirOption, every, find
from tuitrain.cli.killed import NOT_STARTED, killed_lines, last_seen
from tuitrain.config.runs import RunFolder, RunFolderError
from tuitrain.supervisor.house.leftovers import is_held

if TYPE_CHECKING:
    from tuitrain.protocol import Snapshot

STATUS_DEADLINE_S = 10.0
OUT_OF_REACH = "out of reach"
STARTING = "starting"
NAMED_POLICIES = 3
"""Up to so many policies are named in the line of a run."""


@explained
def ls(
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the runs of a folder, oldest first, and those that run elsewhere."""
    rows = [row_of(found) for found in every(runs_dir)]
    home = runs_dir.resolve()
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo(f"no runs in {runs_dir.absolute()}; `tuitrain launch CONFIG` starts one")
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        folder = Path(row["path"]).parent
        where = "" if folder.resolve() == home else f"  in {folder}"
        told = progress_of(row)
        typer.echo(f"{row['name']:<{width}}  {row['state']:<12}{told}{where}".rstrip())


@explained
def status(
    run: RunArgument = None,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the snapshot (or summary) as JSON.")
    ] = False,
) -> None:
    """Print the state of a run: progress, processes, checks; or how it ended."""
    found = find(run, runs_dir)
    snapshot = None if found.tenant is None else live_snapshot(found)
    summary = found.folder.read_summary() if snapshot is None else None
    if snapshot is None and summary is None:
        seen = seen_last(found.folder)
        if as_json:
            typer.echo(json.dumps({"live": False, **seen}))
        elif seen["state"] == OUT_OF_REACH:
            typer.echo(
                f"{found.folder.name}: {OUT_OF_REACH}: it lives, but its folder was moved or its "
                f"XDG_RUNTIME_DIR is another; {found.folder.runtime_json} names its process, and "
                "SIGTERM stops that with a checkpoint"
            )
        else:
            typer.echo("\n".join(killed_lines(found.folder, seen)))
    elif as_json:
        typer.echo(json.dumps({"live": snapshot is not None, **(snapshot or summary or {})}))
    elif snapshot is not None:
        _print_snapshot(found.folder.name, snapshot)
    elif summary is not None:
        print_summary(summary)


@explained
def clean(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be removed.")
    ] = False,
) -> None:
    """Remove shared memory, sockets, locks and processes that dead runs left behind.

    Every command does this for runs it knows to be dead. `clean` also removes segments of this
    user that belong to no run folder here and that no process has mapped, and the temporary
    folders of doctors that were killed. Run folders are kept.
    """
    from tuitrain.cli.homes import sweep_homes
    from tuitrain.supervisor.house.leftovers import orphans, sweep

    swept = sweep(dry_run=dry_run)
    lost = orphans(dry_run=dry_run)
    homes = sweep_homes(dry_run=dry_run)
    word = "would remove" if dry_run else "removed"
    for kind, items in (
        ("segment", [*swept.segments, *lost]),
        ("file", swept.files),
        ("process", swept.pids),
        ("folder", homes),
    ):
        for item in items:
            typer.echo(f"{word} {kind} {item}")
    if not swept and not lost and not homes:
        typer.echo("nothing to clean")


def live_snapshot(found: Found, deadline_s: float | None = None) -> dict[str, Any] | None:
    """What a run that lives says of itself; None if it has just ended."""
    from tuitrain.cli.client import BlockingClient

    assert found.socket_path is not None
    try:
        with BlockingClient(
            found.socket_path, deadline_s or STATUS_DEADLINE_S, found.folder.name
        ) as client:
            snapshot: dict[str, Any] = client.ask("status").result["snapshot"]
            return snapshot
    except Refused:
        if find(str(found.folder.path), DEFAULT_RUNS).tenant is None:
            return None  # it has just ended
        raise


def seen_last(folder: RunFolder) -> dict[str, Any]:
    """As `last_seen`, but a run that lives somewhere is `OUT_OF_REACH`, or just `STARTING`."""
    seen = last_seen(folder)
    with contextlib.suppress(OSError):
        if is_held(folder.path):  # else it was moved, or has another XDG_RUNTIME_DIR
            seen["state"] = STARTING if seen["state"] == NOT_STARTED else OUT_OF_REACH
    return seen


def row_of(found: Found, deadline_s: float | None = None) -> dict[str, Any]:
    """What `ls` tells of a run; of one that lives, as it is now.

    Args:
        deadline_s: how long it may take to answer; `STATUS_DEADLINE_S`.
    """
    folder = found.folder
    row: dict[str, Any] = {
        "name": folder.name,
        "path": str(folder.path),
        "live": found.tenant is not None,
        "run_id": None if found.tenant is None else found.tenant.run_id,
        "state": "killed",
        "steps": None,
        "total_steps": None,
        "eval_best": None,
        "eval_best_by_policy": {},
        "best_checkpoint": _kept_best(folder),
    }
    if found.tenant is not None:
        try:
            snapshot = live_snapshot(found, deadline_s)
        except Refused:  # one run that is suspended must not hide the others
            return row | {"state": "no answer"}
        if snapshot is not None:
            row |= {k: snapshot[k] for k in ("state", "steps", "total_steps")}
            return _with_best(row, {p["name"]: p["eval_best"] for p in snapshot["policies"]})
    try:
        summary = folder.read_summary()
    except RunFolderError:
        return row | {"state": "damaged"}
    if summary is not None:
        row |= {k: summary[k] for k in ("state", "steps", "total_steps")}
        bests = {name: policy["eval_best"] for name, policy in summary["policies"].items()}
        return _with_best(row, bests)
    seen = seen_last(folder)
    return row | {k: seen[k] for k in ("state", "steps", "total_steps")}


def progress_of(row: dict[str, Any]) -> str:
    """Of a row, the steps and the best evaluation."""
    total = row["total_steps"] or 0
    steps = "" if row["steps"] is None else f"{row['steps']:>13,}/{total:,} steps"
    score = _best(row["eval_best_by_policy"])
    if row["best_checkpoint"]:
        score = f"{score} ({BEST})" if score else f"  {BEST}"
    return f"{steps}{score}"


def _kept_best(folder: RunFolder) -> str | None:
    """The file with the weights of the best evaluation, if there is one."""
    path = folder.checkpoints / BEST
    return str(path) if path.is_file() else None


def _with_best(row: dict[str, Any], bests: dict[str, float | None]) -> dict[str, Any]:
    """The row with the best evaluation of every policy, and their mean, once all have one."""
    values = [best for best in bests.values() if best is not None]
    mean = sum(values) / len(values) if values and len(values) == len(bests) else None
    return row | {"eval_best": mean, "eval_best_by_policy": bests}


def _best(bests: dict[str, float | None]) -> str:
    """`best eval 4.2`; of a few policies each by name, of many their mean."""
    values = {name: best for name, best in bests.items() if best is not None}
    if not values:
        return ""
    if len(bests) == 1:
        return "".join(f"  best eval {best:.4g}" for best in values.values())
    if len(bests) <= NAMED_POLICIES:
        return "  best eval " + ", ".join(f"{name} {best:.4g}" for name, best in values.items())
    mean = sum(values.values()) / len(values)
    return f"  best eval {mean:.4g}, mean of {len(values)} policies"


def _print_snapshot(name: str, data: dict[str, Any]) -> None:
    from tuitrain.protocol import Snapshot
    from tuitrain.supervisor.clients.console import best_line, changed_lines, progress_line

    snapshot = Snapshot.model_validate(data)
    typer.echo(f"{name}  {snapshot.schedule}  {snapshot.run_dir}")
    typer.echo(progress_line(snapshot))
    _print_learning(snapshot)
    if snapshot.bottleneck:
        typer.echo(snapshot.bottleneck)
    lost = {p.name: p.lost_updates for p in snapshot.policies if p.lost_updates}
    if lost:
        counts = ", ".join(f"{count:,} of {name}" for name, count in lost.items())
        typer.echo(f"updates lost by deaths of learners: {counts}")
    if snapshot.reproducible is not None:
        typer.echo(f"reproducible from its seed: {'yes' if snapshot.reproducible else 'no'}")
    for line in changed_lines({s.key: (s.value, s.given) for s in snapshot.settings}):
        typer.echo(line)
    if snapshot.best is not None:
        typer.echo(f"best weights {best_line(snapshot.best.model_dump())}")
    for rule in snapshot.stop_rules:
        typer.echo(f"{rule.key}: {rule.text}")
    for p in snapshot.processes:
        rate = "" if p.rate is None else f"{p.rate:,.1f} {p.rate_unit}"
        pid = "" if p.pid is None else f"pid {p.pid}"
        beat = "" if p.beat_age_s is None else f"beat {p.beat_age_s:.1f}s ago"
        memory = "" if p.rss_bytes is None else f"{p.rss_bytes / 2**20:,.0f} MiB"
        more = p.error or (f"waits: {p.wait}" if p.wait else "")
        if p.state == "silent" and p.stands_in:
            more = f"in: {p.stands_in}"
        line = f"  {p.name:<8} {p.state:<9} {pid:<11} {rate:>14}  {memory:>10}  {beat:<15} {more}"
        typer.echo(line.rstrip())
        if p.restarts and not p.error:
            typer.echo(f"           ↻{p.restarts} started again after a death, last: {p.died_of}")
        if p.rolled_back:
            typer.echo(f"           went back {p.rolled_back}× with the others")
    marks = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}
    for c in snapshot.checks:
        if c.state == "n/a":
            continue
        advice = f"  {c.advice}" if c.advice else ""
        typer.echo(f"  {marks[c.state]} {c.name:<15} {c.value}  (limit {c.limit}){advice}")
    if unknown := [c.name for c in snapshot.checks if c.state == "n/a"]:
        typer.echo(f"  n/a  {', '.join(unknown)}")


def _print_learning(snapshot: Snapshot) -> None:
    """The verdict; of several policies that of the worst, by name, and a table of all."""
    from tuitrain.tui.text import DARK
    from tuitrain.tui.widgets.policies import policy_table

    learning = snapshot.learning
    if len(snapshot.policies) < 2 or not learning.policy:
        typer.echo(f"learning {learning.verdict}: {learning.reason}")
        return
    whose = learning.policy
    reason = learning.reason.removeprefix(f"{whose}: ")
    many = f"worst of {len(snapshot.policies)} policies"
    typer.echo(f"learning, {many}: {whose} → {learning.verdict}: {reason}")
    for line in policy_table(snapshot.policies, 1000, DARK):
        typer.echo(f"  {line.plain}".rstrip())


def print_summary(summary: dict[str, Any]) -> None:
    """How a run ended, in a few lines."""
    from tuitrain.supervisor.clients.console import summary_lines

    for line in summary_lines(summary):
        typer.echo(line)
