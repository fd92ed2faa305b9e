"""Disturbs jobs in every way there is, and checks that the next run ends as if nothing had been.

    python -m tests.campaigns.faults [--only PART] [--kills N] [--cuts N] [--flips N] [--seed N]

After each fault the same command is run again. It must succeed, give the frames of an undisturbed
run, and leave no file that was not there before.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.campaigns.common import Table
from tests.campaigns.disturbances import (
    closed_pipe,
    full_disk,
    limit_files,
    read_only,
    scarce_memory,
    signal_at,
    two_at_once,
)
from tests.campaigns.field import CODECS, prepare
from tests.campaigns.ground import Ground, prepare_ground
from tests.campaigns.links import plant_links
from tests.campaigns.power import cut_power, kill_everywhere
from tests.campaigns.rot import flip_bits
from tests.campaigns.signals import signal_anywhere
from tests.campaigns.streams import disturb_streams, target_on_closed_stdout

MEMORY = Path("/dev/shm")  # where syncing costs no time


@dataclass(frozen=True)
class Amounts:
    """How often things happen."""

    kills: int
    cuts: int
    flips: int
    seed: int


def disturb(folder: Path, table: Table, amounts: Amounts) -> None:
    """Signals, full disks, scarce memory and company, at frames taken at random."""
    field = prepare(folder, amounts.seed, table)
    for index in range(amounts.kills):
        signal_at(field, CODECS[index % len(CODECS)], signal.SIGKILL)
    for index in range(4):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal_at(field, CODECS[index % len(CODECS)], number)
    for codec in CODECS:
        signal_at(field, codec, signal.SIGINT, twice=True)
        limit_files(field, codec)
        full_disk(field, codec)
        closed_pipe(field, codec)
        two_at_once(field, codec)
    read_only(field, "ffv1")
    for index in range(6):
        scarce_memory(field, CODECS[index % len(CODECS)])


def on_ground(
    part: Callable[[Ground, Amounts], None], folder: Path, table: Table, amounts: Amounts
) -> None:
    """A part that runs the very small job."""
    part(prepare_ground(folder, amounts.seed, table), amounts)


def streams(ground: Ground, amounts: Amounts) -> None:
    """Streams, as a part."""
    disturb_streams(ground)
    target_on_closed_stdout(ground)


PARTS: dict[str, Callable[[Path, Table, Amounts], None]] = {
    "disturb": disturb,
    "power": partial(on_ground, lambda ground, amounts: cut_power(ground, amounts.cuts)),
    "kills": partial(on_ground, lambda ground, amounts: kill_everywhere(ground, amounts.cuts)),
    "flips": partial(on_ground, lambda ground, amounts: flip_bits(ground, amounts.flips)),
    "links": partial(on_ground, lambda ground, amounts: plant_links(ground)),
    "streams": partial(on_ground, streams),
    "signals": partial(on_ground, lambda ground, amounts: signal_anywhere(ground, amounts.kills)),
}


def main() -> None:
    """Run the campaign and leave with 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", choices=[*PARTS], help="may be repeated")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cuts", type=int, default=150, help="states of each kind, at most")
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    arguments = parser.parse_args()
    place = MEMORY if MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="vsr-faults-", dir=place))
    table, started = Table((18, 52, 28)), time.monotonic()
    amounts = Amounts(arguments.kills, arguments.cuts, arguments.flips, arguments.seed)
    for name in arguments.only or PARTS:
        (folder / name).mkdir()
        PARTS[name](folder / name, table, amounts)
    if not arguments.keep:
        shutil.rmtree(folder)
    good = sum(row[-1] == "ok" for row in table.rows)
    seconds = time.monotonic() - started
    sys.stdout.write(f"{good} of {len(table.rows)} faults without a trace, in {seconds:.0f} s\n")
    sys.exit(0 if table.is_good else 1)


if __name__ == "__main__":
    main()
