"""One image in several prompts: what a processor wrote for it, put into the other questions about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Splice"]


class Splice:
    """The tokens that a processor put in place of an image's placeholder, for reuse in other questions."""

    def __init__(self, written: Sequence[int], expanded: Sequence[int]) -> None:
        shortest = min(len(written), len(expanded))
        tail = 0
        while tail < shortest and written[-1 - tail] == expanded[-1 - tail]:
            tail += 1
        self._before = list(written[: len(written) - tail])
        self._head = list(expanded[: len(expanded) - tail])
        self.end = len(self._head)
        """The place where the question's own tokens begin."""

    def apply(self, written: Sequence[int]) -> list[int]:
        """Return the ids of another question about the same image.

        Raises:
            ValueError: its prompt begins differently, for example because the question holds a placeholder.
        """
        if list(written[: len(self._before)]) != self._before:
            raise ValueError(
                "the prompt has an image placeholder of its own, or begins differently from the others"
            )
        return self._head + list(written[len(self._before) :])
