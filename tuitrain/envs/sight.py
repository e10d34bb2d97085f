"""Observations as pictures for a person: images as they are, planes of a grid in colours. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PLANES = np.array(
    [
        [86, 180, 233], [230, 159, 0], [0, 158, 115], [204, 121, 167], [240, 228, 66],
        [213, 94, 0], [0, 114, 178], [255, 255, 255],
    ],
    np.uint8,
)  # fmt: skip
"""Colours of planes of zeros and ones, in their order; more planes begin again (Okabe and Ito)."""

Picture = NDArray[np.uint8]
"""[height, width, 3]."""


def picture_of(seen: NDArray[Any]) -> Picture | None:
    """What an observation shows; None of one that is no picture: a row of numbers.

    Of three dimensions the first or the last is that of the channels: the one that is left by two
    equal ones, else the smaller. Zeros and ones in
    several channels are planes of a grid, of which the last that is set is shown. Three channels
    are red, green and blue; of others the last is shown, the newest of frames that are stacked.

    Args:
        seen: [height, width], [height, width, channels] or [channels, height, width].
    """
    if seen.ndim not in (2, 3) or not seen.size:
        return None
    planes = seen[..., None] if seen.ndim == 2 else seen
    if seen.ndim == 3 and _channels_first(*seen.shape):
        planes = np.moveaxis(seen, 0, 2)
    channels = planes.shape[2]
    if channels > 1 and ((planes == 0) | (planes == 1)).all():
        top = channels - 1 - planes[..., ::-1].argmax(2)
        drawn: Picture = PLANES[top % len(PLANES)]
        drawn[~planes.any(2)] = 0
        return drawn
    grey = planes if channels == 3 else planes[..., -1:]
    return np.ascontiguousarray(np.broadcast_to(_bytes(grey), (*planes.shape[:2], 3)))


def shrunk(picture: Picture, most: int) -> Picture:
    """The same, neither side longer than so many pixels: means of what falls together."""
    height, width, _ = picture.shape
    factor = max(height, width) / most
    if factor <= 1:
        return picture
    means: NDArray[Any] = picture.astype(np.float32)
    for axis, side in ((0, height), (1, width)):
        edges = np.linspace(0, side, max(1, round(side / factor)) + 1).astype(np.int64)
        counts = np.diff(edges).reshape([-1 if a == axis else 1 for a in range(3)])
        means = np.add.reduceat(means, edges[:-1], axis) / counts
    return means.astype(np.uint8)


def _channels_first(first: int, middle: int, last: int) -> bool:
    if (first == middle) != (middle == last):
        return middle == last
    return first < last


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """0 to 255 of bytes, of shares of 1, and else of what lies between lowest and highest."""
    if values.dtype == np.uint8:
        return values * np.uint8(255) if values.max() <= 1 else values
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    if low >= 0 and 1 < high <= 255:
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return ((finite - low) / max(high - low, 1e-300) * 255).astype(np.uint8)
