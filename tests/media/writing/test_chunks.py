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
from vsr_cli.config import OutputConfig
from vsr_cli.errors import InputError, OutputError, VerificationError
from vsr_cli.events import ignore
from vsr_cli.media.containers import container_of
from vsr_cli.media.frame import Plane
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.writing.chunks import ChunkWriter
from vsr_cli.media.writing.encoder_plan import EncoderPlan, plan_encoder
from vsr_cli.media.writing.writer import VideoWriter, join_chunks

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
    "libx264": (".mp4", ".mov", ".mkv"),
    "libx265": (".mp4", ".mov", ".mkv"),
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


def make_plan(source: Path, target: Path, config: OutputConfig) -> EncoderPlan:
    return plan_encoder(container_of(target, config), probe(source), SIZE, config)


def write_chunks(source: Path, plan: EncoderPlan, cuts: Sequence[int]) -> list[Path]:
    """Chunks with the times of a source, each ending before a frame of `cuts`, the last open."""
    info = probe(source)
    frames = list(read_frames(source, report=ignore))
    paths = []
    for number, (start, stop) in enumerate(pairwise((0, *cuts, len(frames)))):
        paths.append(source.with_name(f"chunk_{number:06}.mkv"))
        with ChunkWriter(paths[-1], plan, info) as chunk:
            for index in range(start, stop):
                chunk.write(
                    frames[index].with_planes(moving_planes(plan, index), plan.layout, plan.color)
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
    target, config, info = tmp_path / f"out{suffix}", ENCODERS[codec], probe(source)
    plan = make_plan(source, target, config)
    chunks = write_chunks(source, plan, (5, 6))
    pieces = [frame for path in chunks for frame in decoded(path)]
    full = replace(config, verify="full")
    num_frames = join_chunks(chunks, target, plan, info, full, source=source, report=ignore)
    assert num_frames == len(pieces) == len(IRREGULAR)
    assert decoded(target) == pieces
    before, after = read_file(source), read_file(target)
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
    join_chunks(chunks, target, plan, probe(source), OutputConfig(), source=source, report=ignore)
    assert decoded(target) == [frame for path in chunks for frame in decoded(path)]
    assert read_file(target).times == read_file(source).times


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_x265_keeps_the_times_of_a_few_frames(
    tmp_path: Path, make_clip: MakeClip, num_frames: int
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", num_frames=num_frames), tmp_path / "out.mp4"
    for _ in range(4):  # x265 left decoding times to chance
        config = replace(ENCODERS["libx265"], overwrite=True)
        with VideoWriter(target, probe(source), SIZE, config, source=source, report=ignore) as out:
            for index, frame in enumerate(read_frames(source, report=ignore)):
                out.write(
                    frame.with_planes(
                        moving_planes(out.plan, index), out.plan.layout, out.plan.color
                    )
                )
            out.finish()
        assert read_file(target).times == read_file(source).times


def test_one_chunk_is_what_a_writer_writes(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(
        tmp_path / "in.mp4", rotation=90, sample_aspect_ratio=Fraction(16, 15), colorspace=6
    )
    config, info = ENCODERS["libx265"], probe(source)
    with VideoWriter(
        tmp_path / "direct.mp4", info, SIZE, config, source=source, report=ignore
    ) as writer:
        for index, frame in enumerate(read_frames(source, report=ignore)):
            writer.write(
                frame.with_planes(
                    moving_planes(writer.plan, index), writer.plan.layout, writer.plan.color
                )
            )
        writer.finish()
    chunks = write_chunks(source, writer.plan, ())
    target = tmp_path / "joined.mp4"
    join_chunks(chunks, target, writer.plan, info, config, source=source, report=ignore)
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
    info = probe(source)
    plan = make_plan(source, target, ENCODERS["libx264"])
    first, second = write_chunks(source, plan, (3,))
    with pytest.raises(OutputError, match="does not go on") as caught:
        join_chunks(
            [second, first], target, plan, info, OutputConfig(), source=source, report=ignore
        )
    assert "before they end" in str(caught.value.why)
    other = make_plan(source, target, OutputConfig(preset="ultrafast"))
    kept = first.rename(tmp_path / "kept.mkv")
    second.unlink()
    _, second = write_chunks(source, other, (3,))
    with pytest.raises(OutputError, match="does not go on") as caught:
        join_chunks(
            [kept, second], target, plan, info, OutputConfig(), source=source, report=ignore
        )
    assert "set or built differently" in str(caught.value.why)
    with pytest.raises(InputError, match="no finished chunks"):
        join_chunks([], target, plan, info, OutputConfig(), source=source, report=ignore)
    assert not target.exists()


def test_a_chunk_that_is_not_finished_leaves_no_file(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4")
    plan = make_plan(source, tmp_path / "out.mp4", ENCODERS["ffv1"])
    path = tmp_path / "chunk.mkv"
    with ChunkWriter(path, plan, probe(source)):
        assert (tmp_path / "chunk.mkv.part").exists()
    assert sorted(tmp_path.iterdir()) == [source]


def test_full_verification_finds_what_quick_verification_cannot(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", num_frames=8), tmp_path / "out.mkv"
    info = probe(source)
    plan = make_plan(source, target, ENCODERS["libx264"])
    (chunk,) = write_chunks(source, plan, ())
    with av.open(f"file:{chunk}") as container:
        packet = [bytes(packet) for packet in container.demux(video=0) if packet.size][3]
    whole = chunk.read_bytes()
    assert whole.count(packet) == 1
    chunk.write_bytes(whole.replace(packet, b"\xff" * 6 + packet[6:]))
    quick = OutputConfig(verify="quick", overwrite=True)
    join_chunks([chunk], target, plan, info, quick, source=source, report=ignore)
    target.unlink()
    with pytest.raises(VerificationError, match="not what was written"):
        join_chunks(
            [chunk], target, plan, info, OutputConfig(verify="full"), source=source, report=ignore
        )
    assert not target.exists()
