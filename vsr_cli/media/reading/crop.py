"""The part of a picture that its container means to be seen."""

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from vsr_cli.media.mp4_boxes import read_track
from vsr_cli.media.reading.geometry import Crop
from vsr_cli.media.reading.matroska_crop import read_crop


def find_crop(container: InputContainer, stream: VideoStream) -> Crop | None:
    """What Matroska's cropping or the clean aperture of an MP4 leave out; None: nothing.

    What the codec itself leaves out, the decoder has left out already.

    Args:
        container: of `open_container`.
        stream: the picture.
    """
    height, width = stream.codec_context.height, stream.codec_context.width
    crop = None
    if "matroska" in container.format.name:
        tracks = [
            track.index
            for track in container.streams.video
            if not track.disposition & Disposition.attached_pic
        ]
        if stream.index in tracks:
            crop = read_crop(container, tracks.index(stream.index))
    elif "mov" in container.format.name:
        crop = _clean_aperture(container, stream)
    if crop is None or crop == Crop():
        return None
    is_possible = crop.left + crop.right < width and crop.top + crop.bottom < height
    return crop if is_possible and min(crop.left, crop.right, crop.top, crop.bottom) >= 0 else None


def _clean_aperture(container: InputContainer, stream: VideoStream) -> Crop | None:
    track = read_track(container, stream)
    if track is None or track.aperture is None:
        return None
    width, height, right, down = track.aperture
    left = (stream.codec_context.width - width) / 2 + right
    top = (stream.codec_context.height - height) / 2 + down
    return Crop(
        left=round(left),
        right=round(stream.codec_context.width - width - left),
        top=round(top),
        bottom=round(stream.codec_context.height - height - top),
    )
