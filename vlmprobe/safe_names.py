"""Validates family and scale names, which become part of file and folder names."""

from __future__ import annotations

import re

from vlmprobe.errors import UsageError

__all__ = ["MAX_NAME_BYTES", "file_part", "safe_name"]

#: In UTF-8. With its prefix and suffix, a file name stays below the 255 bytes that file systems allow.
MAX_NAME_BYTES = 100

_NAME = re.compile(r"\w[\w.+@ -]*")


def safe_name(name: str, what: str) -> str:
    """Return a family's or scale's name if it can be part of a file name and cannot lead out of its folder.

    Args:
        name: from a user, a file or a database.
        what: ``family`` or ``scale``, for the message.

    Raises:
        UsageError: it is empty, too long, or holds anything but letters, digits and ``_ . + @ -`` or a space.
    """
    if not _NAME.fullmatch(name) or name != name.strip() or len(name.encode()) > MAX_NAME_BYTES:
        raise UsageError(
            f"{what} {name[:60]!r} cannot be part of a file name; "
            f"use at most {MAX_NAME_BYTES} letters, digits and '_ . + @ -', the first a letter or digit"
        )
    return name


def file_part(text: str) -> str:
    """Return text as part of a file name; characters that could lead to another folder become hyphens.

    For names composed of others, such as a report's folder; different texts may yield the same name.
    """
    plain = re.sub(r"[^\w.+@ -]+", "-", text).strip(" .") or "-"
    return plain.encode()[: 2 * MAX_NAME_BYTES].decode(errors="ignore")
