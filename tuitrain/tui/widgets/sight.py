"""What actor 0 sees, two pixels to a cell: an upper half block in one colour on another."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

from tuitrain.tui.text import LIGHT, age, clip, safe, wrap
from tuitrain.tui.view import Sight, View

HALF = "▀"
RAMP = " .:-=+*#%@"
"""Dark to light, where there are no colours."""
MOST_SIDE = 256
_LUMA = np.array([0.299, 0.587, 0.114])
_CODE = np.array([1 << 16, 1 << 8, 1])
"""Red, green and blue as one number."""


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
    plain = view.ascii_only or view.colourless
    return [*_painted(sight, width, height - 1, plain, palette is LIGHT), caption]


@lru_cache(maxsize=1)
def _painted(
    sight: Sight, width: int, height: int, plain: bool, on_light: bool
) -> tuple[Text, ...]:
    """The same lines until there is another picture: a panel need not style them again."""
    assert sight.pixels is not None
    if plain:
        return tuple(paint_ascii(sight.pixels, width, height, on_light=on_light))
    return tuple(paint(sight.pixels, width, height))


def paint(pixels: NDArray[np.uint8], width: int, height: int) -> list[Text]:
    """At most so many cells of half blocks."""
    fitted = _fitted(pixels, width, 2 * height)
    if len(fitted) % 2:
        fitted = np.concatenate([fitted, np.zeros_like(fitted[:1])])
    codes = fitted.astype(np.int64) @ _CODE
    lines = []
    for row in (codes[::2] << 24 | codes[1::2]).tolist():
        line = Text(end="")
        for pair, run in groupby(row):
            line.append(HALF * len(list(run)), _style(pair))
        lines.append(line)
    return lines


def paint_ascii(
    pixels: NDArray[np.uint8], width: int, height: int, *, on_light: bool = False
) -> list[Text]:
    """The same without colours, two pixels to a character; what is dark is left empty, or light."""
    ramp = RAMP[::-1] if on_light else RAMP
    fitted = _fitted(pixels, width, 2 * height)
    rows = [fitted[i : i + 2].mean(0) @ _LUMA for i in range(0, len(fitted), 2)]
    steps = [(row * (len(ramp) - 1) / 255).round().astype(int) for row in rows]
    return [Text("".join(ramp[step] for step in row), end="") for row in steps]


def _fitted(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Every pixel as a square of whole cells, or every so many-th pixel, so that all fits."""
    rows, columns, _ = pixels.shape
    larger = min(width // columns, height // rows)
    if larger >= 1:
        return pixels.repeat(larger, 0).repeat(larger, 1)
    every = max(columns / max(1, width), rows / max(1, height))
    down, across = (np.arange(max(1, int(n / every))) * every for n in (rows, columns))
    return pixels[np.ix_(down.astype(np.int64), across.astype(np.int64))]


@lru_cache(maxsize=4096)
def _style(pair: int) -> Style:
    """One colour over another."""
    return Style(color=_colour(pair >> 24), bgcolor=_colour(pair & 0xFFFFFF))


def _colour(code: int) -> Color:
    return Color.from_rgb(code >> 16, code >> 8 & 0xFF, code & 0xFF)
