"""Streams that appear midway, as in a broadcast whose programme changes."""

from collections.abc import Mapping
from pathlib import Path

import av
import pytest
from av.audio.stream import AudioStream

from tests.conftest import MakeClip
from vsr_cli.media.packets import all_packets


def renumbered(path: Path, target: Path) -> Path:
    """The same streams under other identifiers."""
    options: Mapping[str, str] = {"mpegts_pmt_start_pid": "0x1100", "mpegts_start_pid": "0x200"}
    with (
        av.open(str(path)) as reading,
        av.open(str(target), "w", container_options=dict(options)) as writing,
    ):
        streams = {
            stream.index: writing.add_stream_from_template(stream)
            for stream in (*reading.streams.video, *reading.streams.audio)
        }
        for packet in reading.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                writing.mux(packet)
    return target


def test_a_stream_that_appears_midway_is_left_out_and_the_others_are_read_to_their_end(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    first = make_clip(tmp_path / "first.ts", num_frames=400, codec="mpeg2video")
    second = make_clip(tmp_path / "second.ts", num_frames=9, codec="mpeg2video", audio=["mp2"])
    joined = tmp_path / "joined.ts"
    data = first.read_bytes(), renumbered(second, tmp_path / "other.ts").read_bytes()
    joined.write_bytes(data[0] * 2 + data[1] + data[0])
    with av.open(str(joined)) as container:
        known = {stream.index for stream in container.streams}
        assert not any(isinstance(stream, AudioStream) for stream in container.streams)
        with pytest.raises(IndexError):
            list(container.demux())
    with av.open(str(joined)) as container:
        found = [packet.stream_index for packet in all_packets(container) if packet.size]
    assert set(found) == known
    assert len(found) >= 3 * 400 - 3
