"""What holds files open from its construction to the end of a `with` block."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self


class ResourceOwner:
    """Base of classes that take their resources when constructed; `with` lets them go."""

    def __init__(self) -> None:
        """Nothing is held yet; if taking it fails, the class that does so lets go of the rest."""
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()
