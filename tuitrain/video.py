"""Pictures into a file, one after another: .mp4 or .gif, by ffmpeg.

ffmpeg runs beside and is fed through a pipe, so that a film may be longer than memory. The package
imageio-ffmpeg brings a binary of it; one that is installed will do too. A file appears under its
name when it is whole, or not at all.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

INSTALL = "pip install 'tuitrain[video]'"

_H264 = ("-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart")
FORMATS = {
    ".mp4": ("pad=ceil(iw/2)*2:ceil(ih/2)*2", _H264),  # yuv420p wants even sides
    # a palette for each picture: one for the whole film would need the whole film in memory
    ".gif": (
        "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=none",
        (),
    ),
}
"""Filter and options of ffmpeg, by suffix."""

MIN_SIDE_PIXELS = 256
"""Smaller pictures, as of a grid with a pixel per cell, are enlarged by a whole factor."""


class VideoError(Exception):
    """No film can be made; the message says why and what to do."""


def ready(path: Path) -> None:
    """Whether a film can be written to `path`, without beginning one.

    Raises:
        VideoError: of what it can be known beforehand.
    """
    if path.suffix.lower() not in FORMATS:
        raise VideoError(f"{path}: a video's name ends in {' or '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise VideoError(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise VideoError(f"{path} is a folder")
    _ffmpeg()


class VideoFile:
    """A film being written. As a context: whole at the end, nothing left after an error.

    Args:
        path: .mp4 or .gif; a file of that name is replaced.
        fps: pictures per second.

    Raises:
        VideoError: see ``ready``.
    """

    def __init__(self, path: Path, fps: float) -> None:
        ready(path)
        self.path = path
        self.fps = fps
        self.pictures = 0
        """Taken in so far."""
        self._part = path.with_name(f".{path.stem}.part{path.suffix.lower()}")
        self._shape: tuple[int, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._open = ExitStack()
        self._said: IO[bytes] | None = None

    def __enter__(self) -> VideoFile:
        return self

    def add(self, picture: NDArray[np.uint8]) -> None:
        """The next picture, uint8 [height, width, 3]; all have one shape.

        Raises:
            VideoError: it has another shape, or it cannot be written.
        """
        if self._process is None:
            self._shape = picture.shape
            self._process = self._start(picture.shape[0], picture.shape[1])
        if picture.shape != self._shape:
            raise VideoError(
                f"picture {self.pictures} is of shape {picture.shape}, those before it of "
                f"{self._shape}: a video has one size"
            )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(picture).data)
        except OSError as error:  # ffmpeg has gone, and says why
            raise self._failed() from error
        self.pictures += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._process is None:
                return
            assert self._process.stdin is not None
            with suppress(OSError):  # its exit code says whether all has arrived
                self._process.stdin.close()
            if error is not None:
                self._process.kill()
            if self._process.wait() != 0 and error is None:
                raise self._failed()
            if error is None:
                self._part.replace(self.path)
        finally:
            self._part.unlink(missing_ok=True)
            self._open.close()

    def _start(self, height: int, width: int) -> subprocess.Popen[bytes]:
        factor = max(1, -(-MIN_SIDE_PIXELS // min(height, width)))
        fitting, options = FORMATS[self._part.suffix]
        filters = f"scale=iw*{factor}:ih*{factor}:flags=neighbor,{fitting}"
        self._said = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # the stack's
        command = [_ffmpeg(), "-y", "-loglevel", "error"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
        command += ["-framerate", f"{self.fps:g}", "-i", "-"]
        command += ["-vf", filters, *options, str(self._part.absolute())]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._said
        )

    def _failed(self) -> VideoError:
        assert self._process is not None
        assert self._said is not None
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").split("\n")
        why = next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {code}")
        return VideoError(f"cannot write {self.path}: ffmpeg says: {why}")


def _ffmpeg() -> str:
    """A binary of ffmpeg.

    Raises:
        VideoError: there is none; says how to get one.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        found = shutil.which("ffmpeg")
        if found is None:
            raise VideoError(f"videos need ffmpeg ({error}). Get it with: {INSTALL}") from error
        return found
