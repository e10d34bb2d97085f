"""Writing a file whole or not at all; and why something could not be written, in words."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import tempfile
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)


def write_atomically(path: Path, text: str, *, for_others: bool = False) -> None:
    """Replace a file by a rename, so that a reader sees the old or the new text, never half.

    Args:
        for_others: who may read it is left to the umask, as of any new file; otherwise nobody else.

    Raises:
        OSError: it could not be written, and is what it was; of a full disk `strerror` says how
            much was needed and is free.
    """
    try:
        _replace(path, text, for_others=for_others)
    except OSError as error:
        reason = why(error, path.parent, len(text.encode()))
        raise type(error)(error.errno, reason, str(path)) from error


def _replace(path: Path, text: str, *, for_others: bool) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if for_others:
                mask = os.umask(0o077)
                os.umask(mask)
                os.fchmod(file.fileno(), 0o666 & ~mask)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def why(error: OSError, folder: Path, needed_bytes: int | None = None) -> str:
    """The reason of a failed write; of a full disk with how much was needed and is free.

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


def no_room(folder: Path, n_bytes: int) -> str:
    """Why so much cannot be written there now, in words; empty if the disk is not full.

    Tried with a file without a name: how much is said to be free may be nobody's of this user.
    """
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(bytes(n_bytes))
            os.fsync(file.fileno())
    except OSError as error:
        return why(error, folder, n_bytes) if error.errno in FULL else ""
    return ""


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
