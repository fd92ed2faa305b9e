"""A very small job for campaigns that run it hundreds of times, each in a folder of its own."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.campaigns.common import Run, Table, digests, load_modules, nothing, write_model
from tests.conftest import write_clip

NUM_FRAMES = 12
SIZE = (16, 24)
DOCUMENTED = frozenset({0, 2, 3, 4, 5, 6, 7, 8, 9, 129, 130, 141, 143})


@dataclass(frozen=True)
class Ended:
    """How a run has ended."""

    code: int
    said: str
    events: list[dict[str, object]]

    @property
    def last_words(self) -> str:
        """The last line for people, and the code."""
        lines = self.said.strip().splitlines()
        return f"exit {self.code}: {lines[-1] if lines else ''}"

    @property
    def first_frame(self) -> int:
        """The number of frames that an earlier run had done, as this one took it."""
        for event in self.events:
            text = str(event.get("text", ""))
            if event.get("code") == "W_RESUMED":
                return int(text.split("after ")[1].split()[0])
        has_computed = any(event["type"] == "progress" for event in self.events)
        return 0 if has_computed else NUM_FRAMES


@dataclass
class Ground:
    """A source, a model, and the frames that every job must come to.

    folder: holds both, and a folder for each case.
    """

    folder: Path
    random: random.Random
    table: Table
    expected: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def command(self, target: str | Path = "out.mkv", *options: str) -> list[str | Path]:
        """The command: clips of 2 frames, chunks of 4, a checkpoint after every clip."""
        usual = (
            "--device cpu --dtype float32 --steps 1 --scale 1 --clip-length 2 --chunk-length 4 "
            "--checkpoint 0 --motion-scale 0 -c:v ffv1 --json"
        )
        model = self.folder / "tiny.safetensors"
        source = self.folder / "in.mp4"
        return ["upscale", source, target, "--model", model, *usual.split(), *options]

    def run(
        self,
        command: list[str | Path],
        folder: Path,
        *,
        prepare: Callable[[], None] = nothing,
    ) -> Ended:
        """To the end."""
        with Run(command, folder, prepare=prepare) as run:
            try:
                return Ended(run.wait(120), run.said(), run.events())
            except TimeoutError as error:
                return Ended(124, f"{error}: {run.said()}", run.events())

    @contextmanager
    def case(self) -> Iterator[Path]:
        """An empty folder, removed afterwards."""
        folder = self.folder / f"case-{next(self._numbers)}"
        folder.mkdir()
        yield folder
        shutil.rmtree(folder)

    def wrong(self, target: Path) -> str:
        """What is wrong with a target, an empty string if nothing."""
        if not target.is_file():
            return "no target"
        return "" if digests(target) == self.expected else "other frames"

    def outcome(self, ended: Ended, target: Path) -> str:
        """What is wrong with a run that should succeed, or with what it has left."""
        if ended.code:
            return ended.last_words
        left = sorted(path.name for path in target.parent.iterdir() if path != target)
        return self.wrong(target) or (f"left {', '.join(left)}" if left else "")


def prepare_ground(folder: Path, seed: int, table: Table) -> Ground:
    """Write source and model, and run once undisturbed."""
    write_model(folder)
    write_clip(folder / "in.mp4", num_frames=NUM_FRAMES, size=SIZE, audio=["aac"])
    ground = Ground(folder, random.Random(seed), table)
    with ground.case() as case:
        load_modules(ground.command(), case)
        ground.expected = digests(case / "out.mkv")
    return ground
