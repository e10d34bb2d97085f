"""Running a config for a few seconds under the real supervisor, in a folder that is removed.

Whatever ends this process, the run ends too: it is stopped on the way out, and Linux stops it if
this process is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

from tuitrain.cli.client import BlockingClient
from tuitrain.cli.errors import Refused
from tuitrain.cli.homes import home
from tuitrain.config.runs import RunFolder, create_run
from tuitrain.config.schema import Config
from tuitrain.doctor.facts import Smoke
from tuitrain.doctor.smoke import shortened
from tuitrain.experiments.running import stop_with_parent
from tuitrain.supervisor.crew.process import printable
from tuitrain.supervisor.ready import command_line
from tuitrain.supervisor.stop_signals import held_back

T = TypeVar("T")

POLL_S = 0.1
EVALUATION_DEADLINE_S = 30.0
"""Two episodes of at most 200 steps; an environment may still be too slow for that."""

_KILL_AFTER_S = 10.0
"""Beyond `supervisor.stop_deadline_s`."""


def smoke_run(config: Config, agents: int, seconds: float, tell: Callable[[str], None]) -> Smoke:
    """Run `config`, shortened, for `seconds` from its first update on.

    Args:
        config: resolved.
        agents: of one environment, under the policy that has most of them.
        tell: shown what is being done.

    Raises:
        Refused, RunFolderError, OSError: as ``under_supervisor`` does.
    """

    def told(text: str) -> None:
        tell(f"smoke run: {text}")

    return under_supervisor(
        lambda home: shortened(config, home, agents),
        told,
        partial(_measure, seconds=seconds, tell=told),
    )


def under_supervisor(
    made: Callable[[str], Config],
    tell: Callable[[str], None],
    use: Callable[[RunFolder, Path], T],
) -> T:
    """Run a config under the real supervisor, in a folder that is removed.

    Args:
        made: the resolved config, given the folder that its run folder goes into.
        use: given the run's folder and socket once it is up; what it returns is returned.

    Raises:
        Refused: it did not come up or did not go on; with the traceback or log of what went wrong.
        RunFolderError: it has no folder.
    """
    # not where runs are made: a doctor leaves nothing there, not even when it is killed
    with home() as folder, ending_by_signals():
        return _run(create_run(made(str(folder))), tell, use)


@contextlib.contextmanager
def ending_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end this process as Ctrl-C does: by way of `finally`."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {n: signal.signal(n, leave) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(folder: RunFolder, tell: Callable[[str], None], use: Callable[[RunFolder, Path], T]) -> T:
    read_fd, write_fd = os.pipe()
    with folder.open_supervisor_log() as log, held_back():
        process = subprocess.Popen(
            command_line(folder.path, "--headless", "--ready-fd", str(write_fd)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write_fd,),
            start_new_session=True,
            preexec_fn=stop_with_parent if sys.platform == "linux" else None,
        )
    os.close(write_fd)
    try:
        problem = "the supervisor ended without a word"
        for said in _lines(read_fd):
            if said["event"] == "progress":
                tell(said["text"])
            elif said["event"] == "warning":
                pass  # doctor looks for the same itself
            elif said["event"] == "ready":
                return use(folder, Path(said["socket_path"]))
            else:
                problem = said["text"]
        process.wait()
        raise Refused(problem)
    except Refused as error:
        raise Refused(_with_cause(folder, str(error))) from error
    finally:
        os.close(read_fd)
        _end(process, folder)


def _measure(
    folder: RunFolder, socket: Path, *, seconds: float, tell: Callable[[str], None]
) -> Smoke:
    with BlockingClient(socket, name="the smoke run") as client:
        first, last = train_for(client, seconds, tell)
        ok, evaluated = None, ""
        if any(p["role"] in ("evaluator", "trainer") for p in last["processes"]) and (
            folder.load_config().eval.enabled
        ):
            tell("evaluating")
            answer = client.ask("evaluate", timeout_s=EVALUATION_DEADLINE_S)
            ok, evaluated = answer.ok, answer.message
        tell("stopping with a checkpoint")
        stopped = client.ask("stop")
        if not stopped.ok:
            raise Refused(stopped.message)
    files = [path for path in folder.checkpoints.iterdir() if path.is_file()]
    return Smoke(
        ran_s=last["elapsed_s"] - first["elapsed_s"],
        steps=last["steps"] - first["steps"],
        steps_before=first["steps"],
        updates=_updates(last) - _updates(first),
        ratios={
            p["name"]: (p["ratio_achieved"] if p["ratio_updates"] else None, p["ratio_target"])
            for p in last["policies"]
        },
        evaluation_ok=ok,
        evaluated=evaluated,
        checkpoint_bytes=sum(path.stat().st_size for path in files) if files else None,
        failing=tuple(
            f"{c['name']} {c['value']} (limit {c['limit']}): {c['advice']}"
            for c in last["checks"]
            if c["state"] == "fail"
        ),
    )


def train_for(
    client: BlockingClient, seconds: float, tell: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Let a run go on for `seconds` from its first update on.

    Returns:
        Snapshots of then and now.
    """
    tell("until the first update")
    first = last = _warm(client, seconds)
    tell(f"training for {seconds:g} s")
    while last["elapsed_s"] - first["elapsed_s"] < seconds:
        time.sleep(POLL_S)
        last = _status(client)
    return first, last


def _warm(client: BlockingClient, seconds: float) -> dict[str, Any]:
    """The first state in which every policy has been updated, or that after `seconds`."""
    first = snapshot = _status(client)
    while not (snapshot["policies"] and all(p["updates"] for p in snapshot["policies"])):
        if snapshot["elapsed_s"] - first["elapsed_s"] >= seconds:
            break
        time.sleep(POLL_S)
        snapshot = _status(client)
    return snapshot


def _status(client: BlockingClient) -> dict[str, Any]:
    snapshot: dict[str, Any] = client.ask("status").result["snapshot"]
    if snapshot["state"] != "running":
        raise Refused(f"the run is {snapshot['state']}")
    return snapshot


def _updates(snapshot: dict[str, Any]) -> int:
    return sum(policy["updates"] for policy in snapshot["policies"])


def _end(process: subprocess.Popen[bytes], folder: RunFolder) -> None:
    """It has ended, or does so now."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(folder.load_config().supervisor.stop_deadline_s + _KILL_AFTER_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        from tuitrain.supervisor.house.leftovers import sweep

        sweep()


def _with_cause(folder: RunFolder, problem: str) -> str:
    """With the traceback, or last log lines, of what went wrong."""
    from tuitrain.metrics.sinks import read_jsonl

    for event in reversed(list(read_jsonl(folder.events_jsonl, last=50))):
        data = event.get("data") or {}
        trace = data.get("traceback")  # "" where the message says all
        if event.get("level") == "error" and (trace is not None or data.get("log")):
            more = data["log"] if trace is None else trace.splitlines()
            return "\n".join([printable(event["text"]), *map(printable, more)])
    return printable(problem)


def _lines(fd: int) -> Iterator[dict[str, Any]]:
    with open(fd, "rb", closefd=False) as file:
        for line in file:
            with contextlib.suppress(ValueError):
                yield json.loads(line)
