"""The command as a stage between others, each in a process of its own."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest

from tests.conftest import MakeClip
from tests.networks import write_tiny_weights

VSR = f"{sys.executable} -m vsr_cli upscale --device cpu --steps 1 --scale 2"
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs `ffmpeg`")


def shell(line: str, folder: Path, *, data: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run a line of shell in a folder that holds `tiny.safetensors`."""
    model = write_tiny_weights(folder / "tiny.safetensors")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("VSR", f"{VSR} --model '{model}'")],
        input=data,
        capture_output=True,
        check=False,
    )


@needs_ffmpeg
def test_between_two_others_picture_sound_and_times_go_through(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=9, audio=["aac"])
    target = tmp_path / "out.mkv"
    run = shell(
        f"ffmpeg -v error -i '{source}' -fps_mode passthrough -f matroska -c:v ffv1 -c:a copy - "
        f"| VSR - - | ffmpeg -v error -i - -c:v libx264 -c:a copy '{target}'",
        tmp_path,
    )
    assert run.returncode == 0, run.stderr
    with av.open(str(target)) as container:
        frames = list(container.decode(video=0))
        assert [(frame.height, frame.width) for frame in frames] == [(96, 128)] * 9
        assert len(container.streams.audio) == 1
    times = [float((frame.pts or 0) * (frame.time_base or 0)) for frame in frames]
    assert [time - times[0] for time in times] == pytest.approx([n / 25 for n in range(9)])


@pytest.mark.slow
def test_y4m_leaves_with_events_in_a_file_of_their_own(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=3)
    log = tmp_path / "events.ndjson"
    run = shell(f"VSR '{source}' - -f yuv4mpegpipe --progress-file fd:3 3>'{log}'", tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(b"YUV4MPEG2 W128 H96 F25:1 ")
    with av.open(io.BytesIO(run.stdout), "r") as container:
        assert len(list(container.decode(video=0))) == 3
    kinds = [json.loads(line)["type"] for line in log.read_text().splitlines()]
    assert (kinds[0], *kinds[-2:]) == ("plan", "spent", "done")


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_error_to_talk_about(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=40)
    run = shell(f"VSR '{source}' - -q | head -c 1000 | wc -c; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert (run.stdout.split(), run.stderr) == ([b"1000", b"141"], b"")


@pytest.mark.slow
def test_a_loop_that_reads_names_is_not_robbed_of_them(tmp_path: Path, make_clip: MakeClip) -> None:
    make_clip(tmp_path / "a b.mp4", num_frames=1)
    make_clip(tmp_path / "c.mp4", num_frames=1)
    run = shell(
        f"cd '{tmp_path}' && while read -r f; do "
        'VSR "$f" "out $f" --dry-run -q; echo "$?:$f"; done',
        tmp_path,
        data=b"a b.mp4\nc.mp4\n",
    )
    assert run.stdout.splitlines() == [b"0:a b.mp4", b"0:c.mp4"], run.stderr
