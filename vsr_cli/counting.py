"""Numbers of things, in the words that go with them."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number and what is counted: `1 frame`, `2 frames`, `1 image is`, `2 images are`.

    Args:
        number: of the things.
        one: what stands after 1.
        many: what stands after any other number; None adds an `s` to `one`.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"
