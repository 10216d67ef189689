"""Standard output and error of a command: whatever they are, the work and the exit code do not depend on them."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["prepare_streams"]

_STDERR = 2


def prepare_streams() -> None:
    """Make both streams take any character, and let messages that nobody can read be lost.

    * A closed descriptor (``2>&-``) becomes the null device. Else the next file that is opened would get its number,
      and a library's message would be written into a database.
    * A character that the terminal's encoding lacks is escaped as Python escapes it, which is JSON's own escape too.
    * An error on stderr, such as a reader that has left or a full disk, drops the message. Results on stdout are
      another matter: who asks for them must learn that they are not there.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_Forgiving(_STDERR, "w", closefd=False)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=True,
    )


class _Forgiving(io.FileIO):
    """A file whose writes never fail; what cannot be written is dropped."""

    def write(self, content: Buffer, /) -> int:
        """Write, and say that everything was written."""
        size = memoryview(content).nbytes
        with suppress(OSError):
            return super().write(content) or size
        return size
