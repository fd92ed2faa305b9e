"""A batch in a process of its own, where a library that writes past its memory ends everything."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.conftest import MakeClip
from tests.networks import write_tiny_weights
from vsr_cli.config import UpscaleConfig
from vsr_cli.pipeline.upscale import Upscaler

ROOT = Path(__file__).resolve().parents[2]
TINY = [(34, 34), (48, 48), (16, 32), (64, 40), (18, 16)]  # (height, width)


@pytest.mark.slow
def test_a_batch_survives_bad_files_and_tiny_deep_ones(tmp_path: Path, make_clip: MakeClip) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = {}
    for index, size in enumerate(TINY * 2):
        name = f"{index}.mkv"
        make_clip(folder / name, size=size, num_frames=4, codec="ffv1", pix_fmt="yuv420p10le")
        good[name] = "hevc"
    make_clip(folder / "dot.mkv", size=(8, 8), num_frames=4, codec="ffv1", pix_fmt="yuv420p10le")
    good["dot.mkv"] = "h264"
    (folder / "2-empty.mkv").write_bytes(b"")
    (folder / "5-words.mp4").write_bytes(b"no video, only words\n" * 99)
    (folder / "7-cut.mkv").write_bytes((folder / "0.mkv").read_bytes()[:300])
    weights = write_tiny_weights(tmp_path / "tiny.safetensors")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "vsr_cli", "batch", str(folder), "-o", "out", "--json"),
            *("--name", "{stem}.mkv", "--scale", "1", "--steps", "1", "--model", str(weights)),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 9, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    status = {
        Path(str(event["source"])).name: event["status"]
        for event in events
        if event["type"] == "file"
    }
    assert {name for name, found in status.items() if found == "done"} == set(good)
    assert {name for name, found in status.items() if found == "failed"} == {
        *("2-empty.mkv", "5-words.mp4", "7-cut.mkv")
    }
    for name, codec in good.items():
        with av.open(str(tmp_path / "out" / name)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == codec
            assert stream.codec_context.pix_fmt == "yuv420p10le"
            assert len(list(container.decode(stream))) == 4


@pytest.mark.parametrize(
    ("size", "is_said"), [((64, 48), True), ((64, 50), False), ((48, 64), False)]
)
def test_a_narrow_target_says_what_its_encoder_does_without(
    tmp_path: Path, make_clip: MakeClip, size: tuple[int, int], is_said: bool
) -> None:
    source = make_clip(tmp_path / "in.mkv", size=size, codec="ffv1", pix_fmt="yuv420p10le")
    config = UpscaleConfig(
        model=write_tiny_weights(tmp_path / "tiny.safetensors"), scale=Fraction(1)
    )
    reasons = Upscaler(config).plan(source, tmp_path / "out.mkv").reasons
    assert any("coding-unit trees" in reason for reason in reasons) == is_said
