"""Observations as pictures: images as they are, planes in colours, rows of numbers not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tuitrain.envs.sight import PLANES, picture_of, shrunk

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(2, 256, (6, 9, 3), dtype=np.uint8)


def shown(seen: Any) -> np.ndarray[Any, Any]:
    picture = picture_of(np.asarray(seen))
    assert picture is not None
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    return picture


@pytest.mark.parametrize(
    "seen", [np.zeros(4), np.zeros(()), np.zeros((2, 2, 2, 2)), np.zeros((0, 3))]
)
def test_what_is_no_picture(seen: np.ndarray[Any, Any]) -> None:
    assert picture_of(seen) is None


def test_images_are_as_they_are_whereever_their_channels_lie() -> None:
    assert (shown(IMAGE) == IMAGE).all()
    assert (shown(np.moveaxis(IMAGE, 2, 0)) == IMAGE).all()
    assert (shown(IMAGE.astype(np.float32) / 255) == IMAGE).mean() > 0.95  # rounded down
    assert (shown(IMAGE.astype(np.float32)) == IMAGE).all()


def test_one_channel_is_grey() -> None:
    for grey in (IMAGE[..., 0], IMAGE[..., :1], IMAGE[None, ..., 0]):
        assert (shown(grey) == IMAGE[..., :1]).all()
    assert (shown(np.eye(5, dtype=np.uint8))[0] == [255] * 3).any(1).sum() == 1


def test_of_stacked_frames_the_newest_is_shown() -> None:
    frames = RNG.integers(2, 256, (8, 8, 4), dtype=np.uint8)
    assert (shown(frames) == frames[..., -1:]).all()


def test_planes_have_colours_and_the_last_one_covers_the_others() -> None:
    planes = np.zeros((10, 10, 12), np.uint8)
    planes[2, 3, 0] = planes[4, 5, 1] = planes[4, 5, 7] = planes[6, 6, 9] = 1
    for seen in (planes, planes.astype(np.float32), np.moveaxis(planes[..., :8], 2, 0)):
        picture = shown(seen)
        assert (picture[2, 3] == PLANES[0]).all()
        assert (picture[4, 5] == PLANES[7]).all()
        assert not picture[0].any()
    assert (shown(planes)[6, 6] == PLANES[9 - len(PLANES)]).all()


def test_numbers_of_any_size_are_seen() -> None:
    for scale in (1e-12, 1.0, 1e30):
        values = np.linspace(-scale, scale, 20).reshape(4, 5)
        picture = shown(values)
        assert (picture.min(), picture.max()) == (0, 255)
    assert not shown(np.full((3, 3), -7.0)).any()
    assert shown(np.array([[np.nan, np.inf], [1.0, -np.inf]])).shape == (2, 2, 3)


def test_a_large_picture_becomes_small_and_stays_like_itself() -> None:
    whole = np.zeros((210, 160, 3), np.uint8)
    whole[:105] = 200
    small = shrunk(whole, 48)
    assert small.shape == (48, 37, 3)
    assert (small[:23] == 200).all()
    assert not small[25:].any()
    assert shrunk(IMAGE, 48) is IMAGE
    assert shrunk(np.zeros((1000, 1, 3), np.uint8), 48).shape == (48, 1, 3)
