"""Damage of a source: no failure, as the target is complete, but with an exit code of its own."""

from vsr_cli.events import Event, Note

_CODES = frozenset({"W_INPUT_DAMAGED", "W_INPUT_TRUNCATED", "W_AUDIO_DAMAGED", "W_STREAM_CUT"})


class DamageWatch:
    """A `Report` that remembers whether the source was damaged or cut off."""

    def __init__(self) -> None:
        self.has_damage = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note) and event.code in _CODES:
            self.has_damage = True
