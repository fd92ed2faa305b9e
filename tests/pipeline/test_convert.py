from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.media.test_alpha import SIZE, rgba, write_alpha
from vsr_cli.config import OutputConfig
from vsr_cli.events import ignore
from vsr_cli.media.containers import container_of
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.writing.encoder_plan import EncoderPlan, plan_encoder
from vsr_cli.pipeline.clips import RgbFrame
from vsr_cli.pipeline.convert import SourceMix, coded_frame, read_rgb


def plan_for(source: Path, target: str, scale: int) -> EncoderPlan:
    size = (SIZE[0] * scale, SIZE[1] * scale)
    container = container_of(Path(target), OutputConfig())
    return plan_encoder(container, probe(source), size, OutputConfig())


def convert(source: Path, plan: EncoderPlan) -> list[Frame]:
    found = []
    for frame in read_rgb(read_frames(source, report=ignore)):
        assert frame.header is not None
        found.append(coded_frame(frame.rgb, frame.header, plan))
    return found


def test_colours_and_alpha_come_back_as_they_were(tmp_path: Path) -> None:
    source = write_alpha(tmp_path / "in.mkv", "ffv1", "bgra")
    frames = convert(source, plan_for(source, "%d.png", 1))
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(np.stack(frame.planes, axis=-1), rgba(index))
        assert frame.pts * frame.time_base == Fraction(index, 25)


def test_alpha_grows_with_the_picture(tmp_path: Path) -> None:
    source = write_alpha(tmp_path / "in.mkv", "ffv1", "bgra")
    [frame, *_] = convert(source, plan_for(source, "%d.png", 2))
    alpha = frame.planes[-1].astype(np.float64)
    assert alpha.shape == (2 * SIZE[0], 2 * SIZE[1])
    halves = alpha.reshape(SIZE[0], 2, SIZE[1], 2).mean(axis=(1, 3))
    assert np.abs(halves - rgba(0)[..., 3])[:, 2:-2].max() <= 4


@pytest.mark.parametrize("target", ["out.mp4", "%d.png"])
def test_a_target_without_alpha_and_a_source_without_it_go_together(
    tmp_path: Path, target: str
) -> None:
    clear = write_alpha(tmp_path / "in.mkv", "ffv1", "bgra")
    opaque = write_alpha(tmp_path / "opaque.mkv", "ffv1", "bgr0")
    plan = plan_for(opaque, target, 1)
    assert not plan.layout.has_alpha
    for frames in (convert(clear, plan), convert(opaque, plan)):
        assert {len(frame.planes) for frame in frames} == {len(plan.layout.plane_shapes(2, 2))}


def test_headers_hold_no_colours(tmp_path: Path) -> None:
    source = write_alpha(tmp_path / "in.mkv", "ffv1", "bgra")
    frames = list(read_rgb(read_frames(source, report=ignore)))
    headers = [frame.header for frame in frames if frame.header]
    assert [len(header.planes) for header in headers] == [1, 1, 1]
    assert all(frame.rgb.dtype == torch.float32 for frame in frames)


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_a_strength_mixes_each_frame_with_its_own_source(strength: float) -> None:
    sources = [torch.full((3, 8, 10), value) for value in (-0.5, 0.0, 0.5)]
    mix = SourceMix(strength, num_skipped=1)
    frames = mix.kept(map(RgbFrame, sources))
    read = [frame.rgb for frame in frames]  # as far ahead as a restorer may
    assert all(torch.equal(a, b) for a, b in zip(read, sources, strict=True))
    for source in sources[1:]:
        restored = torch.full((3, 16, 20), 0.8)
        found = mix.mixed(restored, (16, 20))
        expected = strength * 0.8 + (1 - strength) * float(source[0, 0, 0])
        assert torch.allclose(found, torch.full((3, 16, 20), expected), atol=1e-5)
