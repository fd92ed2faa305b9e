"""Links under every name that a job will use: what they lead to is nobody's to touch."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.campaigns.ground import DOCUMENTED, Ground
from tests.campaigns.power import TARGET, calls_of, kill_at

JOB = f"{TARGET}.vsr-job"
SECRET = b"somebody else's\n" * 64
IN_JOB = (
    *("lock", "manifest.json", "manifest.json.part", "target.mkv", "target.mkv.part"),
    *("chunk_000000.mkv", "chunk_000000.mkv.part", "chunk_000001.mkv.part"),
    *("chunk_000000.raw", "chunk_000001.raw", "chunk_000002.raw"),
    *("state_000000003.safetensors.part", "state_000000011.safetensors.part"),
)
BESIDE = (TARGET, f"{TARGET}.part", f"{TARGET}.failed", JOB)


def plant_links(ground: Ground) -> None:
    """Plant one link at a time: to a file, to a folder, to nothing, or another name of a file."""
    kinds: dict[str, Callable[[Path, Path], None]] = {
        "link to a file": lambda path, outside: path.symlink_to(outside / "file"),
        "link to a folder": lambda path, outside: path.symlink_to(outside / "folder"),
        "link to nothing": lambda path, outside: path.symlink_to(outside / "nothing"),
        "second name": lambda path, outside: path.hardlink_to(outside / "file"),
    }
    kept = ground.folder / "kept-job"
    kept.mkdir()
    ground.run(ground.command(), kept, prepare=kill_at(len(calls_of(ground))))
    for kind, plant in kinds.items():
        for where, names, job in (
            ("beside the source", BESIDE, None),
            ("in an empty job", IN_JOB, None),
            ("in a job that was begun", IN_JOB, kept),
        ):
            wrong = []
            for name in names:
                path = Path(JOB) / name if names is IN_JOB else Path(name)
                if outcome := _plant(ground, plant, path, job):
                    wrong.append(f"{name}: {outcome}")
            text = "; ".join(wrong) or "nothing outside is touched"
            ground.table.add(kind, f"{where}, {len(names)} names", text, good=not wrong)
    shutil.rmtree(kept)


def _plant(
    ground: Ground, plant: Callable[[Path, Path], None], name: Path, job: Path | None
) -> str:
    """What is wrong after a run, an empty string if nothing."""
    with ground.case() as case:
        outside, inside = case / "outside", case / "inside"
        (outside / "folder").mkdir(parents=True)
        (outside / "file").write_bytes(SECRET)
        (outside / "folder/file").write_bytes(SECRET)
        before = _contents(outside)
        shutil.copytree(job, inside) if job else inside.mkdir()
        path = inside / name
        path.parent.mkdir(exist_ok=True, mode=0o700)
        if job is None and path.parent != inside:
            (path.parent / "lock").touch()  # as in a job that has just begun
        path.unlink(missing_ok=True)
        plant(path, outside)
        ended = ground.run(ground.command(), inside)
        now = _contents(outside)
        if name == Path(TARGET) and path.is_symlink():  # written through, to what is not there yet
            now = {key: value for key, value in now.items() if key in before}
        if now != before:
            changed = sorted(key for key in {*now, *before} if now.get(key) != before.get(key))
            return f"touched {', '.join(changed)}, {ended.last_words}"
        if ended.code not in DOCUMENTED:
            return ended.last_words
        is_file = (inside / TARGET).is_file()  # not so where images went into a folder
        return ground.wrong(inside / TARGET) if ended.code == 0 and is_file else ""


def _contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Rights and content of all that is in a folder."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }
