"""Parts of a run: which of its batches a process has, and which numbers it gives to its shards."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vlmprobe.errors import UsageError

__all__ = ["Part"]

_TEXT = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One of several parts of a run, counted from 1.

    Part I of N has the batches whose number, from 0, is I - 1 modulo N, and the shards whose number, from 1, is I
    modulo N. So processes that know nothing of each other share a plan, and never give one number to two shards.
    """

    n_parts: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Part | None:
        """Read ``I/N``; None for ``1/1``, which is the whole run.

        Raises:
            UsageError: it is no such text.
        """
        found = _TEXT.fullmatch(text.strip())
        number, n_parts = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= n_parts:
            raise UsageError(f"--part {text[:60]!r}: use I/N with I from 1 to N, like 2/4")
        return None if n_parts == 1 else cls(n_parts, number)

    def has_batch(self, number: int) -> bool:
        """Return whether a batch of the run's plan is this part's."""
        return number % self.n_parts == self.number - 1

    def has_shard(self, number: int) -> bool:
        """Return whether a shard of this number is this part's."""
        return (number - 1) % self.n_parts == self.number - 1

    def __str__(self) -> str:
        """Return it as it is written on the command line."""
        return f"{self.number}/{self.n_parts}"
