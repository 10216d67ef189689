"""Paths as data: what may be in them, how SQLite's addresses are made of them, and whether they can be written."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote

from vlmprobe.errors import UsageError

__all__ = [
    "can_write",
    "check_characters",
    "check_home",
    "expanded",
    "is_sqlite",
    "sqlite_address",
    "sqlite_path",
]

_SQLITE_SCHEME = "sqlite:///"
#: SQLite opens no longer path, and this is the longest one that MLflow opens in a home, with an ending of SQLite's.
_LONGEST_SQLITE_PATH = 512
_LONGEST_NAME = "/.mlflow.db.4194304.partial-journal"
_MAX_HOME = _LONGEST_SQLITE_PATH - len(_LONGEST_NAME)


def check_home(home: Path, named_by: str) -> None:
    """Check that DuckDB and MLflow can open files in this folder, before anything is written.

    Args:
        home: the folder.
        named_by: the option or variable that named it, for the message.

    Raises:
        UsageError: they cannot.
    """
    check_characters(home, named_by)
    length = len(os.fsencode(home))
    if length > _MAX_HOME:
        raise UsageError(
            f"{named_by}: {str(home)[:60]}... has {length} bytes, and SQLite cannot open files in a folder of more "
            f"than {_MAX_HOME}; use a shorter path"
        )


def check_characters(path: Path, named_by: str) -> None:
    """Check a path that DuckDB or MLflow is to open.

    Raises:
        UsageError: it holds a character that they read as something else.
    """
    text = str(path)
    shown = ascii(text)[1:-1]
    if "?" in text:
        raise UsageError(
            f"{named_by}: {shown} has a '?', which ends a path for DuckDB and MLflow; use a path without it"
        )
    if any(ord(sign) < 32 or ord(sign) == 127 or 0xD800 <= ord(sign) < 0xE000 for sign in text):
        raise UsageError(
            f"{named_by}: {shown} has a control character or is not UTF-8; use a path without such characters"
        )


def is_sqlite(address: str) -> bool:
    """Return whether an address is that of a SQLite file."""
    return address.startswith(_SQLITE_SCHEME)


def sqlite_address(path: Path) -> str:
    """Return the address with which MLflow opens exactly this SQLite file; the path is absolute.

    SQLAlchemy decodes ``%20`` in it, while MLflow creates the folder that is written in it. So a path that decoding
    would change is encoded whole, slashes included: what MLflow then finds in it is the root folder.
    """
    text = str(path)
    return f"{_SQLITE_SCHEME}{text if unquote(text) == text else '/' + quote(text.lstrip('/'), safe='')}"


def sqlite_path(address: str) -> Path:
    """Return the file that SQLAlchemy opens for an address of SQLite; after a ``?`` come options."""
    return Path(unquote(address.removeprefix(_SQLITE_SCHEME).partition("?")[0]))


def expanded(path: Path, folder: Path | None = None) -> Path:
    """Expand a ``~`` at the beginning, as shells do, unless this is the name of something in the folder.

    Args:
        path: as a user wrote it.
        folder: what it is relative to; the working directory when None.

    Raises:
        RuntimeError: there is no such user.
    """
    first = path.parts[0] if path.parts else ""
    if not first.startswith("~") or ((folder or Path()) / first).exists():
        return path
    return path.expanduser()


def can_write(path: Path) -> bool:
    """Return whether a file or folder can be written, or created in the nearest folder that is there."""
    place = next(each for each in (path, *path.parents) if each.exists())
    return os.access(place, os.W_OK)
