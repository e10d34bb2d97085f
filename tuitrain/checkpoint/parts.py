"""What a checkpoint of several files consists of, as messages and its manifest name it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PART_SUFFIX = ".part"
STATE_SUFFIX = ".state"


@dataclass(frozen=True)
class Part:
    """What one process has written of a checkpoint.

    Attributes:
        file: its name, in the folder of the checkpoints.
        sha256: of its content, as the file itself says.
        policies: whose learning is in it.
        updates: most updates that any of them has made.
    """

    file: str
    sha256: str
    policies: tuple[str, ...]
    updates: int

    @classmethod
    def read(cls, fields: Any) -> Part:
        """From plain values. Raises ValueError if they are no part."""
        try:
            held = tuple(map(str, fields["policies"]))
            part = cls(str(fields["file"]), str(fields["sha256"]), held, int(fields["updates"]))
        except (TypeError, KeyError, OverflowError) as error:
            raise ValueError(f"not a part of a checkpoint: {fields!r}") from error
        if Path(part.file).name != part.file or not part.file.endswith(PART_SUFFIX):
            raise ValueError(f"{part.file!r} cannot be the name of a part")
        return part

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a message or a manifest."""
        return asdict(self) | {"policies": list(self.policies)}


@dataclass(frozen=True)
class State:
    """What one worker has written of its state (``state.py``).

    Attributes:
        file: its name, in the folder of the checkpoints.
        sha256: of the file.
        worker: whose it is, such as `a0`.
    """

    file: str
    sha256: str
    worker: str

    @classmethod
    def read(cls, fields: Any) -> State:
        """From plain values. Raises ValueError if they are no state."""
        try:
            state = cls(str(fields["file"]), str(fields["sha256"]), str(fields["worker"]))
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a state of a checkpoint: {fields!r}") from error
        if Path(state.file).name != state.file or not state.file.endswith(STATE_SUFFIX):
            raise ValueError(f"{state.file!r} cannot be the name of a state")
        return state

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a message or a manifest."""
        return asdict(self)
