"""Starts a supervisor in this process: reads the run folder, opens the console, runs the loop."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

import uvloop

from tuitrain.config.problems import ConfigError
from tuitrain.config.runs import RunFolder, RunFolderError
from tuitrain.supervisor.clients.console import Console
from tuitrain.supervisor.ending import EXIT_CONFIG, EXIT_FAILED
from tuitrain.supervisor.house.leftovers import sweep
from tuitrain.supervisor.house.runtime import HouseError
from tuitrain.supervisor.plan import Plan
from tuitrain.supervisor.ready import ReadyPipe
from tuitrain.supervisor.stop_signals import held_back
from tuitrain.supervisor.supervisor import Supervisor


def supervise(
    run_dir: str | Path,
    *,
    headless: bool = True,
    as_json: bool = False,
    ready_fd: int | None = None,
    folder_fd: int | None = None,
    plan: Plan | None = None,
) -> int:
    """Run the folder's run to its end, in this process and from its main thread.

    Args:
        headless: print events and progress on stdout; `as_json` as JSON lines.
        ready_fd: where to report that the run is up; see `ready.py`.
        folder_fd: by which whoever started this holds the folder; see `folder_lock.py`.
        plan: other workers than a training run's, for tests.

    Returns:
        The exit code: 0 finished or stopped by its user, 2 the folder cannot be run, 3 failed,
        130 interrupted.
    """
    with held_back():  # until the supervisor has handlers
        return _supervise(
            Path(run_dir).absolute(),
            ReadyPipe(ready_fd),
            headless=headless,
            as_json=as_json,
            folder_fd=folder_fd,
            plan=plan,
        )


def _supervise(
    run_dir: Path,
    ready: ReadyPipe,
    *,
    headless: bool,
    as_json: bool,
    folder_fd: int | None,
    plan: Plan | None,
) -> int:
    try:
        folder = RunFolder(run_dir)
        config = folder.load_config()
        sweep()
    except (ConfigError, RunFolderError, HouseError) as error:
        return _refuse(ready, error)
    console = Console(as_json=as_json) if headless else None

    async def run() -> int:
        supervisor = Supervisor(
            folder, config, plan=plan, console=console, ready=ready, folder_fd=folder_fd
        )
        return await supervisor.run()

    # This process may be a user's script that goes on afterwards: leave it as it was.
    environment = dict(os.environ)
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        return uvloop.run(run())
    except (ConfigError, RunFolderError, HouseError) as error:
        return _refuse(ready, error)
    except Exception as error:
        traceback.print_exc()
        ready.failed(f"{type(error).__name__}: {error}")
        return EXIT_FAILED
    finally:
        os.environ.clear()
        os.environ.update(environment)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if console is not None:
            console.close()
        ready.close()


def _refuse(ready: ReadyPipe, error: Exception) -> int:
    print(f"tuitrain: {error}", file=sys.stderr)
    ready.failed(str(error))
    return EXIT_CONFIG
