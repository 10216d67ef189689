"""One image in several prompts: what a processor wrote for it, put into the other questions about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Splice"]


class Splice:
    """What a processor put in the place of the image's placeholder, to put it into other questions too."""

    def __init__(self, written: Sequence[int], expanded: Sequence[int]) -> None:
        shortest = min(len(written), len(expanded))
        tail = 0
        while tail < shortest and written[-1 - tail] == expanded[-1 - tail]:
            tail += 1
        self._before = list(written[: len(written) - tail])
        self._head = list(expanded[: len(expanded) - tail])
        self.end = len(self._head)
        """The place after the last token that is not the question's own."""

    def apply(self, written: Sequence[int]) -> list[int]:
        """Return the ids of another question about the same image.

        Raises:
            ValueError: its prompt does not begin like the first one's: a question that holds a placeholder, say.
        """
        if list(written[: len(self._before)]) != self._before:
            raise ValueError("the prompt holds an image placeholder of its own, or begins unlike the others")
        return self._head + list(written[len(self._before) :])
