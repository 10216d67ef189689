"""Where a worker runs if not beside this process: the words before its interpreter, such as ``srun`` or ``ssh``."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Launch", "named"]

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Launch:
    """One place: a program that starts another one there, and connects its pipes with ours."""

    words: tuple[str, ...]
    name: str
    """What messages call the place."""

    def before(self, arguments: Sequence[str]) -> list[str]:
        """Return the whole command that starts a program at the place.

        ssh joins what it is given with blanks, into a line that a shell on the other side takes apart; a second ssh
        behind the first does so once more. For each of them the arguments are quoted. The user's own words are not:
        they are written for the shell that they meet.
        """
        quoted = list(arguments)
        for word in self.words:
            if PurePath(word).name == "ssh":
                quoted = [shlex.quote(each) for each in quoted]
        return [*self.words, *quoted]

    def problem(self) -> str | None:
        """Return why nothing can be started there, or None if nothing visible from here prevents it."""
        program = self.words[0]
        if shutil.which(program) is not None:
            return None
        return f"launch: there is no program {program!r} here"


def named(prefixes: Sequence[Sequence[str]]) -> tuple[Launch, ...]:
    """Name places: one by its words, several by their number and the words that only some of them have.

    Args:
        prefixes: of each place the words before the interpreter, at least one.
    """
    if len(prefixes) == 1:
        return (Launch(tuple(prefixes[0]), _shown(prefixes[0])),)
    common = set(prefixes[0]).intersection(*prefixes)
    return tuple(
        Launch(tuple(words), ", ".join(filter(None, (f"place {number}", _shown(_without(words, common))))))
        for number, words in enumerate(prefixes, start=1)
    )


def _without(words: Sequence[str], common: set[str]) -> list[str]:
    return [word for word in words if word not in common]


def _shown(words: Sequence[str]) -> str:
    """Show the last words, where a host or an image is named."""
    text = " ".join(" ".join(words).split())
    return text if len(text) <= _SHOWN else f"...{text[-_SHOWN:]}"
