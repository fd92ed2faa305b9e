"""Single bits of a kept job that turn over while nobody looks."""

import shutil
from collections import Counter, defaultdict
from pathlib import Path

from tests.campaigns.ground import DOCUMENTED, Ground
from tests.campaigns.power import TARGET, calls_of, kill_at


def flip_bits(ground: Ground, num_flips: int) -> None:
    """Flip one bit of one file at a time, and go on with the job: no wrong frame with exit 0."""
    jobs = [path for share in (0.3, 0.62, 1.0) if (path := _keep_job(ground, share))]
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for index in range(num_flips):
        job = jobs[index % len(jobs)]
        files = sorted(path for path in job.glob("*.vsr-job/*") if path.stat().st_size)
        kind, outcome = _flip(ground, job, files[index // len(jobs) % len(files)])
        outcomes[kind][outcome] += 1
    for kind, found in sorted(outcomes.items()):
        wrong = [name for name in found if name.startswith("wrong")]
        text = ", ".join(f"{number} {name}" for name, number in found.most_common())
        ground.table.add("a bit flipped", f"{kind}, {found.total()} times", text, good=not wrong)
    for job in jobs:
        shutil.rmtree(job)


def _keep_job(ground: Ground, share: float) -> Path | None:
    """The folder of a job that was killed after this share of its calls, None if none is left."""
    names = calls_of(ground)
    if share == 1:  # all is computed, and the target lies there without its name
        index = 2 * max(n for n, name in enumerate(names) if name in ("link", "replace"))
    else:
        index = int(2 * share * len(names))
    folder = ground.folder / f"job-{share}"
    folder.mkdir()
    ground.run(ground.command(TARGET), folder, prepare=kill_at(index))
    if any(folder.glob("*.vsr-job/manifest.json")):
        return folder
    shutil.rmtree(folder)
    return None


def _flip(ground: Ground, job: Path, file: Path) -> tuple[str, str]:
    """The kind of file, and what came of it."""
    kind = file.name.split("_")[0] + file.suffix if "_" in file.name else file.name
    with ground.case() as case:
        shutil.copytree(job, case, dirs_exist_ok=True)
        path = case / file.relative_to(job)
        data = bytearray(path.read_bytes())
        data[ground.random.randrange(len(data))] ^= 1 << ground.random.randrange(8)
        path.write_bytes(data)
        ended = ground.run(ground.command(TARGET), case)
        target = case / TARGET
        if ended.code == 0:
            if wrong := ground.outcome(ended, target):
                return kind, f"wrong: {wrong}"
            is_anew = any(event.get("code") == "W_JOB_DAMAGED" for event in ended.events)
            return kind, "begun anew" if is_anew else "gone on"
        if ended.code not in DOCUMENTED or target.exists():
            return kind, f"wrong: {ended.last_words}"
        return kind, f"refused with exit {ended.code}"
