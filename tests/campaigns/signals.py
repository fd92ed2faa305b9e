"""Signals at any time at all, before the work begins and while it is tidied up, too."""

import signal
import time
from collections import Counter

from tests.campaigns.common import Run
from tests.campaigns.ground import Ground
from tests.campaigns.power import TARGET

KINDS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


def signal_anywhere(ground: Ground, num_each: int) -> None:
    """Send each kind of signal so often, evenly over the time of a run."""
    for number in KINDS:
        started = time.monotonic()
        with ground.case() as case:
            ground.run(ground.command(), case)
        length = time.monotonic() - started
        found = Counter(
            _signal(ground, number, ground.random.uniform(0, 1.1 * length)) for _ in range(num_each)
        )
        wrong = {outcome for _, outcome in found if outcome}
        codes = Counter(code for code, _ in found.elements())
        text = ", ".join(f"{count} x exit {code}" for code, count in sorted(codes.items()))
        where = f"{num_each} times in {length:.1f} s"
        ground.table.add(number.name, where, "; ".join(wrong) or text, good=not wrong)


def _signal(ground: Ground, number: signal.Signals, seconds: float) -> tuple[int, str]:
    """The exit code, and what is wrong after a rerun."""
    with ground.case() as case:
        with Run(ground.command(), case) as run:
            time.sleep(seconds)
            run.send_signal(number)
            code = run.wait()
            said = run.said()
        if code not in (0, -number, 128 + number):
            return code, f"exit {code} after {seconds:.2f} s: {said[-200:]}"
        target = case / TARGET
        if target.exists() and (wrong := ground.wrong(target)):
            return code, f"a wrong target: {wrong}"
        ended = ground.run(ground.command(TARGET, "-n"), case)
        return code, ground.outcome(ended, target)
