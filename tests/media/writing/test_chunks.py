"""A picture that was coded in pieces is the same picture, at the same times, in every container."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import MakeClip, read_file
from tests.media.writers import join, open_writer
from vsr_cli.config import OutputConfig
from vsr_cli.errors import InputError, OutputError, VerificationError
from vsr_cli.events import ignore
from vsr_cli.media.frame import Plane
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.writing.chunks import ChunkWriter
from vsr_cli.media.writing.encoder_plan import EncoderPlan
from vsr_cli.media.writing.output_plan import OutputPlan, plan_output

SIZE = (48, 64)
IRREGULAR = (0, 1001, 1002, 4004, 9009, 9100, 15015, 15016, 18018, 30000, 30001, 45000)
CLOCK = Fraction(1, 30000)

ENCODERS = {
    "libx264": OutputConfig(video_codec="libx264", preset="medium"),
    "libx265": OutputConfig(video_codec="libx265", preset="ultrafast"),
    "libsvtav1": OutputConfig(video_codec="libsvtav1", preset="12"),
    "prores_ks": OutputConfig(video_codec="prores_ks"),
    "ffv1": OutputConfig(video_codec="ffv1"),
}
HOLDS = {
    "libx264": (".mp4", ".mov", ".mkv", ".ts", ".nut"),
    "libx265": (".mp4", ".mov", ".mkv", ".ts", ".nut"),
    "libsvtav1": (".mp4", ".mkv", ".webm"),
    "prores_ks": (".mov", ".mkv"),
    "ffv1": (".mp4", ".mkv"),
}


def moving_planes(plan: EncoderPlan, index: int) -> tuple[Plane, ...]:
    """Waves that move, so that encoders look ahead and back."""
    layout = plan.layout
    top = (1 << layout.depth) - 1
    planes = []
    for number, (height, width) in enumerate(layout.plane_shapes(*plan.size)):
        y, x = np.mgrid[:height, :width]
        wave = np.sin((x + 3 * index) / (4 + number)) * np.cos(y / 5 + index / 9)
        codes = (0.5 + 0.3 * wave) * top
        planes.append(codes.astype(np.uint8 if layout.depth == 8 else np.uint16))
    return tuple(planes)


def make_plan(source: Path, target: Path, config: OutputConfig) -> OutputPlan:
    return plan_output(target, source, probe(source), SIZE, config, report=ignore)


def write_chunks(source: Path, plan: OutputPlan, cuts: Sequence[int]) -> list[Path]:
    """Chunks with the times of a source, each ending before a frame of `cuts`, the last open."""
    frames = list(read_frames(source, report=ignore))
    paths = []
    for number, (start, stop) in enumerate(pairwise((0, *cuts, len(frames)))):
        paths.append(source.with_name(f"chunk_{number:06}.mkv"))
        with ChunkWriter(paths[-1], plan) as chunk:
            for index in range(start, stop):
                planes = moving_planes(plan.coding, index)
                chunk.write(
                    frames[index].with_planes(planes, plan.coding.layout, plan.coding.color)
                )
            assert not paths[-1].exists()
            chunk.finish()
        assert paths[-1].exists()
    return paths


def decoded(path: Path) -> list[bytes]:
    with av.open(f"file:{path}") as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("codec", "suffix"), [(codec, suffix) for codec in HOLDS for suffix in HOLDS[codec]]
)
def test_joined_chunks_have_the_pixels_of_each_and_the_times_of_the_source(
    tmp_path: Path, make_clip: MakeClip, codec: str, suffix: str
) -> None:
    audio = ["libopus"] if suffix == ".webm" else ["aac"]
    source = make_clip(tmp_path / "in.mp4", pts=IRREGULAR, time_base=CLOCK, audio=audio)
    target, config = tmp_path / f"out{suffix}", ENCODERS[codec]
    plan = make_plan(source, target, config)
    chunks = write_chunks(source, plan, (5, 6))
    pieces = [frame for path in chunks for frame in decoded(path)]
    full = replace(plan, config=replace(config, verify="full"))
    num_frames = join(chunks, full, source)
    assert num_frames == len(pieces) == len(IRREGULAR)
    assert decoded(target) == pieces
    before, after = read_file(source), read_file(target)
    if suffix != ".ts":  # where each packet of AAC has a header
        assert after.sounds == before.sounds
    if suffix in (".mp4", ".mov"):
        assert (after.times, after.end) == (before.times, before.end)
        assert after.sound_times == before.sound_times
    else:
        moved = {new - old for new, old in zip(after.times, before.times, strict=True)}
        assert max(moved) - min(moved) <= Fraction(1, 1000)
        heard = after.sound_times[0][0] - before.sound_times[0][0]
        assert abs(heard - min(moved)) <= Fraction(1, 1000)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "ffv1"])
def test_a_chunk_for_each_frame_joins_as_well(
    tmp_path: Path, make_clip: MakeClip, codec: str
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", num_frames=4), tmp_path / "out.mp4"
    plan = make_plan(source, target, ENCODERS[codec])
    chunks = write_chunks(source, plan, (1, 2, 3))
    join(chunks, plan, source)
    assert decoded(target) == [frame for path in chunks for frame in decoded(path)]
    assert read_file(target).times == read_file(source).times


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_x265_keeps_the_times_of_a_few_frames(
    tmp_path: Path, make_clip: MakeClip, num_frames: int
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", num_frames=num_frames), tmp_path / "out.mp4"
    for _ in range(4):  # x265 left decoding times to chance
        config = replace(ENCODERS["libx265"], overwrite=True)
        with open_writer(target, probe(source), SIZE, config, source=source, report=ignore) as out:
            for index, frame in enumerate(read_frames(source, report=ignore)):
                out.write(
                    frame.with_planes(
                        moving_planes(out.plan.coding, index),
                        out.plan.coding.layout,
                        out.plan.coding.color,
                    )
                )
            out.finish()
        assert read_file(target).times == read_file(source).times


def test_one_chunk_is_what_a_writer_writes(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(
        tmp_path / "in.mp4", rotation=90, sample_aspect_ratio=Fraction(16, 15), colorspace=6
    )
    config, info = ENCODERS["libx265"], probe(source)
    with open_writer(
        tmp_path / "direct.mp4", info, SIZE, config, source=source, report=ignore
    ) as writer:
        for index, frame in enumerate(read_frames(source, report=ignore)):
            writer.write(
                frame.with_planes(
                    moving_planes(writer.plan.coding, index),
                    writer.plan.coding.layout,
                    writer.plan.coding.color,
                )
            )
        writer.finish()
    target = tmp_path / "joined.mp4"
    plan = replace(writer.plan, target=target)
    join(write_chunks(source, plan, ()), plan, source)
    assert replace(probe(target), origin=info.origin) == replace(
        probe(tmp_path / "direct.mp4"), origin=info.origin
    )
    assert decoded(target) == decoded(tmp_path / "direct.mp4")
    with av.open(f"file:{target}") as container:
        assert container.streams.video[0].codec_tag == "hvc1"


def test_chunks_of_another_encoder_or_order_are_refused(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    plan = make_plan(source, target, ENCODERS["libx264"])
    first, second = write_chunks(source, plan, (3,))
    with pytest.raises(OutputError, match="does not go on") as caught:
        join([second, first], plan, source)
    assert "before they end" in str(caught.value.why)
    other = make_plan(source, target, OutputConfig(preset="ultrafast"))
    kept = first.rename(tmp_path / "kept.mkv")
    second.unlink()
    _, second = write_chunks(source, other, (3,))
    with pytest.raises(OutputError, match="does not go on") as caught:
        join([kept, second], plan, source)
    assert "set or built differently" in str(caught.value.why)
    with pytest.raises(InputError, match="no finished chunks"):
        join([], plan, source)
    assert not target.exists()


def test_a_chunk_that_is_not_finished_leaves_no_file(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4")
    plan = make_plan(source, tmp_path / "out.mp4", ENCODERS["ffv1"])
    path = tmp_path / "chunk.mkv"
    with ChunkWriter(path, plan):
        assert (tmp_path / "chunk.mkv.part").exists()
    assert sorted(tmp_path.iterdir()) == [source]


def test_full_verification_finds_what_quick_verification_cannot(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", num_frames=8), tmp_path / "out.mkv"
    plan = make_plan(source, target, ENCODERS["libx264"])
    (chunk,) = write_chunks(source, plan, ())
    with av.open(f"file:{chunk}") as container:
        packet = [bytes(packet) for packet in container.demux(video=0) if packet.size][3]
    whole = chunk.read_bytes()
    assert whole.count(packet) == 1
    chunk.write_bytes(whole.replace(packet, b"\xff" * 6 + packet[6:]))
    join([chunk], plan, source)
    target.unlink()
    with pytest.raises(VerificationError, match="not what was written"):
        join([chunk], replace(plan, config=OutputConfig(verify="full")), source)
    assert not target.exists()
