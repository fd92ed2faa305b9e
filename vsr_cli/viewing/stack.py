"""Pictures of several videos in one H.264 file, so that they cannot drift apart."""

import math
import tempfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import VideoFrame

from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError, OutputError
from vsr_cli.media.writing.encoder_options import reproducible_options
from vsr_cli.viewing.footage import Picture
from vsr_cli.viewing.page import StackedVideo

CRF = 12
KEY_EVERY = 12  # frames
CLOCK = 90_000  # ticks per second
_BLOCK = 16  # pixels: cells begin where blocks do, so that none leaks into the next
_MOST_SIDE, _MOST_PIXELS = 8192, 8192 * 4352  # that decoders take, as of level 6.2


class TooLargeError(Exception):
    """The file has become larger than it may be.

    num_frames: that were encoded.
    num_bytes: that they took.
    """

    def __init__(self, num_frames: int, num_bytes: int) -> None:
        super().__init__()
        self.num_frames, self.num_bytes = num_frames, num_bytes


class Stack:
    """How pictures of one size lie in one frame: in columns of cells, row by row."""

    def __init__(self, number: int, size: tuple[int, int]) -> None:
        """Find the arrangement that is nearest to one column and can be decoded.

        Args:
            number: of pictures.
            size: (height, width) of each.

        Raises:
            ConfigError: there is none.
        """
        self.height, self.width = (math.ceil(side / _BLOCK) * _BLOCK for side in size)
        for columns in range(1, number + 1):
            rows = math.ceil(number / columns)
            whole = rows * self.height, columns * self.width
            if max(whole) <= _MOST_SIDE and whole[0] * whole[1] <= _MOST_PIXELS:
                break
        else:
            of_size = f"of {size[1]}x{size[0]}"
            pictures = counted(number, f"picture {of_size} is", f"pictures {of_size} are")
            raise ConfigError(
                f"{pictures} too large for one page",
                why="browsers decode them as one",
                hint="cut out a piece with `--crop`, or give fewer",
            )
        self.columns, self.size = columns, whole

    def join(self, pictures: Sequence[Picture]) -> Picture:
        """All pictures in one; what is left of a cell goes on as its edge."""
        whole = np.zeros((*self.size, 3), np.uint8)
        for number, picture in enumerate(pictures):
            height, width = picture.shape[:2]
            beyond = ((0, self.height - height), (0, self.width - width), (0, 0))
            row, column = divmod(number, self.columns)
            rows = slice(row * self.height, (row + 1) * self.height)
            columns = slice(column * self.width, (column + 1) * self.width)
            whole[rows, columns] = np.pad(picture, beyond, mode="edge")
        return whole

    def encode(
        self, instants: Iterable[tuple[Fraction, Sequence[Picture]]], most_bytes: int
    ) -> StackedVideo:
        """Encode instants, each for as long as it is shown, without a gap.

        Args:
            instants: seconds for which it is shown, and its pictures.
            most_bytes: of the file.

        Raises:
            TooLargeError: it would be larger.
            OutputError: there is no room for temporary files.
        """
        try:
            with tempfile.TemporaryDirectory(prefix="vsr-") as folder:
                path = Path(folder) / "stack.mp4"
                starts = self._write(path, instants, most_bytes)
                data = path.read_bytes()
        except OSError as error:
            raise OutputError(
                "the video of the page cannot be encoded",
                why=error.strerror or str(error),
                hint="free some space where temporary files lie, or set `TMPDIR`",
            ) from error
        if len(data) > most_bytes:
            raise TooLargeError(len(starts) - 1, len(data))
        return StackedVideo(
            data=data, cell=(self.width, self.height), columns=self.columns, starts=starts
        )

    def _write(
        self,
        path: Path,
        instants: Iterable[tuple[Fraction, Sequence[Picture]]],
        most_bytes: int,
    ) -> list[float]:
        """Write the file; return when each frame starts, and when the last one ends."""
        starts, now, num_bytes = [], 0, 0
        # No B-frames: a file that starts at 0 and is sought exactly, in every browser.
        options = {"crf": str(CRF), "preset": "medium", "bf": "0", "g": str(KEY_EVERY)}
        options |= reproducible_options()
        with av.open(str(path), "w", container_options={"movflags": "faststart"}) as output:
            stream = output.add_stream("libx264", rate=25, options=options)
            context = stream.codec_context
            context.height, context.width = self.size
            context.pix_fmt, context.time_base = "yuv420p", Fraction(1, CLOCK)
            context.flags |= Flags.frame_duration
            context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
            context.color_range = 1  # limited
            for length, pictures in instants:
                frame = VideoFrame.from_ndarray(self.join(pictures), format="rgb24").reformat(
                    format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
                )
                ticks = max(1, round(length * CLOCK))
                frame.pts, frame.time_base, frame.duration = now, Fraction(1, CLOCK), ticks
                frame.colorspace = frame.color_range = 1
                starts.append(now / CLOCK)
                now += ticks
                packets = stream.encode(frame)
                num_bytes += sum(packet.size for packet in packets)
                output.mux(packets)
                if num_bytes > most_bytes:
                    raise TooLargeError(len(starts), num_bytes)
            output.mux(stream.encode(None))
        return [*starts, now / CLOCK]
