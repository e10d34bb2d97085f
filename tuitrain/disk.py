"""Why something could not be written, in words; of a full disk how much was needed and is free."""

from __future__ import annotations

import errno
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
    if error.errno not in FULL:
        return text
    told = [] if needed_bytes is None else [f"{size(needed_bytes)} needed"]
    free = free_bytes(folder)
    if free is not None:
        told.append(f"{size(free)} free in {folder}")
    return f"{text} ({', '.join(told)})" if told else text


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
