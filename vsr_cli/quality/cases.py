"""What is evaluated: true clips, their low-resolution inputs, and what others made of these."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from torch import Tensor

from vsr_cli.config import OutputConfig
from vsr_cli.errors import InputError
from vsr_cli.events import Note, Report, ignore
from vsr_cli.media.containers import VIDEO_SUFFIXES
from vsr_cli.media.reading.reader import probe
from vsr_cli.media.writing.destination import check_target
from vsr_cli.ops.resize import crop
from vsr_cli.quality.clips import (
    LOSSLESS_SUFFIX,
    Footage,
    Pictures,
    count_frames,
    open_lossless,
    read_footage,
    write_all,
)
from vsr_cli.quality.defects import DEFECTS, Defect, damage
from vsr_cli.quality.degrade import Degradation, Level, find_level

Degraded = Level | Defect  # how an input is made

_MOST_CROPPED = 64  # pixels of the truth; beyond that the input was made in another way


@dataclass(frozen=True, kw_only=True)
class Case:
    """One true clip under one degradation.

    The truth is the first `num_frames` of `source`, cut at the right and at the bottom to `scale`
    times `lr_size`, which is (height, width).
    """

    source: Path
    degradation: str
    scale: int  # of the truth to the input, per side
    num_frames: int
    lr_size: tuple[int, int]
    lr_path: Path | None = None  # None: `degradation` is `Degraded`, and makes the input

    @property
    def clip(self) -> str:
        """Name of the true clip."""
        return self.source.stem

    @property
    def name(self) -> str:
        """Name of the input, and of what restorers make of it."""
        return f"{self.clip}_{self.degradation}"

    @property
    def sr_size(self) -> tuple[int, int]:
        """(height, width) of the truth and of every result."""
        return self.lr_size[0] * self.scale, self.lr_size[1] * self.scale

    def truth(self, footage: Footage) -> Tensor:
        """The part of the true clip that counts, (T, 3, H, W)."""
        return crop(footage.frames[: self.num_frames], self.sr_size)

    def lr_frames(self, hr_frames: Tensor, seed: int) -> Tensor:
        """The input (T, 3, H / scale, W / scale), made of the truth or read."""
        if self.lr_path is not None:
            return Pictures(self.lr_path).read(self.num_frames, self.lr_size)
        # An input depends on clip, level and seed, not on its neighbours.
        named_seed = zlib.crc32(f"{self.clip}/{self.degradation}/{seed}".encode())
        for defect in DEFECTS:
            if defect == self.degradation:
                return damage(hr_frames, defect, named_seed)
        level = find_level(self.degradation)
        return Degradation(level, scale=self.scale)(hr_frames, named_seed)


def plan_degraded(
    folder: Path, levels: Sequence[Degraded], num_frames: int, *, scale: int
) -> list[Case]:
    """A case for each clip of a folder and each level; inputs are `scale` times smaller.

    A `Defect` leaves the size as it is: it goes with scale 1.

    Raises:
        InputError: if the folder holds no video, or one cannot be read or is a single frame.
    """
    cases: list[Case] = []
    for source in find_clips(folder):
        info = probe(source)
        count = _require_pair(source, count_frames(source, num_frames))
        size = (info.height // scale, info.width // scale)
        cases += [
            Case(source=source, degradation=level, scale=scale, num_frames=count, lr_size=size)
            for level in levels
        ]
    return cases


def plan_given(
    folder: Path,
    lr_folder: Path,
    num_frames: int,
    *,
    scale: int,
    only: Sequence[str] = (),
    report: Report = ignore,
) -> list[Case]:
    """A case for each input that another tool has made.

    The inputs of the clip `a` are `a_KIND.mkv` or `a_KIND_low.mkv`, and KIND is what the table
    calls the degradation.

    Args:
        folder: true clips.
        lr_folder: inputs.
        num_frames: at most; the shorter of input and truth decides.
        scale: by how much the true clips are larger.
        only: kinds to take; all of them if empty.
        report: hears of true clips without an input, which are left out.

    Raises:
        InputError: if nothing is left, or an input does not fit its truth.
    """
    sources = find_clips(folder)
    inputs = _sort_inputs(sources, lr_folder)
    cases: list[Case] = []
    for source in sources:
        found = {kind: path for kind, path in inputs[source].items() if not only or kind in only}
        if not found:
            text = f"`{source.name}` is left out: there is no input for it in `{lr_folder}`"
            report(Note(code="W_CLIP_LEFT_OUT", text=text))
            continue
        num_true = count_frames(source, num_frames)
        for kind, path in found.items():
            count = _require_pair(path, count_frames(path, num_true))
            case = Case(
                source=source,
                degradation=kind,
                scale=scale,
                num_frames=count,
                lr_size=_require_fit(path, source, scale),
                lr_path=path,
            )
            cases.append(case)
    if not cases:
        kinds = " or ".join(f"`{kind}`" for kind in only) or "KIND"
        raise InputError(
            f"`{lr_folder}` holds no input for any clip of `{folder}`",
            hint=f"name them CLIP_KIND.mkv, such as `{sources[0].stem}_real.mkv`"
            if not only
            else f"there must be a file CLIP_KIND.mkv, with {kinds} as KIND",
        )
    return cases


def find_clips(folder: Path) -> list[Path]:
    """The videos of a folder, by name.

    Raises:
        InputError: if there is none, or two have one name.
    """
    if not folder.is_dir():
        raise InputError(f"`{folder}` is no folder", hint="give a folder of true clips")
    sources = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    if not sources:
        raise InputError(f"`{folder}` holds no videos", hint="give a folder of true clips")
    for name, same in groupby(sorted(path.stem for path in sources)):
        if len(list(same)) > 1:
            raise InputError(f"`{folder}` holds two clips `{name}`", hint="rename one of them")
    return sources


def write_inputs(cases: Sequence[Case], folder: Path, seed: int, *, overwrite: bool) -> None:
    """Write the input of each case without loss, as CLIP_DEGRADATION.mkv.

    Raises:
        OutputError: if a file exists or cannot be written; then none is.
    """
    targets = {case.name: folder / f"{case.name}{LOSSLESS_SUFFIX}" for case in cases}
    for case in cases:
        check_target(targets[case.name], case.source, OutputConfig(overwrite=overwrite))
    for source, group in groupby(cases, key=lambda case: case.source):
        clip_cases = list(group)
        footage = read_footage(source, max(case.num_frames for case in clip_cases))
        for case in clip_cases:
            with open_lossless(
                targets[case.name], source, footage.info, case.lr_size, overwrite=overwrite
            ) as writer:
                lr_frames = case.lr_frames(case.truth(footage), seed)
                write_all(writer, footage.headers[: case.num_frames], lr_frames)


class Results:
    """What another tool made of every case: DIR/CLIP_DEGRADATION.mkv, or a folder of PNG files.

    Raises:
        InputError: if one is missing, short, or of another size than it must have.
    """

    def __init__(self, folder: Path, cases: Sequence[Case]) -> None:
        self.folder = folder
        self._pictures = {case: _find_result(folder, case) for case in cases}
        for case in cases:
            self.read(case)  # decoding is cheap beside what would be lost if one did not fit

    def read(self, case: Case) -> Tensor:
        """Frames (T, 3, H, W)."""
        return self._pictures[case].read(case.num_frames, case.sr_size)


def _find_result(folder: Path, case: Case) -> Pictures:
    paths = [folder / f"{case.name}{suffix}" for suffix in sorted(VIDEO_SUFFIXES)]
    found = [path for path in paths if path.is_file()]
    if (folder / case.name).is_dir():
        found.append(folder / case.name)
    if not found:
        raise InputError(
            f"`{folder / case.name}{LOSSLESS_SUFFIX}` does not exist",
            why="a result is needed for each clip and degradation",
            hint=f"a folder `{case.name}` of numbered PNG files will do too, "
            "and any other video ending",
        )
    if len(found) > 1:
        raise InputError(
            f"`{found[0]}` and `{found[1].name}` are both there", hint="remove one of them"
        )
    return Pictures(found[0])


def _sort_inputs(sources: Sequence[Path], lr_folder: Path) -> dict[Path, dict[str, Path]]:
    """Inputs of each true clip by kind; a name that fits two clips belongs to the longer one."""
    if not lr_folder.is_dir():
        raise InputError(f"`{lr_folder}` is no folder", hint="give a folder of inputs")
    inputs: dict[Path, dict[str, Path]] = {source: {} for source in sources}
    for path in sorted(lr_folder.glob(f"*{LOSSLESS_SUFFIX}")):
        owners = [source for source in sources if path.stem.startswith(f"{source.stem}_")]
        if not owners:
            continue
        owner = max(owners, key=lambda source: len(source.stem))
        kind = path.stem[len(owner.stem) + 1 :].removesuffix("_low")
        if kind in inputs[owner]:
            raise InputError(
                f"`{path}` and `{inputs[owner][kind].name}` are both there",
                why=f"both would be the input of `{owner.stem}` under `{kind}`",
                hint="remove one of them",
            )
        if kind:
            inputs[owner][kind] = path
    return inputs


def _require_pair(path: Path, count: int) -> int:
    if count < 2:
        raise InputError(f"`{path.name}` holds fewer than two frames", hint="leave it out")
    return count


def _require_fit(path: Path, source: Path, scale: int) -> tuple[int, int]:
    """(height, width) of an input that fits `scale` times into the truth, with little to spare."""
    lr, hr = probe(path), probe(source)
    spare = (hr.height - lr.height * scale, hr.width - lr.width * scale)
    if min(spare) < 0 or max(spare) >= _MOST_CROPPED:
        raise InputError(
            f"`{path}` is {lr.width}x{lr.height}, which is not `{source.name}` at scale {scale}",
            why=f"the truth is {hr.width}x{hr.height}",
            hint="give another `--scale`; before shrinking, only the right and the bottom of "
            "the truth may have been cut",
        )
    return lr.height, lr.width
