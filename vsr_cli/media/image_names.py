"""Names of numbered images, as `frame%05d.png`."""

import re
from dataclasses import dataclass
from pathlib import Path

_PATTERN = re.compile(r"%(?:0(\d{1,2}))?d")
MOST_DIGITS = 12  # that numbers are filled up to: more than the frames of any film


@dataclass(frozen=True)
class NumberedName:
    """A name with one place for a number, `%d` or `%0Nd`."""

    start: str
    width: int  # digits, at least
    end: str

    @classmethod
    def parse(cls, name: str) -> "NumberedName | None":
        """Find the place for the number; None where there is none, or more than one."""
        found = _PATTERN.search(name)
        if found is None or name.count("%") != 1:
            return None
        width = int(found[1] or 1)
        if not 1 <= width <= MOST_DIGITS:
            return None
        return cls(name[: found.start()], width, name[found.end() :])

    def of(self, number: int) -> str:
        """The name of one image."""
        return f"{self.start}{number:0{self.width}}{self.end}"

    def number_in(self, name: str) -> int | None:
        """The number in a name that `of` gives; None for any other name."""
        digits = name.removeprefix(self.start).removesuffix(self.end)
        if not digits.isdecimal() or not digits.isascii():
            return None
        return int(digits) if self.of(int(digits)) == name else None

    def find(self, folder: Path) -> dict[int, Path]:
        """The images in a folder that have such names, by their numbers."""
        found = {}
        for path in folder.iterdir():
            if (number := self.number_in(path.name)) is not None:
                found[number] = path
        return dict(sorted(found.items()))
