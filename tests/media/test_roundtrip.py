"""A codec in memory, and files to RGB."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import MakeClip
from vsr_cli.errors import InputError
from vsr_cli.media.roundtrip import Codec, decode_rgb, encode_decode


def smooth_clip(num_frames: int, height: int, width: int) -> NDArray[np.uint8]:
    """Slow waves, different in every frame and channel."""
    t, y, x = np.meshgrid(np.arange(num_frames), np.arange(height), np.arange(width), indexing="ij")
    waves = [np.sin(x / 9 + t / 2 + phase) + np.cos(y / 7 - t / 3) for phase in (0, 1, 2)]
    return (np.stack(waves, axis=-1) * 40 + 128).astype(np.uint8)


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
@pytest.mark.parametrize("size", [(48, 64), (33, 47), (9, 5)])
def test_coding_keeps_the_shape_of_any_clip(codec: Codec, size: tuple[int, int]) -> None:
    frames = smooth_clip(4, *size)
    assert encode_decode(frames, codec, 200_000).shape == frames.shape


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_many_bits_keep_each_frame_and_few_lose_detail(codec: Codec) -> None:
    frames = smooth_clip(5, 64, 64)
    frames[:, ::2, ::2] += 40  # something fine to lose
    errors = [
        np.abs(encode_decode(frames, codec, bits).astype(float) - frames).mean(axis=(1, 2, 3))
        for bits in (20_000_000, 20_000)
    ]
    assert errors[0].max() < 6
    assert errors[1].mean() > 2 * errors[0].mean()


def test_the_same_clip_is_coded_the_same_way_twice() -> None:
    frames = smooth_clip(4, 32, 48)
    first = encode_decode(frames, "h264", 50_000)
    np.testing.assert_array_equal(first, encode_decode(frames, "h264", 50_000))


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
@pytest.mark.parametrize("side", [20, 30])
def test_tiny_clips_are_coded_the_same_way_every_time(codec: Codec, side: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    found = {encode_decode(frames, codec, 31 * side * side).tobytes() for _ in range(25)}
    assert len(found) == 1


def test_frames_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="T, H, W, 3"):
        encode_decode(np.zeros((4, 3, 16, 16), np.uint8), "h264", 50_000)


def test_every_frame_of_a_video_is_decoded(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", num_frames=5, size=(48, 64))
    assert [frame.shape for frame in decode_rgb(clip)] == [(48, 64, 3)] * 5


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.mp4"
    path.write_text("not a video")
    with pytest.raises(InputError, match=r"words\.mp4"):
        list(decode_rgb(path))


def test_a_picture_is_read_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    (back,) = decode_rgb(tmp_path / "picture.png")
    np.testing.assert_array_equal(back, pixels)
