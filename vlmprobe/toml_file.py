"""TOML files that users write: read whole, refused in a line that says where."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_toml", "shown"]

#: Such files are some KiB; one of this size already takes the parser seconds.
_MAX_BYTES = 2**20


def read_toml(file: Path) -> dict[str, Any]:
    """Return a file's top level.

    Raises:
        InputError: it cannot be read, is no file, is larger than 1 MiB, or is no TOML; the message names the line where
            known.
    """
    if file.exists() and not (file.is_file() or file.is_dir()):
        # Of a device no size is known before it has filled the memory; a pipe can be waited for in vain.
        raise InputError(f"{file} is a pipe or a device; give a file")
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise InputError(f"{file}: larger than {_MAX_BYTES // 2**10} KiB; is it a file of settings?")
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"{file}: cannot read it: {reason}") from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # A number or a nesting that is too long, besides the parser's own.
        raise InputError(_syntax_message(file, text, str(error))) from error


def shown(value: object) -> str:
    """Write a value for a message; a key can be as long as the file."""
    try:
        return repr(value)[:80]
    except (ValueError, RecursionError):  # an integer or a nesting too long to be written out
        return f"a {type(value).__name__}"


def _syntax_message(file: Path, text: str, said: str) -> str:
    """Put file and line first and name a key that is there twice, which the parser's message does not."""
    place = re.search(r"\(at line (\d+), column \d+\)", said)
    if place is None:
        return f"{file}: no valid TOML: {said[:120]}"
    number = int(place.group(1))
    line = text.splitlines()[number - 1].strip() if number <= len(text.splitlines()) else ""
    what = said[: place.start()].strip()
    if what.startswith(("Cannot overwrite", "Cannot declare")):
        key = line if line.startswith("[") else line.partition("=")[0].strip()
        return f"{file}: line {number}: {key[:80]} is there twice; keep one"
    return f"{file}: line {number}: no valid TOML: {what[:120]}"
