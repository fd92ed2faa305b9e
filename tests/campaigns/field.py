"""Where jobs are disturbed: a small clip, a small model, and what undisturbed runs make of them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.campaigns.common import Run, Table, digests, nothing, write_model
from tests.conftest import write_clip

NUM_FRAMES = 40
SIZE = (32, 48)
CODECS = ("libx264", "ffv1", "libx265")


@dataclass
class Range:
    """Where the faults happen."""

    folder: Path
    random: random.Random
    table: Table

    def command(self, codec: str, *, target: str | None = None) -> list[str]:
        """The command whose runs are disturbed: clips of 4 frames, chunks of 9."""
        name = target or f"{codec}.mkv"
        options = (
            f"--model tiny.safetensors --device cpu --dtype float32 --steps 1 --clip-length 4 "
            f"--chunk-length 9 --checkpoint 0 -c:v {codec} --json"
        )
        return ["upscale", "in.mp4", name, *options.split()]

    def run(self, command: list[str], *, prepare: Callable[[], None] = nothing) -> tuple[int, str]:
        """To the end: exit code and what it said."""
        with Run(command, self.folder, prepare=prepare) as run:
            try:
                return run.wait(), run.said()
            except TimeoutError as error:
                return 124, f"{error}: {run.said()}"

    def resume(self, codec: str, *, target: Path | None = None) -> str:
        """Run again; what is wrong with the outcome, an empty string if nothing."""
        path = target or self.folder / f"{codec}.mkv"
        code, said = self.run(self.command(codec, target=str(path)))
        if code:
            return f"exit {code}: {said.strip().splitlines()[-1] if said.strip() else ''}"
        if digests(path) != self.expected(codec):
            return "other frames"
        path.unlink()
        return self.stray(path.parent)

    def expected(self, codec: str) -> list[str]:
        """The frames of an undisturbed run."""
        return digests(self.folder / f"whole.{codec}.mkv")

    def stray(self, folder: Path) -> str:
        """Names of files that a finished job has left."""
        known = {"in.mp4", "tiny.safetensors", *(f"whole.{codec}.mkv" for codec in CODECS)}
        found = sorted(path.name for path in folder.iterdir() if path.name not in known)
        return f"left {', '.join(found)}" if found else ""

    def note(self, fault: str, where: str, outcome: str) -> None:
        self.table.add(fault, where, outcome or "same frames, nothing left", good=not outcome)


def prepare(folder: Path, seed: int, table: Table, *, codecs: Sequence[str] = CODECS) -> Range:
    """A clip, a model, and what undisturbed runs make of it."""
    write_model(folder)
    write_clip(folder / "in.mp4", num_frames=NUM_FRAMES, size=SIZE, audio=["aac"])
    field = Range(folder, random.Random(seed), table)
    for codec in codecs:
        code, said = field.run(field.command(codec, target=f"whole.{codec}.mkv"))
        if code:
            raise SystemExit(f"an undisturbed run fails: {said}")
    return field
