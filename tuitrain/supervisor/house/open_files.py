"""How many files a run's processes must be able to open, and seeing to it that they are."""

from __future__ import annotations

import errno
import os
import resource

SUPERVISOR_BASE = 34
SUPERVISOR_PER_WORKER = 8
"""While it starts workers: two pipes, a doorbell and a pidfd of each, and what spawning takes.
Measured, with one policy: 43 of 3 workers and 53 of 5 when all are up."""

WORKER_BASE = 64
"""Of these a worker has 11 for itself (measured); the rest is for importing and the environment."""

PER_SEGMENT = 2
"""The descriptor that is passed on, and that of the mapping."""


class TooFewFiles(RuntimeError):
    """The limit of open files is too low and cannot be raised; the message says what to do."""


def segments(policies: int) -> int:
    """Shared-memory segments of a run."""
    return 1 + 2 * policies


def files_needed(workers: int, policies: int) -> int:
    """Files that the process of a run that needs most must be able to open.

    Args:
        workers: processes beside the supervisor.
    """
    memory = PER_SEGMENT * segments(policies)
    supervisor = SUPERVISOR_BASE + SUPERVISOR_PER_WORKER * workers + memory
    worker = WORKER_BASE + workers + memory
    return max(supervisor, worker)


def enough_for(needed: int) -> int:
    """What to set a limit to so that there is room."""
    return max(1024, 2 * needed)


def why(error: OSError) -> str:
    """The reason why a file could not be opened; of too many open ones with what to do."""
    text = str(error)
    if error.errno == errno.EMFILE:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return (
            f"{text} (this process may have {soft} open, at most {hard}; `prlimit --pid "
            f"{os.getpid()} --nofile={max(1024, 2 * soft)}` as root lets it have more)"
        )
    if error.errno == errno.ENFILE:
        return f"{text} (all processes together; `sysctl fs.file-nr` tells how many may be)"
    return text


def allow_files(needed: int) -> str:
    """Raise this process's limit, which workers inherit, if it is lower than `needed`.

    Returns:
        What was done, in words; "" if it was enough.

    Raises:
        TooFewFiles: the hard limit does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= needed:
        return ""
    if hard != unlimited and hard < needed:
        target = enough_for(needed)
        raise TooFewFiles(
            f"the run's processes need about {needed} open files each and {hard} are allowed, also "
            f"at most (hard limit): run `ulimit -n {target}` as root in the shell that starts "
            f"tuitrain, or start the container with `--ulimit nofile={target}` (Docker, Podman), "
            f"the service with LimitNOFILE={target} (systemd)"
        )
    # No further than needed: a program that uses select() breaks beyond 1024.
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return f"the limit of open files was {soft} and is now {needed}, which this run may need"
