"""What makes x264 give the same bytes for the same frames."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path


@lru_cache
def reproducible_settings() -> Mapping[str, str]:
    """Settings of `libx264` under which its output depends on its input alone.

    Where a frame is not a multiple of 8 macroblocks wide, its AVX-512 code for macroblock trees
    reads past the end of rows, and what an earlier owner of that memory left there decides how
    frames are coded. Its AVX2 code does not, and is hardly slower. Where the system does not say
    what the processor can do, nothing is set: naming code that is not there would end the process.
    """
    try:
        features = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    return {"x264-params": "asm=avx2"} if " avx512" in features else {}
