"""Whether an encoder is there and opens, tried with a frame of no consequence."""

from fractions import Fraction

import av
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext

from vsr_cli.media.writing.scheduling import same_scheduling

_SIDE = 64  # pixels
_QUIET = {"libx265": {"x265-params": "log-level=none"}}


def why_not(name: str) -> str | None:
    """Say why a video encoder cannot be used; None where it opens.

    Args:
        name: as FFmpeg has it.
    """
    try:
        context = CodecContext.create(name, "w")
        if not isinstance(context, VideoCodecContext):
            return "it does not encode video"
        context.height = context.width = _SIDE
        formats = [fmt.name for fmt in context.codec.video_formats or ()]
        context.pix_fmt = "yuv420p" if "yuv420p" in formats or not formats else formats[0]
        context.time_base = Fraction(1, 25)
        context.options = dict(_QUIET.get(name, {}))
        with same_scheduling():
            context.open()
    except av.codec.codec.UnknownCodecError:
        return "this build of FFmpeg does not have it"
    except (av.FFmpegError, ValueError) as error:
        return str(error)
    return None
