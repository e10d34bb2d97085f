"""The manifest of a checkpoint of several files: which parts and states are one.

Until it lies there under its name, the parts are nothing; from then on they are one checkpoint. Its
checksums, of the parts and of itself, see to it that none is of another one and none is lacking.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuitrain.checkpoint.files import MANIFEST_SUFFIX, CheckpointError, contents
from tuitrain.checkpoint.parts import Part, State

MANIFEST_SCHEMA = 3
"""Those of 1 have no checksum and do not name the run's policies, those of 2 no state; they are
read as well."""


def parts_of(manifest: Path) -> list[Part]:
    """The parts of a checkpoint, by its manifest. Raises as ``read_manifest`` does."""
    return read_manifest(manifest)[0]


def states_of(checkpoint: Path) -> list[State]:
    """The states of a checkpoint; none if it is a whole file. Raises as ``read_manifest`` does."""
    return read_manifest(checkpoint)[1] if checkpoint.suffix == MANIFEST_SUFFIX else []


def files_of(manifest: Path) -> list[str]:
    """Names of all files of a checkpoint but its manifest. Raises as ``read_manifest`` does."""
    return [one.file for some in read_manifest(manifest) for one in some]


def read_manifest(manifest: Path) -> tuple[list[Part], list[State]]:
    """Parts and states of a checkpoint.

    Raises:
        CheckpointError: it cannot be read or is not one, it has been changed, or a policy is in two
            parts or in none.
    """
    damaged = f"checkpoint {manifest} is damaged or not a checkpoint"
    data = contents(manifest)
    try:
        content = json.loads(data)
        schema = content["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = "no manifest" if any(data) else "all zero"
        what = f"its {len(data):,} bytes are {what}" if data else "it is empty"
        raise CheckpointError(f"{damaged}: {what}") from error
    if schema not in (1, 2, MANIFEST_SCHEMA):
        raise CheckpointError(f"{damaged}: schema {schema!r}, not {MANIFEST_SCHEMA}")
    try:
        parts = [Part.read(fields) for fields in content["parts"]]
        states = [State.read(fields) for fields in content.get("states", ())]
        held = sorted(held_by(parts))
        policies = sorted(set(held))
        matches = schema == 1 or content.pop("sha256") == sha256_of(content)
        if schema > 1:
            policies = sorted(content["policies"])
    except ValueError as error:
        raise CheckpointError(f"{damaged}: {error}") from error
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        what = "it does not name files and policies as a manifest does"
        raise CheckpointError(f"{damaged}: {what}") from error
    if not matches:
        raise CheckpointError(f"{damaged}: its content does not match its SHA-256")
    if not parts:
        raise CheckpointError(f"checkpoint {manifest} is damaged: it has no parts")
    if held != policies:
        raise CheckpointError(
            f"checkpoint {manifest} is damaged: its parts hold {', '.join(held)}, which is not "
            f"{', '.join(policies)}, each once"
        )
    return parts, states


def held_by(parts: Sequence[Part]) -> list[str]:
    """Policies whose learning is in these parts; one that is in two stands there twice."""
    return [name for part in parts for name in part.policies]


def sha256_of(content: dict[str, Any]) -> str:
    """Of what a manifest says, however it is spaced."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
