"""Writes `docs/events.md`, the reference of what commands say to programs, from the program itself.

python -m docs.make_events
"""

import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

from vsr_cli.cli.event_kinds import COMMON_KEYS, EVENT_KINDS
from vsr_cli.cli.json_events import JSON_VERSION
from vsr_cli.events import (
    NOTE_CODES,
    BenchResult,
    Comparison,
    DegradationDrawn,
    Done,
    Exported,
    GraphChecked,
    GraphWritten,
    Live,
    Plan,
    Prediction,
    PreviewSample,
    TimeSpent,
)

TARGET = Path(__file__).with_name("events.md")

# Types of event that are records as they are, whose fields are explained where they are defined.
RECORDS = {
    **{"plan": Plan, "live": Live, "spent": TimeSpent, "done": Done, "cost": BenchResult},
    **{"comparison": Comparison, "preview": PreviewSample, "prediction": Prediction},
    "degradation": DegradationDrawn,
    **{"graph": GraphWritten, "check": GraphChecked, "export": Exported},
}

HEAD = f"""\
# Events for programs

<!-- Written by `make docs` from `vsr_cli/events.py` and `vsr_cli/cli/event_kinds.py`. -->

With `--json` a command writes one JSON object a line to standard output; `vsr upscale` also writes
them to the file or descriptor of `--progress-file`. Ignore types and keys you do not know: new ones
may come without a new version, which is {JSON_VERSION} now. [Exit codes](scripting.md#exit-codes)
tell how a command ended.

## Keys of all events
"""

NOTES = """\
## Codes of warnings

What is not an error, but should be known. Codes are stable; texts are for people and may change.

| code | meaning |
|---|---|
"""


def events_page() -> str:
    """The whole of `docs/events.md`."""
    parts = [HEAD, "".join(f"- `{key}`: {what}\n" for key, what in COMMON_KEYS.items())]
    parts.append("## Types\n")
    for name, kind in EVENT_KINDS.items():
        commands = ", ".join(f"`vsr {c}`" for c in kind.command.split(", ") if c != "all")
        meanings = comments_of(RECORDS[name]) if name in RECORDS else {}
        said = fill(f"By {commands or 'all commands'}. {kind.meaning}")
        parts.append(f"### `{name}`\n\n{said}\n\n{list_keys(kind.keys, meanings)}\n")
    codes = "".join(f"| `{code}` | {meaning} |\n" for code, meaning in sorted(NOTE_CODES.items()))
    return "\n".join([*parts, NOTES + codes])


def list_keys(keys: Iterable[str], meanings: Mapping[str, str]) -> str:
    """The keys of a type of event, each on a line of its own where more is to be said of them."""
    if not meanings:
        return fill("Keys: " + ", ".join(f"`{key}`" for key in keys) + ".")
    said = (f"- `{key}`: {meanings[key]}" if key in meanings else f"- `{key}`" for key in keys)
    return "Keys:\n\n" + "\n".join(said)


def comments_of(record: type) -> dict[str, str]:
    """What the comment beside a field of a record says of it."""
    pattern = re.compile(r"^    (\w+): [^#\n]*# (.+)$", re.MULTILINE)
    return dict(pattern.findall(inspect.getsource(record)))


def fill(text: str) -> str:
    """A paragraph in lines as wide as those of other pages; what is code is not broken."""
    lines = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(events_page(), encoding="utf-8")
