"""Decoded pictures as frames that own their samples."""

from fractions import Fraction

from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vsr_cli.config import InputConfig
from vsr_cli.media.frame import Frame, VideoInfo, copy_planes, resolve_color
from vsr_cli.media.reading.deinterlace import TimedFrame
from vsr_cli.media.reading.probe import planar_format, read_tags


class FrameConverter:
    """Turns decoded pictures into frames."""

    def __init__(self, info: VideoInfo, config: InputConfig, name: str) -> None:
        """Take what is known of all pictures.

        Args:
            info: of the source.
            config: what to believe instead of tags.
            name: of the source, for messages.
        """
        self._info, self._config, self._name = info, config, name
        self._reformatter = VideoReformatter()  # one for all: each holds megabytes
        self._codec = info.codec

    def __call__(self, timed: TimedFrame, time_base: Fraction) -> Frame:
        """The frame at its time, in units of `time_base`.

        Raises:
            InputError: its colours are of an unknown kind.
        """
        picture = timed.picture
        name = picture.format.name
        tags, _ = read_tags(picture, self._config, self._name)
        if (tags, name) == (self._info.tags, self._info.pix_fmt):
            color = self._info.color
        else:
            color, _ = resolve_color(tags, name, (picture.height, picture.width))
        interlaced = picture.interlaced_frame
        target, layout = planar_format(name, self._codec, self._config)
        if target != name:
            picture = self._reformatter.reformat(picture, format=target)
        elif any(plane.line_size < 0 for plane in picture.planes):
            picture = _turned_upright(picture)
        return Frame(
            planes=copy_planes(picture, layout),
            layout=layout,
            color=color,
            pts=timed.pts,
            duration=timed.duration,
            time_base=time_base,
            interlaced=interlaced,
            is_damaged=timed.is_damaged,
        )


def _turned_upright(picture: VideoFrame) -> VideoFrame:
    """The same picture with its first line first in memory; some AVI files start with the last.

    A view of such memory would start at its end. Mirroring twice copies every line.
    """
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=picture.time_base or Fraction(1),
    )
    graph.link_nodes(source, graph.add("hflip"), graph.add("hflip"), graph.add("buffersink"))
    graph.configure()
    graph.vpush(picture)
    return graph.vpull()
