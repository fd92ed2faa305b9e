"""How much memory an encoder takes, and how it takes less where frames are very large.

An encoder looks frames ahead and keeps each of them several times over: at 720p nobody minds, at 8K
it is more than the networks take. Its settings follow from the size of frames alone, so that the
same job gives the same file on every machine.
"""

from collections.abc import Mapping

MOST_BYTES = 1_200_000_000  # that an encoder should take, if it can
_X264_LOOKAHEAD = 40  # frames, of its preset `medium`
# Measured with frames of 1920x1080 to 15360x8640 and presets `medium` and `ultrafast`, as multiples
# of the bytes of a frame: without any frame ahead, for each of those, and at the least.
_X264_FIXED, _X264_AHEAD, _X264_NARROW, _X264_LEAST = 36, 2.3, 33, 11
# Of other encoders, with their own defaults.
_OTHERS: Mapping[str, int] = {"libx265": 142, "libsvtav1": 120, "libvpx-vp9": 60, "ffv1": 8}
_UNKNOWN = 60


def narrowed(codec: str, frame_bytes: int, preset: str | None) -> dict[str, str]:
    """Options that make an encoder take less, where frames are large; none where they are not.

    Args:
        codec: the encoder.
        frame_bytes: of a coded frame, before it is compressed.
        preset: the user's choice, which stays.
    """
    if codec != "libx264" or preset is not None:
        return {}
    ahead = _lookahead(frame_bytes)
    if ahead == _X264_LOOKAHEAD:
        return {}
    if ahead >= 4:
        return {"x264-params": f"rc-lookahead={ahead}"}
    if frame_bytes * _X264_NARROW <= 2 * MOST_BYTES:
        return {"x264-params": "rc-lookahead=4:ref=1:bframes=0"}
    return {"preset": "ultrafast", "x264-params": "threads=1:sync-lookahead=0"}


def encoder_bytes(codec: str, frame_bytes: int, options: Mapping[str, str]) -> int:
    """What an encoder takes at its most, in bytes; roughly, where it was not measured.

    Args:
        codec: the encoder.
        frame_bytes: of a coded frame, before it is compressed.
        options: of the encoder, those of `narrowed` included.
    """
    if codec != "libx264":
        return frame_bytes * _OTHERS.get(codec, _UNKNOWN)
    if options.get("preset") == "ultrafast":
        return frame_bytes * _X264_LEAST
    if "ref=1:bframes=0" in options.get("x264-params", ""):
        return frame_bytes * _X264_NARROW
    return int(frame_bytes * (_X264_FIXED + _X264_AHEAD * _lookahead(frame_bytes)))


def _lookahead(frame_bytes: int) -> int:
    fits = int((MOST_BYTES / frame_bytes - _X264_FIXED) / _X264_AHEAD)
    return max(0, min(fits, _X264_LOOKAHEAD))
