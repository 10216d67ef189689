"""Reads TOML files that users write; an error names the file and the line."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_toml", "shown"]

#: Such files have a few KiB; at this size, parsing already takes seconds.
_MAX_BYTES = 2**20


def read_toml(file: Path) -> dict[str, Any]:
    """Return a TOML file's top-level table.

    Raises:
        InputError: it cannot be read, is no file, is larger than 1 MiB, or is no TOML; the message names the line where
            known.
    """
    if file.exists() and not (file.is_file() or file.is_dir()):
        # A device can fill the memory before its size is known; reading a pipe can block forever.
        raise InputError(f"{file} is a pipe or a device; use a file")
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise InputError(f"{file}: larger than {_MAX_BYTES // 2**10} KiB; use a settings file")
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"{file} cannot be read: {reason}") from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Besides the parser's own errors: a number that is too long, or nesting that is too deep.
        raise InputError(_syntax_message(file, text, str(error))) from error


def shown(value: object) -> str:
    """Format a value for a message, shortened; a key can be as long as the file."""
    try:
        return repr(value)[:80]
    except (ValueError, RecursionError):  # an integer or a nesting too long to be written out
        return f"a {type(value).__name__}"


def _syntax_message(file: Path, text: str, said: str) -> str:
    """Put file and line first and name a duplicate key, which the parser's message does not."""
    place = re.search(r"\(at line (\d+), column \d+\)", said)
    if place is None:
        return f"{file}: not valid TOML: {said[:120]}"
    number = int(place.group(1))
    line = text.splitlines()[number - 1].strip() if number <= len(text.splitlines()) else ""
    what = said[: place.start()].strip()
    if what.startswith(("Cannot overwrite", "Cannot declare")):
        key = line if line.startswith("[") else line.partition("=")[0].strip()
        return f"{file}: line {number}: {key[:80]} appears twice; keep one"
    return f"{file}: line {number}: not valid TOML: {what[:120]}"
