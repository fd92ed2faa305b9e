"""Which codecs can be read here."""

from collections.abc import Iterable
from contextlib import suppress

from av.codec import Codec
from av.codec.codec import UnknownCodecError


def missing_decoders(names: Iterable[str]) -> list[str]:
    """Those of the codecs that this build of FFmpeg does not decode."""
    missing = []
    for name in names:
        found = None
        with suppress(UnknownCodecError):
            found = Codec(name, "r")
        if found is None:
            missing.append(name)
    return missing
