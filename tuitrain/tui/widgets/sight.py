"""What actor 0 sees, two pixels to a cell: an upper half block in one colour on another."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from tuitrain.tui.text import age, clip, safe, wrap
from tuitrain.tui.view import View

HALF = "▀"
RAMP = " .:-=+*#%@"
"""Dark to light, where there are no colours."""
MOST_SIDE = 256
_LUMA = np.array([0.299, 0.587, 0.114])


def unpack(result: Mapping[str, Any]) -> NDArray[np.uint8] | None:
    """The picture of an answer to `see`: uint8 [height, width, 3]; None of one that is damaged."""
    width, height = result.get("width"), result.get("height")
    if not (isinstance(width, int) and isinstance(height, int)):
        return None
    if not (0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE):
        return None
    size = 3 * width * height
    try:
        packed = base64.b64decode(str(result.get("pixels")), validate=True)
        pixels = zlib.decompressobj().decompress(packed, size + 1)
    except (binascii.Error, ValueError, zlib.error):
        return None
    if len(pixels) != size:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def draw_sight(view: View, width: int, height: int) -> list[Text]:
    """The picture as large as fits in whole steps, and what it is of."""
    sight, palette = view.sight, view.palette
    if sight is None or height < 1:
        return []
    words = safe(sight.said, 200)
    if sight.pixels is not None:
        words += f", {age(view.sight_age_s)} ago"
    caption = clip(Text(words, palette.dim, end=""), width)
    if sight.pixels is None:
        return wrap(words, width, palette.dim)[:height]
    if height < 2:
        return [caption]
    cells = (paint_ascii if view.ascii_only else paint)(sight.pixels, width, height - 1)
    return [*cells, caption]


def paint(pixels: NDArray[np.uint8], width: int, height: int) -> list[Text]:
    """At most so many cells of half blocks."""
    fitted = _fitted(pixels, width, 2 * height)
    if len(fitted) % 2:
        fitted = np.concatenate([fitted, np.zeros_like(fitted[:1])])
    lines = []
    for upper, lower in zip(fitted[::2].tolist(), fitted[1::2].tolist(), strict=True):
        line = Text(end="")
        for (top, under), run in groupby(zip(upper, lower, strict=True)):
            line.append(HALF * len(list(run)), f"{_hex(top)} on {_hex(under)}")
        lines.append(line)
    return lines


def paint_ascii(pixels: NDArray[np.uint8], width: int, height: int) -> list[Text]:
    """The same without colours, two pixels to a character."""
    fitted = _fitted(pixels, width, 2 * height)
    rows = [fitted[i : i + 2].mean(0) @ _LUMA for i in range(0, len(fitted), 2)]
    steps = [(row * (len(RAMP) - 1) / 255).round().astype(int) for row in rows]
    return [Text("".join(RAMP[step] for step in row), end="") for row in steps]


def _fitted(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Every pixel as a square of whole cells, or every so many-th pixel, so that all fits."""
    rows, columns, _ = pixels.shape
    larger = min(width // columns, height // rows)
    if larger >= 1:
        return pixels.repeat(larger, 0).repeat(larger, 1)
    every = max(columns / max(1, width), rows / max(1, height))
    down, across = (np.arange(max(1, int(n / every))) * every for n in (rows, columns))
    return pixels[np.ix_(down.astype(np.int64), across.astype(np.int64))]


def _hex(colour: list[int]) -> str:
    red, green, blue = colour
    return f"#{red:02x}{green:02x}{blue:02x}"
