"""Why something could not be written, in words; of a full disk how much was needed and is free."""

from __future__ import annotations

import errno
import resource
import shutil
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)


def why(error: OSError, folder: Path, needed_bytes: int | None = None) -> str:
    """The reason of a failed write.

    Args:
        folder: in which it was written.
        needed_bytes: as much as was to be written, if that is known.
    """
    text = error.strerror or str(error)
    if error.errno == errno.EFBIG and (limit := file_limit_bytes()) is not None:
        return f"{text} (a file may have {size(limit)} at most: {how_to_lift('f', 'FSIZE')})"
    if error.errno not in FULL:
        return text
    told = [] if needed_bytes is None else [f"{size(needed_bytes)} needed"]
    free = free_bytes(folder)
    if free is not None:
        told.append(f"{size(free)} free in {folder}")
    return f"{text} ({', '.join(told)})" if told else text


def file_limit_bytes() -> int | None:
    """How large a file this process may make; None: as large as it likes."""
    return _limit(resource.RLIMIT_FSIZE)


def address_limit_bytes() -> int | None:
    """How much memory, shared or not, this process may have mapped; None: as much as it likes."""
    return _limit(resource.RLIMIT_AS)


def how_to_lift(letter: str, name: str) -> str:
    """What to do about a limit of the process: of `ulimit` its letter, of systemd its name."""
    return (
        f"run `ulimit -{letter} unlimited` in the shell that starts tuitrain, or start the service "
        f"with Limit{name}=infinity (systemd)"
    )


def _limit(which: int) -> int | None:
    limit = resource.getrlimit(which)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def free_bytes(folder: Path) -> int | None:
    """What this user may still write there, or where it would be made; None: cannot be told."""
    for place in (folder, *folder.absolute().parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def size(n_bytes: int) -> str:
    """In the unit that fits: 512 B, 3.4 KiB, 12.0 MiB."""
    value, unit = float(n_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{n_bytes} B" if unit == "B" else f"{value:,.1f} {unit}"
