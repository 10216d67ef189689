"""Standard output and error of a command: whatever they are, the work does not depend on them."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    from typing_extensions import Buffer

__all__ = ["as_utf8", "lost_results", "prepare_streams"]

_STDOUT, _STDERR = 1, 2


def prepare_streams() -> None:
    """Make both streams take any character, and let messages that nobody can read be lost.

    * A closed descriptor (``2>&-``) becomes the null device. Else the next file that is opened would get its number,
      and a library's message would be written into a database.
    * A character that the terminal's encoding lacks is escaped as Python escapes it, which is JSON's own escape too.
    * What a stream cannot take is dropped, and the work goes on. A reader of stdout that has left, such as ``head``,
      has what it wanted. Any other error is kept for :func:`lost_results`: on a full disk, a listing is not there.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _forgiving(sys.stdout, _STDOUT, line_buffering=getattr(sys.stdout, "line_buffering", False))
    sys.stderr = _forgiving(sys.stderr, _STDERR, line_buffering=True)


def as_utf8(argument: str) -> str:
    """Return a word of the command line whose bytes are UTF-8, also where ``LC_ALL=C`` made Python read it as ASCII."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument


def lost_results() -> OSError | None:
    """Write what stdout still holds; return the error that kept results from it, None if there was none.

    A reader that has left is no error. Where stdout is no stream of this module's, as in a notebook, there is none.
    """
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, _Forgiving) else None


def _forgiving(stream: TextIO | None, descriptor: int, *, line_buffering: bool) -> TextIO:
    """Return a stream in the place of another, whose writes never fail."""
    with suppress(AttributeError, OSError, ValueError):
        stream.flush()  # type: ignore[union-attr]
    return io.TextIOWrapper(
        io.BufferedWriter(_Forgiving(descriptor, "w", closefd=False)),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=line_buffering,
        write_through=getattr(stream, "write_through", False),
    )


class _Forgiving(io.FileIO):
    """A file whose writes never fail; what cannot be written is dropped."""

    lost: OSError | None = None
    """The first error, other than that of a reader that has left."""

    def write(self, content: Buffer, /) -> int:
        """Write, and say that everything was written."""
        size = memoryview(content).nbytes
        try:
            return self._write_all_that_fits(content)
        except BrokenPipeError:
            return size
        except OSError as error:
            self.lost = self.lost or error
            return size

    def _write_all_that_fits(self, content: Buffer) -> int:
        while (written := super().write(content)) is None:
            # A pipe that does not block is full; its reader, or another program at the terminal, made it so.
            select.select([], [self], [])
        return written
