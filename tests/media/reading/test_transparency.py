"""Transparency that is promised and not there, or there and hidden; images of their own kind."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from tests.conftest import MakeClip
from tests.media.flat_video import rewrite
from vsr_cli.config import InputConfig, OutputConfig
from vsr_cli.errors import InputError, OutputError
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.writing.output_plan import plan_output

RNG = np.random.default_rng(0)
SIZE = (48, 64)
HOLE = 255  # in the palette of a GIF


def write_gif(path: Path, transparent: int | None) -> Path:
    """Four pictures, of which one may have a hole in its middle."""
    pictures = []
    for number in range(4):
        codes = np.kron(RNG.integers(0, 4, (6, 8)), np.ones((8, 8))).astype(np.uint8)
        if number == transparent:
            codes[16:32, 16:32] = HOLE
        picture = Image.fromarray(codes, "P")
        picture.putpalette([n * 17 % 256 for n in range(3 * 256)])
        picture.info["transparency"] = HOLE
        pictures.append(picture)
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=100,
        disposal=2,
        transparency=HOLE,
        optimize=False,
    )
    return path


def notes_of(source: Path, target: Path) -> list[str]:
    return [note.code for note in rewrite(source, target)]


def pix_fmt(path: Path) -> str | None:
    with av.open(f"file:{path}") as container:
        return container.streams.video[0].codec_context.pix_fmt


def test_nothing_is_said_of_the_transparency_of_an_opaque_gif(tmp_path: Path) -> None:
    source = write_gif(tmp_path / "in.gif", None)
    assert (probe(source).has_alpha, probe(source).layout.has_alpha) == (False, False)
    assert notes_of(source, tmp_path / "out.mp4") == []
    assert pix_fmt(tmp_path / "out.mp4") == "yuv420p"


@pytest.mark.parametrize("number", [0, 3])
def test_a_gif_with_a_hole_in_any_picture_is_transparent(tmp_path: Path, number: int) -> None:
    source = write_gif(tmp_path / "in.gif", number)
    assert probe(source).has_alpha
    assert "W_ALPHA_DROPPED" in notes_of(source, tmp_path / "out.mp4")
    frames = list(read_frames(source, report=ignore))
    assert frames[number].planes[-1][24, 24] == 0
    assert frames[number].planes[-1][0, 0] == 255


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("is_seen", [True, False])
def test_colours_of_a_palette_may_be_transparent(
    tmp_path: Path, is_folder: bool, is_seen: bool
) -> None:
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / "in.png"
    codes = np.zeros(SIZE, np.uint8)
    codes[:, 32:] = 1 if is_seen else 2
    picture = Image.fromarray(codes, "P")
    picture.putpalette([250, 10, 20, 10, 20, 250, 7, 8, 9])
    picture.save(path, transparency=bytes([255, 100, 255]))
    source = path.parent if is_folder else path
    assert probe(source).has_alpha == is_seen
    (frame,) = read_frames(source, report=ignore)
    assert len(frame.planes) == (4 if is_seen else 3)
    assert [plane[0, 0] for plane in frame.planes[:3]] == [250, 10, 20]
    if is_seen:
        assert (frame.planes[-1][0, 0], frame.planes[-1][0, 40]) == (255, 100)


@pytest.mark.parametrize("is_folder", [False, True])
def test_four_inks_are_no_transparency(tmp_path: Path, is_folder: bool) -> None:
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / "in.jpg"
    Image.fromarray(RNG.integers(0, 255, (*SIZE, 3)).astype(np.uint8)).convert("CMYK").save(path)
    source = path.parent if is_folder else path
    info = probe(source)
    assert (info.has_alpha, info.layout.has_alpha) == (False, False)
    if not is_folder:
        assert notes_of(source, tmp_path / "out.mp4") == []
        assert pix_fmt(tmp_path / "out.mp4") == "yuv420p"


@pytest.mark.parametrize(("encoder", "codec"), [("libvpx-vp9", "vp9"), ("libvpx", "vp8")])
def test_the_transparency_of_webm_is_read(tmp_path: Path, encoder: str, codec: str) -> None:
    source = tmp_path / "in.webm"
    alphas = []
    with av.open(f"file:{source}", "w") as output:
        stream = output.add_stream(encoder, rate=25, options={"auto-alt-ref": "0"})
        assert isinstance(stream, VideoStream)
        stream.codec_context.pix_fmt = "yuva420p"
        stream.codec_context.height, stream.codec_context.width = SIZE
        stream.metadata["alpha_mode"] = "1"
        for number in range(5):
            alpha = np.full(SIZE, 255, np.uint8)
            alpha[8 * number : 8 * number + 8] = 0
            alphas.append(alpha)
            rgba = np.dstack([np.full((*SIZE, 3), 40 * number, np.uint8), alpha])
            picture = VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    info = probe(source)
    assert (info.codec, info.has_alpha, info.layout.has_alpha) == (codec, True, True)
    events: list[Event] = []
    frames = list(read_frames(source, report=events.append))
    assert not [event for event in events if isinstance(event, Note)]
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(n, 25) for n in range(5)]
    for frame, alpha in zip(frames, alphas, strict=True):
        assert np.abs(frame.planes[-1].astype(int) - alpha).mean() < 8
    plan = plan_output(tmp_path / "out.mov", source, info, SIZE, OutputConfig(), report=ignore)
    assert plan.coding.layout.has_alpha
    dropped = list(read_frames(source, InputConfig(alpha="drop"), report=ignore))
    assert not dropped[0].layout.has_alpha


def test_an_animated_webp_is_called_what_it_is(tmp_path: Path) -> None:
    source = tmp_path / "in.webp"
    pictures = [Image.fromarray(RNG.integers(0, 255, (*SIZE, 3)).astype(np.uint8)) for _ in "123"]
    pictures[0].save(source, save_all=True, append_images=pictures[1:])
    with pytest.raises(InputError, match="animated WebP") as caught:
        probe(source)
    assert caught.value.hint
    pictures[0].save(tmp_path / "still.webp")
    assert probe(tmp_path / "still.webp").codec == "webp"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_one_image_becomes_one_image(tmp_path: Path, suffix: str) -> None:
    picture = np.kron(RNG.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    source = tmp_path / f"in{suffix}"
    Image.fromarray(picture).save(source)
    target = tmp_path / "out.png"
    rewrite(source, target, OutputConfig(), size=(96, 128))
    with Image.open(target) as image:
        assert (image.format, image.size) == ("PNG", (128, 96))
    with pytest.raises(OutputError, match="exists"):
        rewrite(source, target, OutputConfig(), size=(96, 128))
    rewrite(source, target, OutputConfig(overwrite=True), size=(96, 128))
    names = {source.name, "out.png"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_an_image_is_never_replaced_by_itself(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "in.png")
    with pytest.raises(OutputError, match="the source itself"):
        rewrite(tmp_path / "in.png", tmp_path / "in.png", OutputConfig(overwrite=True))


def test_a_video_does_not_fit_into_one_image(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4")
    with pytest.raises(OutputError, match="the name of one image") as caught:
        rewrite(source, tmp_path / "out.png", OutputConfig())
    assert "%05d.png" in (caught.value.hint or "")


def test_a_length_that_another_format_has_left_is_not_believed(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    """What is cut from Matroska without coding still says how long the whole was."""
    plain = make_clip(tmp_path / "plain.mkv", audio=["aac"])
    source = tmp_path / "in.nut"
    with av.open(f"file:{plain}") as old, av.open(f"file:{source}", "w") as new:
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for copy in copies.values():
            copy.metadata["DURATION"] = "00:01:00.000000000"
        for packet in old.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    events: list[Event] = []
    assert len(list(read_frames(source, report=events.append))) == 6
    assert events == []
