"""Whether a file is whole, or still being written by another program."""

from pathlib import Path

import av

from vsr_cli.errors import VsrError
from vsr_cli.media.open import open_container
from vsr_cli.media.reading.probe import select_video_stream
from vsr_cli.media.reading.rates import ticks_of
from vsr_cli.media.reading.statistics import ReadStatistics


def why_incomplete(source: Path) -> str | None:
    """Read all packets of a file, and say what is missing of it; None: it is whole."""
    try:
        with open_container(source) as container:
            stream = select_video_stream(container, f"`{source}`", None)
            statistics = ReadStatistics(ticks_of(stream))
            for packet in container.demux():
                statistics.count(packet, is_picture=packet.stream_index == stream.index)
            if statistics.is_cut_off(container, stream):
                return "it ends before its header says"
            return None if statistics.num_packets else "there is no picture in it"
    except (VsrError, av.FFmpegError, OSError) as error:
        why = getattr(error, "why", None) or getattr(error, "strerror", None) or str(error)
        return f"it does not open: {why}"
