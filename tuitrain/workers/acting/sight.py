"""What an actor sees at this moment, small enough for a message; made only when somebody asks."""

from __future__ import annotations

import base64
import zlib
from typing import Any

from tuitrain.envs.sight import Picture, picture_of, shrunk
from tuitrain.workers.acting.actor import Actor

MOST_PIXELS = 48
"""Of a side: with three bytes for each, not half of what a message may hold."""


def see(actor: Actor, policy: str) -> dict[str, Any]:
    """The newest observation of a policy's first agent in the actor's first environment.

    Where that is no picture but the lanes can draw their worlds, the first world.

    Returns:
        `width`, `height` and `pixels` (base64 of zlib of red, green and blue, row by row) of what
        `of` says; or `why` there are none.
    """
    seen = actor.seen(policy)
    if seen is None:
        return {"why": "nothing has been seen yet"}
    of, picture = "observation", picture_of(seen)
    if picture is None and (drawn := actor.drawn()) is not None:
        of, picture = "world", drawn
    if picture is None:
        return {"why": f"observations of shape {list(seen.shape)} are no picture"}
    return _packed(shrunk(picture, MOST_PIXELS)) | {"of": of}


def _packed(picture: Picture) -> dict[str, Any]:
    height, width, _ = picture.shape
    pixels = base64.b64encode(zlib.compress(picture.tobytes(), 1)).decode()
    return {"width": width, "height": height, "pixels": pixels}
