"""What vsr finds on this machine: versions, devices, weights, encoders and folders."""

import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

import torch

from vsr_cli import __version__
from vsr_cli.counting import counted
from vsr_cli.errors import VsrError, WeightsError
from vsr_cli.events import Finding
from vsr_cli.media.reading.decoders import missing_decoders
from vsr_cli.media.writing.encoder_trial import why_not
from vsr_cli.models.files import (
    installed_weights,
    recorded_digest,
    shipped_weights,
    user_weights_dir,
    verify,
)
from vsr_cli.pipeline.memory import CPU, free_memory
from vsr_cli.pipeline.run_plan import choose_device, choose_dtype, dtype_name
from vsr_cli.pipeline.speed import cache_dir, processor

State = Literal["ok", "warn", "fail"]
_ENCODERS = ("libx264", "libx265", "libsvtav1", "ffv1", "prores_ks")
_OF_GPUS = ("h264_nvenc", "hevc_nvenc")  # never chosen by themselves
_DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg2video", "mpeg4", "prores", "mjpeg", "ffv1", "png")
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "bf16")
_DRIVER = Path("/proc/driver/nvidia/version")
_MOST_HASHED = 2**29  # bytes of weights that are read whole; more would take its time
_DAY = 86400  # seconds
_PATH = re.compile(r"(?<=`)~?/[^`]*(?=`)|(?<![\w/.`~])~?/[^\s`:,]*")  # quoted or not
_LITTLE_MEMORY = 2 * 2**30
_LITTLE_DISK = 2**30


def examine(*, has_job: bool = False, has_names: bool = True) -> list[Finding]:
    """Look at all that jobs need of this machine; nothing is changed, and nothing is fetched.

    Args:
        has_job: whether a small job is run as well.
        has_names: whether folders are named, which may tell who the user is.
    """
    found = [
        *_versions(),
        *_devices(),
        _plan(),
        *_weights(),
        *(_encoder(name) for name in _ENCODERS),
        *(_encoder_of_gpu(name) for name in _OF_GPUS if torch.cuda.is_available()),
        _decoders(),
        *_folders(has_names=has_names),
        _renaming(),
        _clock(),
    ]
    if has_job and not any(finding.state == "fail" for finding in found):
        from vsr_cli.pipeline.doctor_trial import try_job  # loads all that jobs need

        found.append(try_job())
    return found if has_names else [_without_names(finding) for finding in found]


def _versions() -> Iterator[Finding]:
    yield Finding(subject="vsr", state="ok", text=__version__)
    system = f"{platform.system()} {platform.machine()}"
    yield Finding(subject="Python", state="ok", text=f"{platform.python_version()}, {system}")
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    yield Finding(subject="torch", state="ok", text=f"{torch.__version__}, built for {built}")
    yield _library("PyAV", "av", "av", "ffmpeg_version_info")
    yield _library("OpenCV", "cv2", "opencv-python-headless", None)


def _library(subject: str, module: str, package: str, more: str | None) -> Finding:
    """A library that has to load; `more` is what it knows of one below it."""
    try:
        loaded = import_module(module)
        version = str(getattr(loaded, "__version__", None) or metadata.version(package))
    except (ImportError, metadata.PackageNotFoundError) as error:
        hint = f"install it again, as in `pip install --force-reinstall {package}`"
        return Finding(subject=subject, state="fail", text=_line(error), hint=hint)
    below = f", FFmpeg {getattr(loaded, more)}" if more and hasattr(loaded, more) else ""
    return Finding(subject=subject, state="ok", text=version + below)


def _devices() -> Iterator[Finding]:
    threads, cores = torch.get_num_threads(), _cores()
    free = free_memory(CPU)
    whole, available = (_memory(name) for name in ("MemTotal", "MemAvailable"))
    features = "/".join(_features()) or "no vectors known"
    text = f"{processor()} ({features}), {counted(threads, 'thread')} on {counted(cores, 'core')}"
    text += f", {_size(free)}"
    text += f" of {_size(whole)} of memory free" if whole else " of memory free"
    if available and free < available * 0.95:
        text += ", as limits of this session allow"
    state: State = "ok"
    hint = None
    if threads < cores // 2:  # two threads a core are of no use
        state, hint = "warn", "unset `OMP_NUM_THREADS`, or raise it"
    if free < _LITTLE_MEMORY:
        state, hint = "warn", "free some memory; large frames need several GB"
    yield Finding(subject="cpu", state=state, text=text, hint=hint)
    for index in range(torch.cuda.device_count()):
        yield _gpu(index)
    if not torch.cuda.is_available() and _DRIVER.exists():
        why = "built for CUDA" if torch.version.cuda else "built without CUDA"
        yield Finding(
            subject="cuda",
            state="warn",
            text=f"there is driver {_driver()}, and torch, {why}, finds no device",
            hint="install the torch that fits the driver, and see `nvidia-smi`",
        )


def _gpu(index: int) -> Finding:
    name = f"cuda:{index}"
    try:
        free, whole = torch.cuda.mem_get_info(index)
        text = f"{torch.cuda.get_device_name(index)}, {_size(free)} of {_size(whole)} free"
        text += f", driver {_driver()}"
    except RuntimeError as error:
        hint = "use `--device cpu`, and see `nvidia-smi`"
        return Finding(subject=name, state="fail", text=_line(error), hint=hint)
    if free < _LITTLE_MEMORY:
        return Finding(subject=name, state="warn", text=text, hint="end what else runs on it")
    return Finding(subject=name, state="ok", text=text)


def _plan() -> Finding:
    """What a job without `--device` and `--dtype` would take."""
    try:
        device, _ = choose_device("auto")
        dtype, why = choose_dtype("auto", device, why_no_int8="")  # the shipped weights can
    except (VsrError, RuntimeError) as error:
        return Finding(subject="plan", state="fail", text=_line(error), hint="try `--device cpu`")
    reason = why.partition(": ")[2]
    return Finding(subject="plan", state="ok", text=f"{device}, {dtype_name(dtype)}: {reason}")


def _weights() -> Iterator[Finding]:
    shipped = shipped_weights()
    if not shipped.is_file():
        yield Finding(
            subject="weights",
            state="fail",
            text=f"the shipped ones are missing: `{_short(shipped)}`",
            hint="install vsr again",
        )
    for path in installed_weights():
        yield _checked(path, is_needed=path == shipped)


def _checked(path: Path, *, is_needed: bool) -> Finding:
    subject, size = f"weights {path.stem}", path.stat().st_size
    if size > _MOST_HASHED:
        text = f"{_size(size)}, digest not compared"
        return Finding(
            subject=subject, state="ok", text=text, hint=f"`vsr weights verify {path.stem}` does it"
        )
    try:
        digest = verify(path)
    except WeightsError as error:
        state: State = "fail" if is_needed else "warn"
        text = f"{_line(error).replace(str(path), _short(path))}: {error.why}"
        return Finding(subject=subject, state=state, text=text, hint=error.hint)
    if recorded_digest(path) is None:
        text = f"{_size(size)}, with no digest to compare"
        hint = f"`vsr weights verify {path.stem}` loads them"
        return Finding(subject=subject, state="warn", text=text, hint=hint)
    return Finding(subject=subject, state="ok", text=f"{_size(size)}, sha256 {digest[:12]} as told")


def _encoder(name: str) -> Finding:
    why = why_not(name)
    if why is None:
        return Finding(subject=f"encoder {name}", state="ok", text="opens")
    state: State = "fail" if name == "libx264" else "warn"
    hint = "install the `av` of PyPI, which brings it"
    return Finding(subject=f"encoder {name}", state=state, text=why, hint=hint)


def _encoder_of_gpu(name: str) -> Finding:
    """One that is used only where it is asked for."""
    why = why_not(name)
    text = "opens" if why is None else f"does not open, and is not needed: {why}"
    return Finding(subject=f"encoder {name}", state="ok", text=text)


def _decoders() -> Finding:
    if missing := missing_decoders(_DECODERS):
        text = f"{', '.join(missing)} cannot be read"
        hint = "install the `av` of PyPI, which brings them"
        return Finding(subject="decoders", state="warn", text=text, hint=hint)
    return Finding(subject="decoders", state="ok", text=f"{', '.join(_DECODERS)} can be read")


def _renaming() -> Finding:
    """Whether a file can take the place of another at once, as all that is kept does."""
    hint = "work in a folder of a local disk"
    try:
        with tempfile.TemporaryDirectory(prefix=".vsr-doctor-", dir=Path.cwd()) as name:
            old, new = Path(name, "old"), Path(name, "new")
            old.write_text("old")
            new.write_text("new")
            new.replace(old)
            is_right = old.read_text() == "new" and not new.exists()
    except OSError as error:
        return Finding(subject="renaming", state="warn", text=_line(error), hint=hint)
    if not is_right:
        text = "this folder's disk does not replace files at once"
        return Finding(subject="renaming", state="warn", text=text, hint=hint)
    return Finding(subject="renaming", state="ok", text="files are replaced at once here")


def _clock() -> Finding:
    """Whether it is later than this program, as what has changed is told by times."""
    text = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    if time.time() < Path(__file__).stat().st_mtime - _DAY:
        text, hint = f"{text}, which is before vsr was installed", "set the clock"
        return Finding(subject="clock", state="warn", text=text, hint=hint)
    return Finding(subject="clock", state="ok", text=text)


def _folders(*, has_names: bool) -> Iterator[Finding]:
    places: list[tuple[str, Path, State, str]] = [
        ("this folder", Path.cwd(), "warn", "targets and jobs are written beside sources"),
        ("temporary files", Path(tempfile.gettempdir()), "fail", "set `TMPDIR`"),
        ("cache", cache_dir(), "warn", "set `VSR_CACHE_DIR`; without it no time is told"),
        ("your weights", user_weights_dir(), "warn", "set `VSR_WEIGHTS_DIR`"),
    ]
    for subject, folder, otherwise, hint in places:
        found = _folder(subject, folder, otherwise, hint)
        name = f"`{_short(folder)}` " if has_names else ""
        yield replace(found, text=name + found.text)


def _folder(subject: str, folder: Path, otherwise: State, hint: str) -> Finding:
    """Whether it can be written to, or made, and what its disk has left."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding(subject=subject, state=otherwise, text="cannot be written to", hint=hint)
    try:
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding(subject=subject, state=otherwise, text=_line(error), hint=hint)
    text = f"can be written to, {_size(free)} free"
    if free < _LITTLE_DISK:
        return Finding(subject=subject, state="warn", text=text, hint="free some space")
    return Finding(subject=subject, state="ok", text=text)


def _memory(name: str) -> int:
    """A line of what the system says of its memory, in bytes; 0 where it says nothing."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _features() -> list[str]:
    """What the processor has that makes networks fast, as far as the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.lower().startswith(("flags", "features")):
                return [name for name in _FEATURES if name in line.split()]
    return []


def _driver() -> str:
    """The version of the GPU's driver."""
    with suppress(OSError):
        if found := re.search(r"\b\d+\.\d+(\.\d+)?\b", _DRIVER.read_text(encoding="utf-8")):
            return found[0]
    return "of an unknown version"


def _without_names(finding: Finding) -> Finding:
    """The same, without folders: what lies in them is named alone."""
    hint = None if finding.hint is None else _hide(finding.hint)
    return replace(finding, text=_hide(finding.text), hint=hint)


def _hide(text: str) -> str:
    """A text with the names of files in the place of their paths; a folder's may be a person's."""

    def last_name(path: re.Match[str]) -> str:
        name = path[0].rpartition("/")[2]
        return name if "." in name else "FOLDER"

    return _PATH.sub(last_name, text)


def _cores() -> int:
    with suppress(AttributeError):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


def _short(path: Path) -> str:
    """A path that does not tell who the user is."""
    with suppress(ValueError, RuntimeError):
        return f"~/{path.relative_to(Path.home())}"
    return str(path)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
