"""Films are written whole or not at all, and hold every picture."""

from __future__ import annotations

import builtins
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuitrain import video
from tuitrain.video import VideoError, VideoFile

ffmpeg = pytest.importorskip("imageio_ffmpeg")


def frames(path: Path) -> tuple[list[np.ndarray], float]:
    """All pictures of a film, decoded, and its length in seconds."""
    decode = ["-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "-"]
    command = [ffmpeg.get_ffmpeg_exe(), "-i", str(path), *decode]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    seen, rest = [], done.stdout
    while rest:
        _, size, _, rest = rest.split(b"\n", 3)
        width, height = map(int, size.split())
        pixels, rest = rest[: 3 * width * height], rest[3 * width * height :]
        seen.append(np.frombuffer(pixels, np.uint8).reshape(height, width, 3))
    told = re.search(rb"Duration: 00:00:(\d+\.\d+)", done.stderr)
    assert told is not None
    return seen, float(told[1])


def column(number: int) -> np.ndarray:
    """A picture of 4 × 7 pixels with one bright column."""
    picture = np.zeros((4, 7, 3), np.uint8)
    picture[:, number % 7] = (250, 120, 10)
    return picture


def write(path: Path, pictures: list[np.ndarray]) -> None:
    with VideoFile(path, 10.0) as film:
        for picture in pictures:
            film.add(picture)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".GIF"])
def test_every_picture_is_in_the_film(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    path.write_text("the film before")
    with VideoFile(path, 10.0) as film:
        for number in range(9):
            film.add(column(number))
            assert path.read_text() == "the film before"
    assert film.pictures == 9
    seen, duration_s = frames(path)
    assert len(seen) == 9
    assert duration_s == pytest.approx(0.9, abs=0.02)
    height, width, _ = seen[0].shape
    assert (height, width) == (4 * 64, 7 * 64), "small pictures are enlarged by a whole factor"
    for number, picture in enumerate(seen):
        left = number % 7 * 64
        np.testing.assert_allclose(picture[128, left + 32], (250, 120, 10), atol=16)
        assert picture[128, (left + 96) % width].max() < 16
    assert list(tmp_path.iterdir()) == [path]


def test_sides_may_be_odd_and_large(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "odd.mp4", 30.0) as film:
        film.add(np.zeros((301, 257, 3), np.uint8))
    assert frames(tmp_path / "odd.mp4")[0][0].shape == (302, 258, 3)


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_text("the film before")
    film = VideoFile(path, 10.0)

    def fail() -> None:
        with film:
            film.add(column(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert film._process is not None
    assert film._process.returncode is not None, "no process stays"
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [
        ("film.mp4", "the film before")
    ]


def test_pictures_have_one_size(tmp_path: Path) -> None:
    pictures = [column(1), np.zeros((5, 7, 3), np.uint8)]
    with pytest.raises(VideoError, match=r"picture 1 is of shape \(5, 7, 3\)"):
        write(tmp_path / "film.mp4", pictures)
    assert list(tmp_path.iterdir()) == []


def test_a_film_of_nothing_is_no_file(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "film.gif", 10.0):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dies", ["at once", "at the end"])
def test_what_ffmpeg_says_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    """A stand-in that fails as ffmpeg does when the disk is full."""
    script = tmp_path / "ffmpeg"
    reads = "" if dies == "at once" else "cat > /dev/null\n"
    script.write_text(f"#!/bin/sh\n{reads}echo No space left on device >&2\nexit 228\n")
    script.chmod(stat.S_IRWXU)
    monkeypatch.setattr(video, "_ffmpeg", lambda: str(script))
    path = tmp_path / "film.mp4"
    with pytest.raises(VideoError, match="No space left on device"):
        write(path, [np.zeros((200, 200, 3), np.uint8)] * 3)
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("film.avi", "ends in .mp4 or .gif"),
        ("film", "ends in .mp4 or .gif"),
        ("nowhere/film.mp4", "there is no folder"),
        ("folder.gif", "is a folder"),
    ],
)
def test_names_that_cannot_be_are_refused_before_anything_is_done(
    tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(VideoError, match=said):
        video.ready(tmp_path / name)


def test_a_missing_package_comes_with_the_line_that_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any) -> Any:
        if name == "imageio_ffmpeg":
            raise ImportError("No module named 'imageio_ffmpeg'")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VideoError, match=r"Get it with: pip install 'tuitrain\[video\]'$"):
        video.ready(tmp_path / "film.mp4")
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\n")
    (tmp_path / "ffmpeg").chmod(stat.S_IRWXU)
    video.ready(tmp_path / "film.mp4")  # one that is installed will do
