"""What all tables of a config have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict


def unit(name: str) -> JsonDict:
    """What the numbers of a key count, for the reference and for errors."""
    return {"unit": name}


class Table(BaseModel):
    """A TOML table: unknown keys are errors, values are immutable once read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )
