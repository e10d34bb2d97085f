"""The first thing that runs in every worker process, and the last.

Makes sure that the worker dies with its supervisor whatever happens, that nothing it prints reaches
the terminal, and that a failure is told before it is died of. Then it calls the role's function by
name. Imports no torch: the supervisor imports this module to name ``main`` as its spawn target.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import functools
import gc
import importlib
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from tuitrain import parts, regular
from tuitrain.config.schema import Config
from tuitrain.replay.lock import LockTimeout
from tuitrain.workers import messages, stacks
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.link import Link, StopRequested
from tuitrain.workers.log import LogFile, set_level, text_stream

_PR_SET_PDEATHSIG = 1
MAX_MESSAGE_CHARS = 2_000
MAX_TRACEBACK_CHARS = 6_000
_MAX_PLACE_CHARS = 200
UNTOLD = 74
"""Exit code of a worker that could not tell why it has failed."""


class Refused(Exception):
    """A worker will not begin, for a reason that its cause says in full.

    The cause is told as the failure, without its traceback: that is in the log.
    """


@dataclass
class ChildArgs:
    """What a worker is started with. Picklable while a process is being spawned, only then.

    Attributes:
        name: `learner`, `a0`, `eval`, `trainer`, `probe`.
        incarnation: 0 for the first worker in this place of a session, one more per successor.
        entry: `module:function`, called as ``function(args, link)``.
        blueprint: None for the probe, which is asked for what a blueprint is made from.
        control: duplex pipe to the supervisor.
        lifeline: read end of a pipe that is never written; its EOF means the supervisor is gone.
        doorbell: read end of this worker's doorbell; `peers` are the others' write ends.
        nice: added to the process's niceness.
        handles: descriptors of the run's shared memory, for ``stores.attach``; None for whoever
            needs none.
    """

    name: str
    role: str
    index: int
    incarnation: int
    entry: str
    config: Config
    blueprint: Blueprint | None
    control: Connection
    lifeline: Connection
    doorbell: Connection
    log_path: str
    supervisor_pid: int
    run_dir: str = ""
    nice: int = 0
    peers: dict[str, Connection] = field(default_factory=dict)
    handles: Any = None


def main(args: ChildArgs) -> None:
    """Run one worker to its end. Exit code 0 after `Stop`, 1 (or `UNTOLD`) after an exception."""
    pid = os.getpid()
    for mine in (args.control, args.lifeline, args.doorbell, *args.peers.values()):
        os.set_inheritable(mine.fileno(), False)  # nor are they for what an environment starts
    _die_with_parent(args)
    logs, stacks_fd, no_log = _redirect_output(args.log_path)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if args.nice:
        with suppress(OSError):
            os.nice(args.nice)
    set_level(args.config.run.log_level)
    link = Link(args.control, args.doorbell, args.peers, args.config.supervisor.heartbeat_s)
    os.register_at_fork(after_in_child=link.abandon)
    # Building an environment may load what takes every signal for itself.
    link.before_ready = functools.partial(stacks.answer, stacks_fd)
    for log in logs:
        log.on_loss = functools.partial(link.notice, level="warning")
    if no_log:
        link.notice(no_log, level="warning")
    try:
        parts.put_in_place()
        module_name, _, function_name = args.entry.partition(":")
        module = _imported(module_name)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(args.config.run.threads_per_process)
        getattr(module, function_name)(args, link)
    except StopRequested:
        _end_a_fork_of(pid)
    except BaseException as error:
        _end_a_fork_of(pid)
        told = _report_failure(args.control, error, link.counters.progress)
        # A teardown of torch or of a broken environment may take seconds, hang or crash, and would
        # then hide the exit code of the failure that has just been told.
        _leave(1 if told else UNTOLD)
    # Python would wait here for every thread that an environment has left running.
    with suppress(Exception):
        atexit._run_exitfuncs()
    _leave(0)


def _imported(name: str) -> ModuleType:
    """A module, torch among what it imports.

    That makes hundreds of thousands of objects of which none is garbage. To look for some meanwhile
    takes a sixth of the time, and later a tenth of a second whenever all objects are looked at.
    """
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def _end_a_fork_of(pid: int) -> None:
    """A process that the environment has forked has come out of it: it is no worker."""
    if os.getpid() == pid:
        return
    with suppress(Exception):
        print("tuitrain: a process forked by the environment went on as the worker; ended here")
        traceback.print_exc()
    _leave(1)


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # an environment may have closed or replaced it
            stream.flush()
    os._exit(code)


def _die_with_parent(args: ChildArgs) -> None:
    """Three nets: PDEATHSIG, a check that the parent is still there, and the lifeline thread.

    The worker leads its own process group, so that processes an environment started (which do not
    inherit PDEATHSIG) die with it.
    """
    if os.getpgid(0) != os.getpid():
        os.setsid()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != args.supervisor_pid:
        os._exit(1)
    threading.Thread(
        target=_watch_lifeline, args=(args.lifeline.fileno(),), name="lifeline", daemon=True
    ).start()


def _watch_lifeline(fd: int) -> None:
    with suppress(OSError):
        while os.read(fd, 1):
            pass
    os.killpg(os.getpid(), signal.SIGKILL)


def _redirect_output(log_path: str) -> tuple[list[LogFile], int, str]:
    """stdin from /dev/null; stdout and stderr, also of C code, into the worker's log.

    Returns:
        The two streams; a descriptor for stacks, of crashes and of a worker that hangs; and why
        there is no log, or "".
    """
    log, no_log = _open_log(Path(log_path))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    stacks_fd = stacks.own_descriptor(2)
    os.close(log)
    os.close(null)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # lives as long as the process
    sys.stdout, out = text_stream(1)
    sys.stderr, err = text_stream(2)
    faulthandler.enable(file=stacks_fd)
    stacks.answer(stacks_fd)
    return [out, err], stacks_fd, no_log


def _open_log(path: Path) -> tuple[int, str]:
    """A descriptor of the log, or of /dev/null and why: a worker can do its work without one.

    Its folder may have been removed, logs being large; the run's is never made anew.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        with suppress(FileExistsError):
            path.parent.mkdir(mode=0o700)
        return regular.opener(str(path), flags), ""
    except OSError as error:
        why = f"what it prints is lost: {path} cannot be written: {error.strerror}"
        return os.open(os.devnull, os.O_WRONLY), why


def _report_failure(control: Connection, error: BaseException, progress: int) -> bool:
    """Tell the supervisor, and write it into the log. False: the supervisor cannot be told."""
    told = False
    refused = isinstance(error, Refused)
    if refused and error.__cause__ is not None:
        error = error.__cause__
    text = "".join(traceback.format_exception(error))
    words, place = _words(error), stacks.raised_at(error)
    for part in (1, 4, 16):  # what is no ASCII takes up to six bytes a character
        failed = messages.Failed(
            error_type=type(error).__name__,
            message=_encodable(words[: MAX_MESSAGE_CHARS // part]),
            traceback="" if refused else _encodable(text[-MAX_TRACEBACK_CHARS // part :]),
            where="" if refused or place is None else _encodable(str(place)[:_MAX_PLACE_CHARS]),
            progress=progress,
            blames_pid=error.holder_pid if isinstance(error, LockTimeout) else None,
        )
        with suppress(OSError, ValueError):
            control.send_bytes(messages.encode(failed))
            told = True
            break
    with suppress(Exception):  # an environment may have closed or replaced it
        print(text, file=sys.stderr, flush=True)
    return told


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"(its message cannot be had: {type(broken).__name__})"


def _encodable(text: str) -> str:
    """`text` without lone surrogates, which no message can carry."""
    return text.encode("utf-8", "backslashreplace").decode()
