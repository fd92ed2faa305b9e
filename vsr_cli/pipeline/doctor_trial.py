"""A job of four frames of noise, from a file to a file, to see that jobs run on this machine."""

import random
import tempfile
import time
from pathlib import Path

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import VsrError
from vsr_cli.events import Finding
from vsr_cli.pipeline.upscale import Upscaler

NUM_FRAMES, HEIGHT, WIDTH = 4, 48, 64


def try_job() -> Finding:
    """Upscale noise in a folder that is removed afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix="vsr-doctor-") as name:
            folder = Path(name)
            write_noise(folder / "noise.y4m")
            begun = time.monotonic()
            done = Upscaler(UpscaleConfig()).upscale(folder / "noise.y4m", folder / "out.mp4")
            seconds = time.monotonic() - begun
    except VsrError as error:
        text = f"{error}: {error.why}" if error.why else str(error)
        hint = error.hint or "run `vsr demo -v`, and see what it says"
        return Finding(subject="job", state="fail", text=text, hint=hint)
    except (RuntimeError, OSError, ImportError) as error:  # what a library says of this machine
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        hint = "run `vsr demo -v`, and report what it says"
        return Finding(subject="job", state="fail", text=text, hint=hint)
    text = (
        f"{NUM_FRAMES} frames {WIDTH}x{HEIGHT} -> {done.width}x{done.height}, "
        f"{done.seconds / NUM_FRAMES:.2f} s a frame, {seconds:.1f} s with loading the model"
    )
    return Finding(subject="job", state="ok", text=text)


def write_noise(path: Path) -> None:
    """Write a clip of noise, 4:2:0, of 8 bits."""
    noise = random.Random(0)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C420jpeg\n".encode())
        for _ in range(NUM_FRAMES):
            file.write(b"FRAME\n" + noise.randbytes(HEIGHT * WIDTH * 3 // 2))
