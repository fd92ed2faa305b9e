"""All packets of a container, also where streams appear that nobody has announced."""

from typing import TYPE_CHECKING

from av.container import InputContainer

from vsr_cli.media.open import demux

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.packet import Packet
    from av.stream import Stream


def all_packets(container: InputContainer) -> "Iterator[Packet[Stream]]":
    """Read the packets of all streams that were there when the container was opened.

    Broadcasts may gain a stream midway. PyAV does not know it and fails at its first packet; asked
    anew it leaves it out.

    Raises:
        av.FFmpegError: the container cannot be read any further.
    """
    while True:
        try:
            yield from demux(container)
        except IndexError:
            continue
        return
